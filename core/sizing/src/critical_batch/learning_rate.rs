//! What a change of batch asks of the learning rate.

use serde::{Deserialize, Serialize};

/// How an optimizer turns gradients into steps, as far as batch and learning rate go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpdateRule {
    /// Steps as long as the gradient: SGD, with or without momentum.
    Gradient,
    /// Steps divided by the gradient's size: Adam and its kin; also what Lion and Muon are used with, where it is an
    /// assumption.
    Normalized,
}

/// Advice on the learning rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LearningRate {
    /// The factor to multiply it with.
    pub factor: f64,
    /// One sentence with the rule, its source and its limit.
    pub advice: String,
}

/// AdaScale's gain for a batch `scale` times the reference one (Johnson et al., arXiv 2007.05105, equation 3): the steps of
/// the reference batch that one of the large batch replaces, from 1 (no noise) to `scale` (noise alone). `noise_scale` and
/// `reference` are in one unit.
pub fn adascale_gain(noise_scale: f64, reference: f64, scale: f64) -> f64 {
    let variance = noise_scale / reference;
    (variance + 1.0) / (variance / scale + 1.0)
}

/// How to change the learning rate with the batch. `noise_scale` is a measured one (or an expected critical batch), in the
/// unit of the batches.
///
/// Gradient steps: AdaScale's gain where the noise scale is known, else linear (Goyal et al., arXiv 1706.02677).
/// Normalized steps: the square root (Malladi et al., arXiv 2205.10287).
pub fn learning_rate(rule: UpdateRule, from: f64, to: f64, noise_scale: Option<f64>) -> LearningRate {
    let scale = to / from;
    let beyond = noise_scale.filter(|critical| to > *critical).map(|critical| {
        format!("; {to:.0} is beyond the critical batch of about {critical:.0}, where a higher rate gains little")
    });
    let (factor, rule) = match (rule, noise_scale) {
        (UpdateRule::Gradient, Some(noise)) => {
            (adascale_gain(noise, from, scale), "by AdaScale's gain for the noise scale (arXiv 2007.05105)")
        }
        (UpdateRule::Gradient, None) => {
            (scale, "in proportion to the batch, with warm-up, up to the critical batch (arXiv 1706.02677)")
        }
        (UpdateRule::Normalized, _) => (
            scale.sqrt(),
            "with the square root of the batch (arXiv 2205.10287), and the decay rates of the moments with the batch",
        ),
    };
    let advice = format!("multiply the learning rate by {factor:.3}: {rule}{}", beyond.unwrap_or_default());
    LearningRate { factor, advice }
}
