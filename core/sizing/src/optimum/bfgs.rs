//! A small quasi-Newton minimiser.

/// Steps at most.
const STEPS: u32 = 2000;

/// Share of the predicted fall that a step must bring (Armijo).
const ENOUGH: f64 = 1e-4;

/// A function's value and gradient at a point.
pub(super) type Objective<'a, const N: usize> = dyn Fn(&[f64; N]) -> (f64, [f64; N]) + 'a;

/// A local minimum of `f` near `start` and its value: BFGS on the inverse Hessian with a backtracking line search (Nocedal
/// and Wright, Numerical Optimization, algorithm 6.1). Ends when no step along the gradient lowers the value any more.
pub(super) fn minimize<const N: usize>(f: &Objective<'_, N>, start: [f64; N]) -> ([f64; N], f64) {
    let mut x = start;
    let (mut value, mut gradient) = f(&x);
    let mut inverse = identity::<N>();
    let mut fresh = true;
    for _ in 0..STEPS {
        let mut direction = times(&inverse, &gradient).map(|d| -d);
        if dot(&direction, &gradient) >= 0.0 {
            inverse = identity();
            direction = gradient.map(|g| -g);
        }
        let Some((next, next_value, next_gradient)) = step(f, &x, value, &gradient, &direction) else {
            if fresh {
                break;
            }
            // The curvature that was learned may be stale: once more along the bare gradient.
            inverse = identity();
            fresh = true;
            continue;
        };
        let moved = difference(&next, &x);
        let turned = difference(&next_gradient, &gradient);
        update(&mut inverse, &moved, &turned, fresh);
        fresh = false;
        let done = value - next_value <= 1e-16 * value.abs();
        (x, value, gradient) = (next, next_value, next_gradient);
        if done {
            break;
        }
    }
    (x, value)
}

/// A point along `direction` that is low enough, with its value and gradient.
fn step<const N: usize>(
    f: &Objective<'_, N>,
    x: &[f64; N],
    value: f64,
    gradient: &[f64; N],
    direction: &[f64; N],
) -> Option<([f64; N], f64, [f64; N])> {
    let slope = dot(direction, gradient);
    // A bare gradient may be far too long or short; a learned step is right at length 1.
    let mut length = 1.0;
    for _ in 0..60 {
        let mut next = *x;
        for (coordinate, d) in next.iter_mut().zip(direction) {
            *coordinate += length * d;
        }
        let (next_value, next_gradient) = f(&next);
        if next_value.is_finite() && next_value <= value + ENOUGH * length * slope && next_value < value {
            return Some((next, next_value, next_gradient));
        }
        length *= 0.5;
    }
    None
}

/// `H ← (I - ρ s yᵀ) H (I - ρ y sᵀ) + ρ s sᵀ`, skipped where the curvature is not positive.
fn update<const N: usize>(inverse: &mut [[f64; N]; N], moved: &[f64; N], turned: &[f64; N], first: bool) {
    let curvature = dot(moved, turned);
    if curvature <= 1e-14 * (dot(moved, moved) * dot(turned, turned)).sqrt() {
        return;
    }
    if first {
        let scale = curvature / dot(turned, turned);
        *inverse = identity::<N>().map(|row| row.map(|entry| entry * scale));
    }
    let product = times(inverse, turned);
    let both = 1.0 + dot(turned, &product) / curvature;
    for i in 0..N {
        for j in 0..N {
            inverse[i][j] += (both * moved[i] * moved[j] - product[i] * moved[j] - moved[i] * product[j]) / curvature;
        }
    }
}

fn identity<const N: usize>() -> [[f64; N]; N] {
    std::array::from_fn(|i| std::array::from_fn(|j| if i == j { 1.0 } else { 0.0 }))
}

fn times<const N: usize>(matrix: &[[f64; N]; N], vector: &[f64; N]) -> [f64; N] {
    std::array::from_fn(|i| dot(&matrix[i], vector))
}

fn difference<const N: usize>(a: &[f64; N], b: &[f64; N]) -> [f64; N] {
    std::array::from_fn(|i| a[i] - b[i])
}

fn dot<const N: usize>(a: &[f64; N], b: &[f64; N]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_valley_of_rosenbrock_is_followed_to_its_end() {
        let rosenbrock = |x: &[f64; 2]| {
            let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
            (a * a + 100.0 * b * b, [-2.0 * a - 400.0 * x[0] * b, 200.0 * b])
        };
        let (x, value) = minimize(&rosenbrock, [-1.2, 1.0]);
        assert!(value < 1e-18 && (x[0] - 1.0).abs() < 1e-8 && (x[1] - 1.0).abs() < 1e-8, "{x:?} {value}");
    }
}
