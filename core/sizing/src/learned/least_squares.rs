//! Bounded nonlinear least squares by Levenberg-Marquardt.
//!
//! Marquardt's damping of the normal equations (Levenberg 1944; Marquardt 1963, J. SIAM 11, 431), with box bounds kept by
//! projection: a parameter that sits on a bound and is pushed outwards takes no part in the step, and what a step would
//! carry outside is cut back to the bound (Kanzow, Yamashita and Fukushima 2004). A step is taken only when it lowers the
//! cost, so the cost never rises; the same arguments give the same result, bit for bit.

/// Box bounds of one parameter, both ends included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// The smallest value allowed.
    pub low: f64,
    /// The largest value allowed; not below `low`.
    pub high: f64,
}

impl Bounds {
    /// Every finite value.
    pub const FREE: Self = Self { low: f64::MIN, high: f64::MAX };

    /// The nearest value inside; `low` for what is not a number.
    pub fn clamp(self, value: f64) -> f64 {
        if value >= self.low { value.min(self.high) } else { self.low }
    }
}

/// When to stop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Most steps tried, those not taken included.
    pub iterations: usize,
    /// Relative decrease of the cost below which a taken step is the last one.
    pub cost_tolerance: f64,
}

impl Default for Limits {
    /// 200 steps, and a decrease of 1e-12.
    fn default() -> Self {
        Self { iterations: 200, cost_tolerance: 1e-12 }
    }
}

/// What a minimisation came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Minimum {
    /// The parameters, inside their bounds.
    pub parameters: Vec<f64>,
    /// Sum of the squared residuals there; not above that at the start. Infinite when the start has no finite cost.
    pub cost: f64,
    /// Steps tried.
    pub iterations: usize,
    /// `JᵀJ` there, row by row: the inverse covariance of the parameters when residuals are in units of their spread.
    pub information: Vec<f64>,
    /// Whether a tolerance rather than the iteration cap ended it.
    pub converged: bool,
}

/// Minimises the sum of squared residuals from `start`, with a Jacobian by finite differences.
///
/// `residuals(parameters, out)` fills `out`, whose length is `count`. What is not finite there makes a step refused.
/// `start` is cut to its bounds first; `bounds` beyond its length are ignored, missing ones are [`Bounds::FREE`].
pub fn minimise(
    mut residuals: impl FnMut(&[f64], &mut [f64]),
    count: usize,
    start: &[f64],
    bounds: &[Bounds],
    limits: Limits,
) -> Minimum {
    let bound = |at: usize| bounds.get(at).copied().unwrap_or(Bounds::FREE);
    let size = start.len();
    let mut x: Vec<f64> = start.iter().enumerate().map(|(at, value)| bound(at).clamp(*value)).collect();
    let mut now = vec![0.0; count];
    residuals(&x, &mut now);
    let mut cost = sum_of_squares(&now);
    let mut work = Work::new(size, count);
    let mut damping = 1e-3;
    let (mut iterations, mut converged) = (0, false);
    if cost.is_finite() {
        work.differentiate(&mut residuals, &mut x, &now, bound);
    }
    while cost.is_finite() && iterations < limits.iterations {
        iterations += 1;
        let free = |at: usize, gradient: f64| {
            let Bounds { low, high } = bound(at);
            low < high && !(x[at] <= low && gradient > 0.0) && !(x[at] >= high && gradient < 0.0)
        };
        if !work.step(damping, free) {
            converged = work.at_rest;
            if converged {
                break;
            }
            damping *= 10.0;
            continue;
        }
        for (at, (trial, from)) in work.trial.iter_mut().zip(&x).enumerate() {
            *trial = bound(at).clamp(from + work.delta[at]);
        }
        let moved = work.trial != x;
        if !moved {
            converged = true;
            break;
        }
        residuals(&work.trial, &mut work.shifted);
        let tried = sum_of_squares(&work.shifted);
        if tried < cost {
            let gain = (cost - tried) / cost;
            x.copy_from_slice(&work.trial);
            now.copy_from_slice(&work.shifted);
            cost = tried;
            damping = (damping * 0.2).max(1e-14);
            work.differentiate(&mut residuals, &mut x, &now, bound);
            if gain < limits.cost_tolerance || cost == 0.0 {
                converged = true;
                break;
            }
        } else {
            damping *= 5.0;
            if damping > 1e14 {
                converged = true;
                break;
            }
        }
    }
    Minimum { parameters: x, cost, iterations, information: work.normal, converged }
}

