//! The shape of a model, whatever its kind.

mod attention;
mod block;
mod check;
mod custom;
mod encoder_decoder;
mod mixture_of_experts;
mod network;
mod recommender;
mod recurrent;
mod stack;
mod transformer;

use serde::{Deserialize, Serialize};

pub use attention::LatentAttention;
pub use check::ShapeError;
pub use custom::Custom;
pub use encoder_decoder::{EncoderDecoder, Input};
pub use mixture_of_experts::Experts;
pub use network::{Attention, Convolution, Grid, Layer, Network, NetworkError, Pool, Source};
pub use recommender::{Interaction, Recommender, Table};
pub use recurrent::{Cell, Recurrent};
pub use transformer::{Biases, Head, Norm, Positions, Transformer, Window};

use crate::profile::Profile;

/// What is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Model {
    /// A transformer of one stack described by its dimensions.
    Transformer(Transformer),
    /// A transformer of two stacks.
    EncoderDecoder(Box<EncoderDecoder>),
    /// A network described by its layers: convolutional networks, vision transformers, diffusion models.
    Network(Network),
    /// A recurrent network.
    Recurrent(Recurrent),
    /// Embedding tables and dense layers, or dense layers alone.
    Recommender(Recommender),
    /// Anything else, described by three numbers.
    Custom(Custom),
}

impl Model {
    /// What one sample does to a device. `sequence_length` is the number of tokens of the sample, where it has tokens.
    ///
    /// Empty for a network whose layers do not fit each other, which [`Model::check`] refuses.
    pub fn profile(&self, sequence_length: u32) -> Profile {
        match self {
            Self::Transformer(transformer) => transformer.profile(sequence_length),
            Self::EncoderDecoder(both) => both.profile(sequence_length),
            Self::Network(network) => network.try_profile().unwrap_or_default(),
            Self::Recurrent(recurrent) => recurrent.profile(sequence_length),
            Self::Recommender(recommender) => recommender.profile(),
            Self::Custom(custom) => custom.profile(),
        }
    }

    /// Whether one sample is a sequence, whose length must be known.
    pub fn needs_sequence_length(&self) -> bool {
        match self {
            Self::Transformer(_) | Self::EncoderDecoder(_) | Self::Recurrent(_) => true,
            Self::Network(_) | Self::Recommender(_) | Self::Custom(_) => false,
        }
    }

    /// Parameters in all.
    pub fn parameters(&self) -> u64 {
        match self {
            Self::Transformer(transformer) => transformer.parameters(),
            Self::EncoderDecoder(both) => both.parameters(),
            Self::Network(_) => self.profile(1).parameters(),
            Self::Recurrent(recurrent) => recurrent.parameters(),
            Self::Recommender(recommender) => recommender.parameters(),
            Self::Custom(custom) => custom.parameters,
        }
    }

    /// Parameters that one sample passes through: those of experts that are not chosen are left out.
    pub fn active_parameters(&self) -> u64 {
        match self {
            Self::Transformer(transformer) => transformer.active_parameters(),
            _ => self.parameters(),
        }
    }
}
