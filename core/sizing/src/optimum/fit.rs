//! A loss law from one's own sweep.

use serde::Serialize;
use thiserror::Error;

use super::bfgs::minimize;
use super::{Counting, FLOPS_PER_PARAMETER_AND_TOKEN, FittedOn, LossLaw, PowerTerm, Repeats};

/// The final loss of one training run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Parameters.
    pub parameters: f64,
    /// Tokens seen in training, each once.
    pub tokens: f64,
    /// Loss at the end, in nats per token.
    pub loss_nats: f64,
}

/// A law, and how well it fits what it was fitted to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fit {
    /// The law.
    pub law: LossLaw,
    /// Points that it was fitted to.
    pub points: usize,
    /// Root mean square of its errors on them, in nats.
    pub rmse_nats: f64,
    /// Largest of its errors on them, in nats.
    pub worst_nats: f64,
}

/// Points that no law can be fitted to.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum FitError {
    /// A number is not above 0.
    #[error("failed to fit loss law: point {index} has a number that is not above 0")]
    NotPositive {
        /// Which point, from 0.
        index: usize,
    },
    /// Too few points for five constants.
    #[error("failed to fit loss law: {points} points, at least {needed} are needed for its five constants")]
    TooFew {
        /// How many there are.
        points: usize,
        /// How many it takes.
        needed: usize,
    },
    /// The points do not tell the terms apart.
    #[error("failed to fit loss law: {quantity} differ by a factor of {spread:.1} only, at least {needed} is needed")]
    TooNarrow {
        /// Parameters or tokens.
        quantity: &'static str,
        /// Largest over smallest.
        spread: f64,
        /// The least spread.
        needed: f64,
    },
}

/// Points for five constants, and some to see whether they hold.
const POINTS: usize = 8;

/// Least factor between the largest and smallest of parameters and of tokens.
const SPREAD: f64 = 4.0;

/// Errors in log loss from which on a point counts by its distance, not its square (arXiv 2203.15556, section 3.3).
const HUBER: f64 = 1e-3;

/// Starts that are refined.
const REFINED: usize = 24;

/// Fits `L = E + A/N^α + B/D^β` to the losses of finished runs, as arXiv 2203.15556 (section 3.3) and 2404.10102 do: the
/// Huber loss of the log error, from the best of a grid of starts. Each run must have been trained to the end of its own
/// schedule.
///
/// # Errors
/// When there are too few points, they are too alike, or one is not above 0.
pub fn fit(points: &[Point]) -> Result<Fit, FitError> {
    let logs = Logs::of(points)?;
    let mut starts: Vec<([f64; 5], f64)> = logs.starts().into_iter().map(|x| (x, logs.objective(&x).0)).collect();
    starts.sort_by(|a, b| a.1.total_cmp(&b.1));
    let best = starts
        .into_iter()
        .take(REFINED)
        .map(|(start, _)| minimize::<5>(&|x| logs.objective(x), start))
        .min_by(|a, b| a.1.total_cmp(&b.1));
    let law = best.map_or(LossLaw::EPOCH, |(x, _)| logs.law(&x, points));
    let errors: Vec<f64> = points.iter().map(|p| law.loss_nats(p.parameters, p.tokens) - p.loss_nats).collect();
    Ok(Fit {
        law,
        points: points.len(),
        rmse_nats: (errors.iter().map(|e| e * e).sum::<f64>() / errors.len() as f64).sqrt(),
        worst_nats: errors.iter().fold(0.0, |worst, e| e.abs().max(worst)),
    })
}

/// The points as logarithms, those of parameters and tokens around their means: that keeps a coefficient and its exponent
/// from hiding each other.
struct Logs {
    rows: Vec<(f64, f64, f64)>,
    mean_parameters: f64,
    mean_tokens: f64,
    lowest_loss: f64,
}

