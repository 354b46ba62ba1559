//! What the memory model cannot know from a model's shape.

use serde::{Deserialize, Serialize};

use crate::Model;

/// Constants of the memory model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryConstants {
    /// CUDA context and libraries, in GiB: 0.3 to 0.8 by driver and product. Not fitted: published peaks leave it out.
    pub context_gib: f64,
    /// Channels and buffers of collectives as soon as two devices talk, in GiB: 0.2 to 1.5 by number of communicators. Not
    /// fitted.
    pub collectives_gib: f64,
    /// Share that the caching allocator holds beyond what is live; fitted.
    pub fragmentation: f64,
    /// What an eager program's blocks keep over what the profile says, as a factor: copies of rotated, cast or joined
    /// tensors, whose views hold the whole; fitted.
    pub eager: f64,
    /// Copies of the logits at the peak of the loss: softmax and gradient at least; fitted.
    pub loss_copies: f64,
    /// Whole 16-bit copies of the largest matrix beside its quantised form; fitted.
    pub dequantised_copies: f64,
    /// Bytes that a network known only by its totals keeps for each activation that a convolution or linear layer writes,
    /// in 16 bits; fitted to the largest batches that fitted.
    pub activation_bytes: f64,
    /// How far a prediction may be too low, as a share of it: the 90th percentile of what cross-validation leaves.
    pub margin: f64,
    /// The same for a model known only by its totals, the 96th percentile.
    pub totals_margin: f64,
}

impl MemoryConstants {
    /// Where a fit starts: the middle of what sources name.
    pub const STARTING: Self = Self {
        context_gib: 0.5,
        collectives_gib: 0.4,
        fragmentation: 0.05,
        eager: 1.10,
        loss_copies: 3.0,
        dequantised_copies: 1.0,
        activation_bytes: 5.0,
        margin: 0.15,
        totals_margin: 0.4,
    };
}

impl MemoryConstants {
    /// The margin of predictions for a model.
    pub fn margin_of(&self, model: &Model) -> f64 {
        if matches!(model, Model::Custom(_)) { self.totals_margin } else { self.margin }
    }
}
