//! The tail of the size model's error.

use std::f64::consts::SQRT_2;

/// Probability that a standard normal variable exceeds `z`.
///
/// Complementary error function after Press et al., Numerical Recipes, section 6.2: relative error below 1.2e-7
/// everywhere, which the conditional tails below need far out.
fn exceeds(z: f64) -> f64 {
    let x = z / SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * x.abs());
    let coefficients = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let series = coefficients.iter().rev().fold(0.0, |sum, c| sum * t + c);
    let erfc = t * (-x * x + series).exp();
    0.5 * if x >= 0.0 { erfc } else { 2.0 - erfc }
}

/// The factor that a lognormal error around `center` exceeds with probability `risk`, given that it is at least `bound`.
///
/// Solves `P(F > f) = risk · P(F ≥ bound)` by bisection.
pub(crate) fn conditional_quantile(center: f64, sigma: f64, bound: f64, risk: f64) -> f64 {
    let low = (bound / center).ln() / sigma;
    let target = risk * exceeds(low);
    let (mut below, mut above) = (low, low.max(0.0) + 10.0);
    for _ in 0..80 {
        let middle = 0.5 * (below + above);
        if exceeds(middle) > target { below = middle } else { above = middle }
    }
    center * (sigma * above).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_quantiles_of_the_normal_distribution() {
        for (z, p) in
            [(0.0, 0.5), (1.0, 0.158_655_254), (1.959_963_985, 0.025), (-1.0, 0.841_344_746), (6.0, 9.866e-10)]
        {
            assert!((exceeds(z) / p - 1.0_f64).abs() < 1e-4, "{z}");
        }
    }

    #[test]
    fn a_bound_that_tells_nothing_leaves_the_plain_quantile() {
        let factor = conditional_quantile(1.0, 0.25, 1e-6, 0.02);
        assert!((factor - (0.25_f64 * 2.053_749).exp()).abs() < 1e-4, "{factor}");
    }

    #[test]
    fn the_factor_is_always_above_the_bound() {
        for bound in [0.5, 1.0, 1.5, 3.0, 20.0] {
            assert!(conditional_quantile(1.0, 0.25, bound, 0.02) > bound);
        }
    }
}
