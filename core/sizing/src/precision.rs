//! Number formats, and the bytes that trained parameters cost in them.

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
    /// fp8 products, bf16 between them, fp32 master weights (arXiv 2209.05433).
    Fp8Mixed,
}

impl Precision {
    /// Whether an fp32 master copy stands beside narrower working weights.
    pub fn is_mixed(self) -> bool {
        matches!(self, Self::Fp16Mixed | Self::Bf16Mixed | Self::Fp8Mixed)
    }

    /// Bytes of one working weight or activation element.
    pub fn working_bytes(self) -> u64 {
        match self {
            Self::Fp32 | Self::Tf32 => 4,
            Self::Fp16Mixed | Self::Bf16Mixed | Self::Bf16 | Self::Fp8Mixed => 2,
        }
    }

    /// Bytes of one element as it enters a matrix product, and as a product keeps it for the backward pass.
    pub fn product_bytes(self) -> u64 {
        match self {
            Self::Fp8Mixed => 1,
            _ => self.working_bytes(),
        }
    }
}

/// Bytes that one trained parameter costs, by state; the optimizer's moments come on top
/// ([`Optimizer::state_bytes`](crate::Optimizer::state_bytes)).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct StateBytes {
    pub(crate) weights: f64,
    pub(crate) gradients: f64,
    pub(crate) master: f64,
}

/// Bytes per trained parameter before any sharing out.
///
/// Without sharding a mixed run is PyTorch's autocast: fp32 weights and gradients (4 + 4). With sharding it is the ledger
/// of ZeRO (arXiv 1910.02054, section 3.1): 16-bit weights and gradients, and an fp32 master copy with the optimizer
/// (2 + 2 + 4).
pub(crate) fn state_bytes(precision: Precision, sharding: Sharding) -> StateBytes {
    match precision {
        Precision::Fp32 | Precision::Tf32 => StateBytes { weights: 4.0, gradients: 4.0, master: 0.0 },
        Precision::Bf16 => StateBytes { weights: 2.0, gradients: 2.0, master: 0.0 },
        Precision::Fp16Mixed | Precision::Bf16Mixed | Precision::Fp8Mixed if sharding == Sharding::None => {
            StateBytes { weights: 4.0, gradients: 4.0, master: 0.0 }
        }
        Precision::Fp16Mixed | Precision::Bf16Mixed | Precision::Fp8Mixed => {
            StateBytes { weights: 2.0, gradients: 2.0, master: 4.0 }
        }
    }
}

/// Bytes of a trained element of a table of sparse rows, and of its gradient: no master copy stands beside it.
pub(crate) fn row_bytes(precision: Precision) -> f64 {
    if precision == Precision::Bf16 { 2.0 } else { 4.0 }
}

/// Bytes of the place of a row beside its gradient.
pub(crate) const ROW_INDEX: f64 = 8.0;
