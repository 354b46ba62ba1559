//! The gradient noise scale of a run.

/// Share of the old average that each new pair keeps.
const KEEP: f64 = 0.95;

/// Smoothed gradient statistics, and the noise scale that they make.
///
/// The noise scale is `tr(Σ) / |G|²`, in samples: the batch at which noise and signal of a gradient are equal (McCandlish
/// et al. 2018, arXiv 1812.06162, equation 2.8). Numerator and denominator are smoothed apart and divided then (its
/// appendix A.1), since either may be noise alone in one step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GradientNoise {
    signal: f64,
    noise: f64,
    /// Weight of all pairs so far, from 0 to 1: what a young average lacks.
    weight: f64,
}

impl GradientNoise {
    /// Adds a pair: the squared norm of the true gradient `|G|²`, and the variance of the gradient of `batch` samples.
    ///
    /// A pair that is not finite or whose batch is not above 0 is left out. Negative values are kept: estimates without
    /// bias are negative at times.
    pub fn add(&mut self, squared_norm: f64, variance: f64, batch: f64) {
        let noise = variance * batch;
        if !(squared_norm.is_finite() && noise.is_finite() && batch > 0.0) {
            return;
        }
        self.signal = KEEP * self.signal + (1.0 - KEEP) * squared_norm;
        self.noise = KEEP * self.noise + (1.0 - KEEP) * noise;
        self.weight = KEEP * self.weight + (1.0 - KEEP);
    }

    /// Adds a pair from the squared norms of two gradients of different batches (arXiv 1812.06162, equations A.2, A.3):
    /// `|G|² = (B·Q − b·q)/(B − b)`, `tr(Σ) = (q − Q)/(1/b − 1/B)`.
    pub fn add_norms(&mut self, small: (f64, f64), large: (f64, f64)) {
        let ((b, q), (big_b, big_q)) = (small, large);
        self.add((big_b * big_q - b * q) / (big_b - b), (q - big_q) / (1.0 / b - 1.0 / big_b), 1.0);
    }

    /// The noise scale, in samples; `None` before there is a signal, and 0 where no noise is left above it.
    pub fn scale(&self) -> Option<f64> {
        (self.weight > 0.0 && self.signal > 0.0).then(|| (self.noise / self.signal).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_statistics_are_their_own_average_from_the_first_step() {
        let mut noise = GradientNoise::default();
        for _ in 0..3 {
            noise.add(2.0, 0.5, 128.0);
            assert!((noise.scale().unwrap() - 32.0).abs() < 1e-9);
        }
    }

    #[test]
    fn two_norms_give_back_what_they_were_made_of() {
        let (signal, trace) = (3.0, 600.0);
        let norm = |batch: f64| (batch, signal + trace / batch);
        let mut noise = GradientNoise::default();
        noise.add_norms(norm(32.0), norm(256.0));
        assert!((noise.scale().unwrap() - trace / signal).abs() < 1e-9);
    }

    #[test]
    fn nothing_is_said_without_a_signal() {
        let mut noise = GradientNoise::default();
        assert_eq!(noise.scale(), None);
        noise.add(-1.0, 1.0, 8.0);
        noise.add(f64::NAN, 1.0, 8.0);
        assert_eq!(noise.scale(), None);
    }
}
