//! What the laws are for, and what they say nothing about.

use serde::Serialize;
use thiserror::Error;

use super::LossLaw;

/// What is trained, as far as the choice of a law goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Subject {
    /// A dense decoder trained from scratch to predict the next token.
    DenseLanguageModel,
    /// A language model with routed experts, from scratch.
    MixtureOfExperts,
    /// An encoder, or an encoder and a decoder, of text, images or sound.
    Encoder,
    /// A convolutional network.
    Convolutional,
    /// A recurrent network.
    Recurrent,
    /// A recommender or another network of embeddings and dense layers.
    Recommender,
    /// A diffusion model.
    Diffusion,
    /// A model known only by its totals.
    Custom,
    /// A pre-trained model trained further, in whole, in part or through adapters.
    FineTuning,
    /// Preferences (DPO).
    Preferences,
    /// Reinforcement learning (PPO, GRPO).
    Reinforcement,
}

/// There is no compute-optimal verdict, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error, Serialize)]
#[error("compute-optimality is not applicable to {what}: {reason}")]
pub struct NotApplicable {
    /// What is trained.
    pub what: &'static str,
    /// Why no law applies.
    pub reason: &'static str,
}

/// The default law for what is trained.
///
/// # Errors
/// [`NotApplicable`] for everything that the laws were not fitted to.
pub fn law_for(subject: Subject) -> Result<LossLaw, NotApplicable> {
    let (what, reason) = match subject {
        Subject::DenseLanguageModel => return Ok(LossLaw::EPOCH),
        Subject::MixtureOfExperts => (
            "a mixture of experts",
            "the laws were fitted to dense models; with experts the loss depends on their number and size as well, and no \
             such law is carried here. The dense law at the active parameters bounds the loss from above",
        ),
        Subject::Encoder => (
            "an encoder",
            "the laws are about the loss of predicting the next token; accuracy on images or of masked tokens saturates by \
             other laws, which depend on the data set",
        ),
        Subject::Convolutional => (
            "a convolutional network",
            "its error saturates with the data set and the augmentation; no published law carries over between data sets",
        ),
        Subject::Recurrent => (
            "a recurrent network",
            "recurrent networks stop gaining from longer context where transformers go on, so the laws do not carry over",
        ),
        Subject::Recommender => (
            "a recommender",
            "most of its parameters are embedding rows that see few samples each, so that neither parameters nor samples \
             mean what the laws take them for",
        ),
        Subject::Diffusion => ("a diffusion model", "its loss is a weighted error of noise, not nats per token"),
        Subject::Custom => {
            ("a custom model", "only its totals are known; a sweep of your own runs can be fitted instead")
        }
        Subject::FineTuning => (
            "fine-tuning",
            "what a pre-trained model learns depends on how near the new data is to the old (arXiv 2102.01293), not only on \
             parameters and tokens; watch the validation loss and stop when it turns",
        ),
        Subject::Preferences => (
            "preference tuning",
            "its loss measures a margin between answers, and the data is far too small for a law of pre-training",
        ),
        Subject::Reinforcement => (
            "reinforcement learning",
            "reward against compute follows the task and the verifier, and no published law carries over",
        ),
    };
    Err(NotApplicable { what, reason })
}
