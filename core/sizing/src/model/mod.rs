//! The shape of a model, whatever its kind.

mod attention;
mod block;
mod custom;
mod mixture_of_experts;
mod stack;
mod transformer;

use serde::{Deserialize, Serialize};

pub use attention::LatentAttention;
pub use custom::Custom;
pub use mixture_of_experts::Experts;
pub use transformer::{Biases, Head, Norm, Positions, Transformer, Window};

use crate::profile::Profile;

/// What is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Model {
    /// A transformer of one stack described by its dimensions.
    Transformer(Transformer),
    /// Anything else, described by three numbers.
    Custom(Custom),
}

impl Model {
    /// What one sample does to a device. `sequence_length` is the number of tokens of the sample, where it has tokens.
    pub fn profile(&self, sequence_length: u32) -> Profile {
        match self {
            Self::Transformer(transformer) => transformer.profile(sequence_length),
            Self::Custom(custom) => custom.profile(),
        }
    }

    /// Parameters in all.
    pub fn parameters(&self) -> u64 {
        match self {
            Self::Transformer(transformer) => transformer.parameters(),
            Self::Custom(custom) => custom.parameters,
        }
    }

    /// Parameters that one sample passes through: those of experts that are not chosen are left out.
    pub fn active_parameters(&self) -> u64 {
        match self {
            Self::Transformer(transformer) => transformer.active_parameters(),
            Self::Custom(_) => self.parameters(),
        }
    }

    /// Parameters of low-rank adapters.
    ///
    /// For a custom model the matrices are unknown: 1 % of its parameters, above every published adapter on the query and
    /// value projections up to rank 64.
    pub fn adapter_parameters(&self, rank: u32) -> u64 {
        match self {
            Self::Transformer(transformer) => transformer.adapter_parameters(rank),
            Self::Custom(custom) => custom.parameters / 100,
        }
    }

    /// Parameters of the largest unit that full sharding gathers at once: a block or the embedding; all of a custom
    /// model, whose units are unknown.
    pub(crate) fn largest_unit(&self) -> u64 {
        match self {
            Self::Transformer(t) => t.layer_parameters().max(t.embedding_parameters()),
            Self::Custom(custom) => custom.parameters,
        }
    }
}
