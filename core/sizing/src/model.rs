//! The shape of a model, whatever its kind.

use serde::{Deserialize, Serialize};

use crate::{Custom, Transformer};

/// What is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Model {
    /// A decoder-only transformer described by its dimensions.
    Transformer(Transformer),
    /// Anything else, described by three numbers.
    Custom(Custom),
}

impl Model {
    /// Parameters in all.
    pub fn parameters(&self) -> u64 {
        match self {
            Self::Transformer(transformer) => transformer.parameters(),
            Self::Custom(custom) => custom.parameters,
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
