//! What a program does that neither job nor layout says and that only memory depends on.

use serde::{Deserialize, Serialize};

/// What is trained beside a frozen base.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Adapters {
    /// Low-rank products beside projections, behind dropout (arXiv 2106.09685): each keeps its input, the input after
    /// dropout, and a mask.
    #[default]
    LowRank,
    /// A learned prefix of the attention (arXiv 2303.16199): keeps nothing of note.
    Prefix,
    /// A scale and a bias on the output of every linear layer (arXiv 2304.15010): keeps all those outputs.
    Scales,
}

/// Traits of a program that memory depends on and time does not; the default is what most programs do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tuning {
    /// What is trained beside a frozen base; without meaning where everything is trained.
    pub adapters: Adapters,
    /// Trained parameters where they are known; `None`: the job's own count.
    pub trained_parameters: Option<u64>,
    /// Whether one kernel takes the loss in place of the logits, instead of copies in fp32.
    pub fused_loss: bool,
    /// Bits of one weight of a quantised base; `None`: 4.127, NF4 with its constants quantised too (arXiv 2305.14314,
    /// section 3; 4.5 without).
    pub quantised_bits: Option<f64>,
    /// Whether full sharding leaves frozen weights gathered once the backward pass has used them: FSDP frees a unit when
    /// its gradient is there, and frozen ones have none.
    pub keeps_gathered: bool,
}
