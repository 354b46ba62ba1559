//! What the laws are for, and what they say nothing about.

use serde::Serialize;
use thiserror::Error;

use super::{Counting, Data, LossLaw, Verdict};
use crate::profile::Role;
use crate::{Head, Method, Model};

/// What is trained, as far as the choice of a law goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Subject {
    /// A dense decoder trained from scratch to predict the next token.
    DenseLanguageModel,
    /// A language model with routed experts, from scratch.
    MixtureOfExperts,
    /// An encoder, or an encoder and a decoder.
    Encoder,
    /// A network described by its layers: convolutions, patches of images, diffusion.
    Layers,
    /// A recurrent network.
    Recurrent,
    /// A recommender or another network of embeddings and dense layers.
    Recommender,
    /// A model known only by its totals.
    Custom,
    /// A pre-trained model trained further, in whole, in part or through adapters.
    FineTuning,
    /// Preferences (DPO).
    Preferences,
    /// With differential privacy.
    Private,
    /// Reinforcement learning (PPO, GRPO).
    Reinforcement,
}

impl Subject {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::DenseLanguageModel,
        Self::MixtureOfExperts,
        Self::Encoder,
        Self::Layers,
        Self::Recurrent,
        Self::Recommender,
        Self::Custom,
        Self::FineTuning,
        Self::Preferences,
        Self::Private,
        Self::Reinforcement,
    ];

    /// What a model trained by a method is to the laws.
    pub fn of(model: &Model, method: Method) -> Self {
        match (method, model) {
            (Method::Preference { .. }, _) => Self::Preferences,
            (Method::Private { .. }, _) => Self::Private,
            (Method::Reinforcement(_), _) => Self::Reinforcement,
            (Method::Finetune | Method::Transfer { .. } | Method::Lora { .. } | Method::Qlora { .. }, _) => {
                Self::FineTuning
            }
            (Method::Pretrain, Model::Transformer(transformer)) => {
                if transformer.head != Head::LanguageModel {
                    Self::Encoder
                } else if transformer.experts.is_some() {
                    Self::MixtureOfExperts
                } else {
                    Self::DenseLanguageModel
                }
            }
            (Method::Pretrain, Model::EncoderDecoder(_)) => Self::Encoder,
            (Method::Pretrain, Model::Network(_)) => Self::Layers,
            (Method::Pretrain, Model::Recurrent(_)) => Self::Recurrent,
            (Method::Pretrain, Model::Recommender(_)) => Self::Recommender,
            (Method::Pretrain, Model::Custom(_)) => Self::Custom,
        }
    }
}

impl Counting {
    /// The parameters of a model, counted this way.
    pub fn parameters(self, model: &Model) -> f64 {
        let embeddings = match self {
            Self::All => 0.0,
            Self::WithoutEmbeddings => {
                let units = model.profile(1).units;
                let embeddings = units.iter().filter(|unit| unit.role == Role::Embedding);
                embeddings.map(|unit| f64::from(unit.repeats) * unit.parameters as f64).sum()
            }
        };
        model.parameters() as f64 - embeddings
    }
}

/// The verdict of the default law on a model trained by a method on `data`.
///
/// # Errors
/// [`NotApplicable`] for everything that the laws were not fitted to.
pub fn judge(model: &Model, method: Method, data: Data) -> Result<Verdict, NotApplicable> {
    let law = law_for(Subject::of(model, method))?;
    Ok(law.judge(law.counting.parameters(model), data))
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
            "the laws are about predicting the next token from those before it; the loss of masked or translated tokens is \
             another quantity",
        ),
        Subject::Layers => (
            "a network of images or sound",
            "its error saturates with the data set and the augmentation, and the loss of a diffusion model is an error of \
             noise; no published law carries over between data sets",
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
        Subject::Private => (
            "private training",
            "clipping and noise, not parameters and tokens, bound its loss; the laws know nothing of the privacy budget",
        ),
        Subject::Reinforcement => (
            "reinforcement learning",
            "reward against compute follows the task and the verifier, and no published law carries over",
        ),
    };
    Err(NotApplicable { what, reason })
}
