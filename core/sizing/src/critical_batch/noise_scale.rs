//! The gradient noise scale, measured on the job itself.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The squared norm of a gradient that was averaged over a batch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GradientNorm {
    /// Samples (or tokens) that it was averaged over; above 0.
    pub batch: f64,
    /// `|g|²`, at least 0.
    pub squared_norm: f64,
}

/// Two gradients that say nothing about noise.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
pub enum NoiseError {
    /// The batches are the same, or not above 0.
    #[error("failed to estimate noise scale: batches of {small} and {large} must differ and be above 0")]
    Batches {
        /// The one.
        small: f64,
        /// The other.
        large: f64,
    },
    /// A norm is negative or not a number.
    #[error("failed to estimate noise scale: a squared gradient norm is {value}")]
    Norm {
        /// Its value.
        value: f64,
    },
}

/// What two gradients of one step say of the true gradient `G` and of the scatter of samples around it. Both are unbiased
/// and noisy: a single one may be below 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NoiseEstimate {
    /// `|G|²`.
    pub squared_gradient: f64,
    /// `tr(Σ)`, the sum of the variances of a single sample's gradient.
    pub trace: f64,
}

impl NoiseEstimate {
    /// From the same step's gradient over two batches, such as one rank's and that of all (McCandlish et al., arXiv
    /// 1812.06162, appendix A.1): since `E|g_B|² = |G|² + tr(Σ)/B`,
    /// `|G|² = (B₂q₂ - B₁q₁)/(B₂ - B₁)` and `tr(Σ) = (q₁ - q₂)/(1/B₁ - 1/B₂)`.
    ///
    /// # Errors
    /// When the batches are the same or not above 0, or a norm is negative or not a number.
    pub fn of(one: GradientNorm, other: GradientNorm) -> Result<Self, NoiseError> {
        let (small, large) = if one.batch <= other.batch { (one, other) } else { (other, one) };
        let (b1, b2) = (small.batch, large.batch);
        if !(b1 > 0.0 && b2 > b1 && b2.is_finite()) {
            return Err(NoiseError::Batches { small: b1, large: b2 });
        }
        let (q1, q2) = (small.squared_norm, large.squared_norm);
        if let Some(value) = [q1, q2].into_iter().find(|norm| !(*norm >= 0.0 && norm.is_finite())) {
            return Err(NoiseError::Norm { value });
        }
        Ok(Self { squared_gradient: (b2 * q2 - b1 * q1) / (b2 - b1), trace: (q1 - q2) / (1.0 / b1 - 1.0 / b2) })
    }

    /// From the squared norm of the true gradient and the variance of the gradient over a `batch`, as programs report that
    /// keep both (AdaScale, Pollux): `tr(Σ) = variance · batch`. Values below 0 are kept, for the same reason as above.
    ///
    /// # Errors
    /// When the batch is not above 0, or one of the others is not a number.
    pub fn of_variance(squared_gradient: f64, variance: f64, batch: f64) -> Result<Self, NoiseError> {
        if !(batch > 0.0 && batch.is_finite()) {
            return Err(NoiseError::Batches { small: batch, large: batch });
        }
        if let Some(value) = [squared_gradient, variance].into_iter().find(|value| !value.is_finite()) {
            return Err(NoiseError::Norm { value });
        }
        Ok(Self { squared_gradient, trace: variance * batch })
    }
}

/// A running estimate of the noise scale `tr(Σ)/|G|²`. Numerator and denominator are smoothed apart and divided last: the
/// mean of single ratios would be biased, and may not even exist.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NoiseScale {
    /// Share that the past keeps with each estimate, 0 to below 1.
    decay: f64,
    squared_gradient: f64,
    trace: f64,
}

impl NoiseScale {
    /// Starts without estimates. With a `decay` of 0.99 it remembers about the last hundred.
    pub fn new(decay: f64) -> Self {
        Self { decay: decay.clamp(0.0, 1.0 - f64::EPSILON), squared_gradient: 0.0, trace: 0.0 }
    }

    /// Adds a step's estimate.
    pub fn push(&mut self, estimate: NoiseEstimate) {
        let mix = |past: f64, new: f64| self.decay * past + (1.0 - self.decay) * new;
        (self.squared_gradient, self.trace) =
            (mix(self.squared_gradient, estimate.squared_gradient), mix(self.trace, estimate.trace));
    }

    /// The noise scale, in the unit of the batches: the batch at which gradient and noise weigh the same. `None` as long as
    /// the estimates are not above 0. That both means start from 0 does not show in their ratio.
    pub fn value(&self) -> Option<f64> {
        (self.squared_gradient > 0.0 && self.trace > 0.0).then(|| self.trace / self.squared_gradient)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_statistics_are_their_own_average_from_the_first_step() {
        let mut noise = NoiseScale::new(0.95);
        for _ in 0..3 {
            noise.push(NoiseEstimate::of_variance(2.0, 0.5, 128.0).unwrap());
            assert!((noise.value().unwrap() - 32.0).abs() < 1e-9);
        }
    }

    #[test]
    fn two_norms_give_back_what_they_were_made_of() {
        let (signal, trace) = (3.0, 600.0);
        let norm = |batch: f64| GradientNorm { batch, squared_norm: signal + trace / batch };
        let mut noise = NoiseScale::new(0.95);
        noise.push(NoiseEstimate::of(norm(32.0), norm(256.0)).unwrap());
        assert!((noise.value().unwrap() - trace / signal).abs() < 1e-9);
    }

    #[test]
    fn nothing_is_said_without_a_signal() {
        let mut noise = NoiseScale::new(0.95);
        assert_eq!(noise.value(), None);
        noise.push(NoiseEstimate::of_variance(-1.0, 1.0, 8.0).unwrap());
        assert_eq!(noise.value(), None);
        assert!(NoiseEstimate::of_variance(f64::NAN, 1.0, 8.0).is_err());
        assert!(NoiseEstimate::of_variance(1.0, 1.0, 0.0).is_err());
    }
}
