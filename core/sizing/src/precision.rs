//! Number formats, optimizers and methods, and the bytes they cost per parameter.

use serde::{Deserialize, Serialize};

use crate::Sharding;

/// The number format of a training run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Precision {
    /// 32-bit throughout.
    Fp32,
    /// 32-bit storage, TF32 matrix products.
    Tf32,
    /// fp16 products, fp32 master weights, loss scaling.
    Fp16Mixed,
    /// bf16 products, fp32 master weights.
    Bf16Mixed,
    /// bf16 weights, gradients and optimizer states; no fp32 copy.
    Bf16,
}

impl Precision {
    /// Whether an fp32 master copy stands beside 16-bit working weights.
    pub fn is_mixed(self) -> bool {
        matches!(self, Self::Fp16Mixed | Self::Bf16Mixed)
    }

    /// Bytes of one working weight or activation element.
    pub fn working_bytes(self) -> u64 {
        match self {
            Self::Fp32 | Self::Tf32 => 4,
            Self::Fp16Mixed | Self::Bf16Mixed | Self::Bf16 => 2,
        }
    }
}

/// The rule that turns gradients into new weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Optimizer {
    /// Two moments.
    AdamW,
    /// Two moments of 8 bits.
    AdamW8bit,
    /// Row and column sums instead of a second moment.
    Adafactor,
    /// No state.
    Sgd,
    /// One moment.
    SgdMomentum,
    /// One moment.
    Lion,
}

impl Optimizer {
    /// Bytes of optimizer moments per parameter, without master weights.
    ///
    /// Moments stand in the format of the weights that the optimizer steps: 4 bytes each, 2 in pure bf16; 8-bit Adam
    /// 1 byte each. Adafactor keeps one row and one column sum per matrix, below 0.01 byte per parameter from a width of
    /// 1024 on.
    pub fn moment_bytes(self, precision: Precision) -> f64 {
        let element = if precision == Precision::Bf16 { 2.0 } else { 4.0 };
        match self {
            Self::AdamW => 2.0 * element,
            Self::AdamW8bit => 2.0,
            Self::Adafactor => 0.01,
            Self::Sgd => 0.0,
            Self::SgdMomentum | Self::Lion => element,
        }
    }
}

/// Which parameters are trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Method {
    /// All, from random values.
    Pretrain,
    /// All, from given values.
    Finetune,
    /// Low-rank adapters on the query and value projections of a frozen 16-bit base (arXiv 2106.09685).
    Lora {
        /// Rank of the adapters.
        rank: u32,
    },
    /// The same on a 4-bit base (arXiv 2305.14314).
    Qlora {
        /// Rank of the adapters.
        rank: u32,
    },
}

impl Method {
    /// The adapters' rank, when only adapters are trained.
    pub fn adapter_rank(self) -> Option<u32> {
        match self {
            Self::Pretrain | Self::Finetune => None,
            Self::Lora { rank } | Self::Qlora { rank } => Some(rank),
        }
    }
}

/// Bytes that one trained parameter costs, by state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct StateBytes {
    pub(crate) weights: f64,
    pub(crate) gradients: f64,
    pub(crate) optimizer: f64,
}

/// Bytes per trained parameter before any sharing out.
///
/// Without sharding a mixed run is PyTorch's autocast: fp32 weights, gradients and moments (4 + 4 + 8 for Adam). With
/// sharding it is the ledger of ZeRO (arXiv 1910.02054, section 3.1): 16-bit weights and gradients, fp32 master copy with
/// the optimizer (2 + 2 + 12).
pub(crate) fn state_bytes(precision: Precision, optimizer: Optimizer, sharding: Sharding) -> StateBytes {
    let moments = optimizer.moment_bytes(precision);
    match precision {
        Precision::Fp32 | Precision::Tf32 => StateBytes { weights: 4.0, gradients: 4.0, optimizer: moments },
        Precision::Bf16 => StateBytes { weights: 2.0, gradients: 2.0, optimizer: moments },
        Precision::Fp16Mixed | Precision::Bf16Mixed if sharding == Sharding::None => {
            StateBytes { weights: 4.0, gradients: 4.0, optimizer: moments }
        }
        Precision::Fp16Mixed | Precision::Bf16Mixed => {
            StateBytes { weights: 2.0, gradients: 2.0, optimizer: 4.0 + moments }
        }
    }
}