fn sum_of_squares(values: &[f64]) -> f64 {
    let sum: f64 = values.iter().map(|value| value * value).sum();
    if sum.is_nan() { f64::INFINITY } else { sum }
}

/// Everything that is allocated, once.
struct Work {
    size: usize,
    jacobian: Vec<f64>,
    normal: Vec<f64>,
    gradient: Vec<f64>,
    delta: Vec<f64>,
    trial: Vec<f64>,
    shifted: Vec<f64>,
    factor: Vec<f64>,
    free: Vec<usize>,
    /// Whether the last step was refused since nothing is left to move.
    at_rest: bool,
}

impl Work {
    fn new(size: usize, count: usize) -> Self {
        Self {
            size,
            jacobian: vec![0.0; size * count],
            normal: vec![0.0; size * size],
            gradient: vec![0.0; size],
            delta: vec![0.0; size],
            trial: vec![0.0; size],
            shifted: vec![0.0; count],
            factor: vec![0.0; size * size],
            free: Vec::with_capacity(size),
            at_rest: false,
        }
    }

    /// Forward differences, backward where the upper bound is in the way; `x` comes back as it was.
    fn differentiate(
        &mut self,
        residuals: &mut impl FnMut(&[f64], &mut [f64]),
        x: &mut [f64],
        now: &[f64],
        bound: impl Fn(usize) -> Bounds,
    ) {
        let count = now.len();
        for at in 0..self.size {
            let value = x[at];
            let length = 1e-7 * value.abs().max(1e-3);
            let forward = bound(at).clamp(value + length);
            x[at] = if forward > value { forward } else { bound(at).clamp(value - length) };
            let taken = x[at] - value;
            residuals(x, &mut self.shifted);
            x[at] = value;
            for (row, shifted) in self.shifted.iter().enumerate() {
                let slope = if taken == 0.0 { 0.0 } else { (shifted - now[row]) / taken };
                self.jacobian[at * count + row] = if slope.is_finite() { slope } else { 0.0 };
            }
        }
        let column = |at: usize| &self.jacobian[at * count..(at + 1) * count];
        for i in 0..self.size {
            self.gradient[i] = dot(column(i), now);
            for j in 0..=i {
                let product = dot(column(i), column(j));
                self.normal[i * self.size + j] = product;
                self.normal[j * self.size + i] = product;
            }
        }
    }

