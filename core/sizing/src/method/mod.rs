//! Methods of training: which parameters are trained, and what else computes and stands in memory.

mod demand;
pub mod federated;
pub(crate) mod holding;
mod optimizer;
pub mod reinforcement;

use serde::{Deserialize, Serialize};

pub use demand::{Demand, Resident, ResidentRole};
pub use optimizer::Optimizer;

use crate::profile::Place;
use reinforcement::Reinforcement;

/// Which matrices low-rank adapters stand beside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Matrices {
    /// Query and value projections, as in arXiv 2106.09685.
    #[default]
    QueryValue,
    /// All four attention projections.
    Attention,
    /// Attention and feed-forward, as in arXiv 2305.14314.
    AllLinear,
}

impl Matrices {
    /// As places in a profile.
    pub fn places(self) -> &'static [Place] {
        use Place::{Down, Expert, Gate, Key, Output, Query, Up, Value};
        match self {
            Self::QueryValue => &[Query, Value],
            Self::Attention => &[Query, Key, Value, Output],
            Self::AllLinear => &[Query, Key, Value, Output, Gate, Up, Down, Expert],
        }
    }
}

/// Which parameters are trained, and towards what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Method {
    /// All, from random values.
    Pretrain,
    /// All, from given values.
    Finetune,
    /// The last units alone, the head among them; what stands before only computes forward.
    Transfer {
        /// Units that are trained, repetitions counted one by one; at least 1.
        trained_units: u32,
    },
    /// Low-rank adapters on a frozen base in the working precision (arXiv 2106.09685).
    Lora {
        /// Rank of the adapters.
        rank: u32,
        /// Which matrices have one.
        matrices: Matrices,
    },
    /// The same on a 4-bit base (arXiv 2305.14314).
    Qlora {
        /// Rank of the adapters.
        rank: u32,
        /// Which matrices have one.
        matrices: Matrices,
    },
    /// Direct preference optimisation (arXiv 2305.18290): a sample is one of two answers; a frozen reference scores each.
    /// With adapters the frozen base is the reference.
    Preference {
        /// Adapters in place of training everything.
        adapters: Option<(u32, Matrices)>,
    },
    /// Reinforcement learning from rewards with all roles on the same devices: the actor is trained, the others stand
    /// beside it and take turns. A sample is one prompt with its answer, a step generates, scores and trains on a global
    /// batch of them.
    Reinforcement(Reinforcement),
    /// Differentially private training of all parameters (arXiv 1607.00133).
    Private {
        /// Whether norms come from a backward pass of their own (ghost clipping, arXiv 2205.10683) rather than from the
        /// gradient of every sample.
        ghost: bool,
    },
}

impl Method {
    /// Adapters of a rank on the query and value projections.
    pub fn lora(rank: u32) -> Self {
        Self::Lora { rank, matrices: Matrices::QueryValue }
    }

    /// The same on a 4-bit base.
    pub fn qlora(rank: u32) -> Self {
        Self::Qlora { rank, matrices: Matrices::QueryValue }
    }

    /// The adapters' rank and matrices, when only adapters are trained.
    pub fn adapters(self) -> Option<(u32, Matrices)> {
        match self {
            Self::Lora { rank, matrices } | Self::Qlora { rank, matrices } => Some((rank, matrices)),
            Self::Preference { adapters } => adapters,
            Self::Pretrain | Self::Finetune | Self::Transfer { .. } | Self::Reinforcement(_) | Self::Private { .. } => {
                None
            }
        }
    }

    /// The adapters' rank, when only adapters are trained.
    pub fn adapter_rank(self) -> Option<u32> {
        self.adapters().map(|(rank, _)| rank)
    }
}