impl Logs {
    fn of(points: &[Point]) -> Result<Self, FitError> {
        if points.len() < POINTS {
            return Err(FitError::TooFew { points: points.len(), needed: POINTS });
        }
        let good = |x: f64| x > 0.0 && x.is_finite();
        if let Some(index) = points.iter().position(|p| !(good(p.parameters) && good(p.tokens) && good(p.loss_nats))) {
            return Err(FitError::NotPositive { index });
        }
        for (quantity, (low, high)) in
            [("parameters", range(points, |p| p.parameters)), ("tokens", range(points, |p| p.tokens))]
        {
            if high / low < SPREAD {
                return Err(FitError::TooNarrow { quantity, spread: high / low, needed: SPREAD });
            }
        }
        let mean = |of: fn(&Point) -> f64| points.iter().map(|p| of(p).ln()).sum::<f64>() / points.len() as f64;
        let (mean_parameters, mean_tokens) = (mean(|p| p.parameters), mean(|p| p.tokens));
        let row = |p: &Point| (p.parameters.ln() - mean_parameters, p.tokens.ln() - mean_tokens, p.loss_nats.ln());
        Ok(Self {
            rows: points.iter().map(row).collect(),
            mean_parameters,
            mean_tokens,
            lowest_loss: range(points, |p| p.loss_nats).0,
        })
    }

    /// A grid over what a sweep may show: how much of the lowest loss is irreducible, how the rest is shared at the mean
    /// of the points, and both exponents. The coordinates are `ln A'`, `ln B'`, `ln E`, `α`, `β`, with `A'` and `B'` the
    /// terms at the mean.
    fn starts(&self) -> Vec<[f64; 5]> {
        let mut starts = Vec::new();
        for irreducible in [0.1, 0.4, 0.7, 0.9] {
            let rest = self.lowest_loss * (1.0 - irreducible);
            for share in [0.2, 0.5, 0.8] {
                for alpha in [0.1, 0.25, 0.4, 0.6, 0.9] {
                    for beta in [0.1, 0.25, 0.4, 0.6, 0.9] {
                        let terms = [(rest * share).ln(), (rest * (1.0 - share)).ln()];
                        starts.push([terms[0], terms[1], (self.lowest_loss * irreducible).ln(), alpha, beta]);
                    }
                }
            }
        }
        starts
    }

    /// The sum over the points of the Huber loss of the log error, and its gradient.
    fn objective(&self, x: &[f64; 5]) -> (f64, [f64; 5]) {
        let [a, b, e, alpha, beta] = *x;
        let mut value = 0.0;
        let mut gradient = [0.0; 5];
        for &(parameters, tokens, loss) in &self.rows {
            let terms = [(a - alpha * parameters).exp(), (b - beta * tokens).exp(), e.exp()];
            let sum: f64 = terms.iter().sum();
            let error = sum.ln() - loss;
            let (huber, slope) = if error.abs() <= HUBER {
                (0.5 * error * error, error)
            } else {
                (HUBER * (error.abs() - 0.5 * HUBER), HUBER * error.signum())
            };
            value += huber;
            let share = terms.map(|term| slope * term / sum);
            let by = [share[0], share[1], share[2], -share[0] * parameters, -share[1] * tokens];
            for (entry, part) in gradient.iter_mut().zip(by) {
                *entry += part;
            }
        }
        (value, gradient)
    }

    fn law(&self, x: &[f64; 5], points: &[Point]) -> LossLaw {
        let [a, b, e, alpha, beta] = *x;
        let flops = |p: &Point| FLOPS_PER_PARAMETER_AND_TOKEN * p.parameters * p.tokens;
        LossLaw {
            name: "own",
            source: "fitted to the points given",
            irreducible_nats: e.exp(),
            outer_exponent: 1.0,
            parameters: PowerTerm { coefficient: (a + alpha * self.mean_parameters).exp(), exponent: alpha },
            tokens: PowerTerm { coefficient: (b + beta * self.mean_tokens).exp(), exponent: beta },
            counting: Counting::All,
            fitted_on: FittedOn {
                parameters: range(points, |p| p.parameters),
                tokens: range(points, |p| p.tokens),
                flops: Some(range(points, flops)),
                tokens_per_parameter: Some(range(points, |p| p.tokens / p.parameters)),
            },
            repeats: Repeats::TOKENS,
        }
    }
}

fn range(points: &[Point], of: impl Fn(&Point) -> f64) -> (f64, f64) {
    points.iter().map(of).fold((f64::INFINITY, 0.0), |(low, high), x| (x.min(low), x.max(high)))
}
