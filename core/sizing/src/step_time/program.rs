//! What a training program does that neither its job nor its layout says.

use serde::{Deserialize, Serialize};

/// How attention is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AttentionKernel {
    /// One kernel that never stores scores (arXiv 2205.14135); causal halves are skipped.
    #[default]
    Fused,
    /// The same written for the matrix units of its device: what it reaches does not fall with the peak. On an H100 that is
    /// 1.7 times as fast, where arXiv 2407.08608 measured 1.5 to 2.
    Native,
    /// Scores are stored, masked, normalised and dropped by kernels of their own, in full.
    Stored,
}

/// Traits of a training program that time depends on; the default is what most programs of today do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Program {
    /// How attention is computed.
    pub attention: AttentionKernel,
    /// Whether a compiler fuses its pointwise kernels (`torch.compile`, XLA).
    pub compiled: bool,
    /// Whether tensor-parallel communication is cut up and hidden in products.
    pub asynchronous_tensor: bool,
    /// Whether full sharding gathers tensor by tensor instead of block by block.
    pub gathers_tensors: bool,
    /// Whether gradients that stand in 32 bits are summed over ranks in 16.
    pub sums_halves: bool,
    /// Whether the backward pass computes pointwise kernels and every second product again (per-operator
    /// checkpointing), besides what the layout recomputes.
    pub recomputes_operators: bool,
    /// Samples per second that the input pipeline of one device delivers; `None`: never the bound.
    pub input_samples_per_second: Option<f64>,
}