    /// Solves the damped normal equations over the free parameters into `delta`; whether that worked.
    fn step(&mut self, damping: f64, is_free: impl Fn(usize, f64) -> bool) -> bool {
        self.free.clear();
        for at in 0..self.size {
            self.delta[at] = 0.0;
            if self.normal[at * self.size + at] > 0.0 && is_free(at, self.gradient[at]) {
                self.free.push(at);
            }
        }
        self.at_rest = self.free.iter().all(|at| self.gradient[*at] == 0.0);
        if self.at_rest {
            return false;
        }
        let size = self.free.len();
        for (i, &row) in self.free.iter().enumerate() {
            for (j, &column) in self.free.iter().enumerate().take(i + 1) {
                let damped = if i == j { 1.0 + damping } else { 1.0 };
                self.factor[i * size + j] = self.normal[row * self.size + column] * damped;
            }
        }
        if !cholesky(&mut self.factor, size) {
            return false;
        }
        // Forward and back substitution; `trial` holds what is between.
        for i in 0..size {
            let known: f64 = (0..i).map(|j| self.factor[i * size + j] * self.trial[j]).sum();
            self.trial[i] = (-self.gradient[self.free[i]] - known) / self.factor[i * size + i];
        }
        for i in (0..size).rev() {
            let known: f64 = (i + 1..size).map(|j| self.factor[j * size + i] * self.trial[j]).sum();
            self.trial[i] = (self.trial[i] - known) / self.factor[i * size + i];
            self.delta[self.free[i]] = self.trial[i];
        }
        self.delta.iter().all(|delta| delta.is_finite())
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Lower Cholesky factor in place; `false` when the matrix is not positive definite.
pub(crate) fn cholesky(matrix: &mut [f64], size: usize) -> bool {
    for i in 0..size {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| matrix[i * size + k] * matrix[j * size + k]).sum();
            let rest = matrix[i * size + j] - known;
            if i != j {
                matrix[i * size + j] = rest / matrix[j * size + j];
            } else if rest > 0.0 {
                matrix[i * size + i] = rest.sqrt();
            } else {
                return false;
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rosenbrock(x: &[f64], out: &mut [f64]) {
        out[0] = 10.0 * (x[1] - x[0] * x[0]);
        out[1] = 1.0 - x[0];
    }

    #[test]
    fn rosenbrocks_valley_is_followed_to_its_end() {
        let found = minimise(rosenbrock, 2, &[-1.2, 1.0], &[], Limits::default());
        assert!(found.converged && found.cost < 1e-12, "{found:?}");
        assert!((found.parameters[0] - 1.0).abs() < 1e-5 && (found.parameters[1] - 1.0).abs() < 1e-5, "{found:?}");
    }

    #[test]
    fn a_bound_that_cuts_the_valley_holds_the_result() {
        let bounds = [Bounds { low: -2.0, high: 0.5 }, Bounds::FREE];
        let found = minimise(rosenbrock, 2, &[-1.2, 1.0], &bounds, Limits::default());
        assert!((found.parameters[0] - 0.5).abs() < 1e-9, "{found:?}");
        assert!((found.parameters[1] - 0.25).abs() < 1e-5, "{found:?}");
    }

    /// Misra1a of the NIST Statistical Reference Datasets, with its certified values and residual sum of squares.
    #[test]
    fn nists_misra1a_comes_out_as_certified() {
        let y = [10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78];
        let x = [77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0];
        let residuals = |b: &[f64], out: &mut [f64]| {
            for (at, out) in out.iter_mut().enumerate() {
                *out = b[0] * (1.0 - (-b[1] * x[at]).exp()) - y[at];
            }
        };
        for start in [[500.0, 0.0001], [250.0, 0.0005]] {
            let found = minimise(residuals, 14, &start, &[], Limits::default());
            assert!((found.parameters[0] / 238.942_129_18 - 1.0_f64).abs() < 1e-5, "{found:?}");
            assert!((found.parameters[1] / 5.501_564_318_1e-4 - 1.0_f64).abs() < 1e-5, "{found:?}");
            assert!((found.cost / 0.124_551_388_94 - 1.0_f64).abs() < 1e-8, "{found:?}");
        }
    }

    #[test]
    fn a_parameter_that_nothing_depends_on_stays_where_it_was() {
        let found = minimise(|x, out| out[0] = x[0] - 3.0, 1, &[0.0, 7.0], &[], Limits::default());
        assert_eq!(found.parameters[1], 7.0);
        assert!((found.parameters[0] - 3.0).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn a_start_without_a_finite_cost_is_handed_back() {
        let found = minimise(|_, out| out[0] = f64::NAN, 1, &[1.0], &[], Limits::default());
        assert_eq!((found.parameters[0], found.cost, found.iterations), (1.0, f64::INFINITY, 0));
    }
}
