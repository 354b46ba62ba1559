//! The minimum and the root of a function of one argument.

/// Halvings after which a double has no digits left to gain.
const STEPS: u32 = 200;

/// The argument from `low` to `high` at which a function that falls and then rises is smallest, by golden section.
pub(super) fn minimum(f: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
    let (mut left, mut right) = (high - golden * (high - low), low + golden * (high - low));
    let (mut at_left, mut at_right) = (f(left), f(right));
    for _ in 0..STEPS {
        if at_left <= at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - golden * (high - low);
            at_left = f(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + golden * (high - low);
            at_right = f(right);
        }
    }
    f64::midpoint(low, high)
}

/// The argument from `low` to `high` at which a rising function changes its sign, by bisection.
pub(super) fn root(f: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    for _ in 0..STEPS {
        let middle = f64::midpoint(low, high);
        if f(middle) < 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parabola_is_smallest_at_its_vertex_and_a_line_crosses_zero_where_it_does() {
        assert!((minimum(|x| (x - 0.3).powi(2), -4.0, 9.0) - 0.3).abs() < 1e-7);
        assert!((root(|x| 2.0 * x - 3.0, -5.0, 5.0) - 1.5).abs() < 1e-12);
    }
}
