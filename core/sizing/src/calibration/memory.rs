//! What the memory model cannot know from a model's shape.

use serde::{Deserialize, Serialize};

/// Constants of the memory model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryConstants {
    /// CUDA context and libraries, in GiB.
    pub context_gib: f64,
    /// Channels and buffers of collectives as soon as two devices talk, in GiB.
    pub collectives_gib: f64,
    /// Share that the caching allocator holds beyond what is live.
    pub fragmentation: f64,
    /// Copies that an eager program keeps beside the tensors of the profile, as a factor.
    pub eager: f64,
    /// Bytes per token and word of the vocabulary at the peak of the loss.
    pub logits_bytes: f64,
}

impl MemoryConstants {
    /// Where a fit starts: the middle of what sources name (0.3 to 0.8 GiB, 0.2 to 1.5 GiB, 3 to 10 %, 1.08 to 1.18,
    /// 4 to 12 bytes).
    pub const STARTING: Self =
        Self { context_gib: 0.6, collectives_gib: 0.4, fragmentation: 0.05, eager: 1.10, logits_bytes: 8.0 };
}
