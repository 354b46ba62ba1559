//! Device memory of a training step, part by part.
//!
//! Peak = states + what the forward pass keeps + what the loss or the backward pass of one unit needs on top + buffers +
//! context + what the allocator holds beyond, on the fullest device. What is kept stands together with all gradients: the
//! last micro-batch of a step with accumulation.
//!
//! * Per unit the [`Profile`](crate::Profile) says what one sample keeps; layout and recomputation say how much of it a
//!   device holds, a pipeline's schedule how many micro-batches at once ([`footprint`]).
//! * Weights, gradients and optimizer states follow ZeRO's ledger ([`states`]).
//! * An engine that generates samples holds weights, keys and values of its own; while it sleeps others have that room.
//! * What no shape tells is in [`MemoryConstants`], fitted to published peaks.

mod footprint;
mod frozen;
mod ledger;
mod states;
mod tuning;
mod verdict;

use serde::{Deserialize, Serialize};

use crate::calibration::{Calibration, MemoryConstants};
use crate::{JobSpec, Layout, Program};

pub use footprint::Footprint;
pub use tuning::{Adapters, Tuning};
pub use verdict::Verdict;

/// Bytes of one GiB.
pub(crate) const GIB: f64 = 1_073_741_824.0;

/// Device memory of one training step on the fullest device, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Weights as stored on one device.
    pub weights: u64,
    /// Gradients as stored on one device.
    pub gradients: u64,
    /// Optimizer states as stored on one device, with the master copy under ZeRO.
    pub optimizer: u64,
    /// Activations kept for the backward pass, of all micro-batches in flight.
    pub activations: u64,
    /// Logits and what the loss needs.
    pub logits: u64,
    /// Cast copies, gathered weights, reduction buckets, dequantised weights.
    pub buffers: u64,
    /// What the backward pass of one unit needs beyond the room that the loss leaves behind.
    #[serde(default)]
    pub workspace: u64,
    /// Weights, keys and values of an engine that generates samples, beyond the room that other parts leave it.
    #[serde(default)]
    pub rollout: u64,
    /// CUDA context, libraries and communicators.
    pub context: u64,
    /// What the caching allocator holds beyond what is live.
    pub fragmentation: u64,
}

impl Memory {
    /// What a job needs on one device of a layout at a micro-batch, run by a program like most.
    pub fn of(job: &JobSpec, layout: &Layout, micro_batch: u32) -> Self {
        Footprint::new(job, &Program::default(), Tuning::default()).memory(
            layout,
            micro_batch,
            &Calibration::published().memory,
        )
    }

    /// All parts together.
    pub fn total(&self) -> u64 {
        self.allocated() + self.context
    }

    /// What the program's allocator reports as its peak (`max_memory_reserved`): everything but the context.
    pub fn allocated(&self) -> u64 {
        let Self {
            weights,
            gradients,
            optimizer,
            activations,
            logits,
            buffers,
            workspace,
            rollout,
            fragmentation,
            context: _,
        } = *self;
        weights + gradients + optimizer + activations + logits + buffers + workspace + rollout + fragmentation
    }

    /// The part that grows with the micro-batch, its fragmentation included.
    pub(crate) fn growing(&self) -> f64 {
        let growing = (self.activations + self.logits + self.workspace) as f64;
        let fragmented = self.allocated() - self.fragmentation - self.rollout;
        growing + self.fragmentation as f64 * growing / (fragmented as f64).max(1.0)
    }

    /// The part that does not depend on the micro-batch, without the context.
    pub(crate) fn fixed(&self) -> f64 {
        (self.total() - self.context) as f64 - self.growing()
    }
}

/// Parts in bytes before rounding; the context apart.
#[derive(Clone, Copy, Debug, Default)]
struct Parts {
    weights: f64,
    gradients: f64,
    optimizer: f64,
    activations: f64,
    logits: f64,
    buffers: f64,
    workspace: f64,
    /// Taken at once and kept, so that no allocator cuts it up.
    rollout: f64,
}

impl Parts {
    fn live(&self) -> f64 {
        self.weights + self.gradients + self.optimizer + self.activations + self.logits + self.buffers + self.workspace
    }

    fn memory(&self, devices: u32, constants: &MemoryConstants) -> Memory {
        let context = constants.context_gib + if devices > 1 { constants.collectives_gib } else { 0.0 };
        Memory {
            weights: self.weights as u64,
            gradients: self.gradients as u64,
            optimizer: self.optimizer as u64,
            activations: self.activations as u64,
            logits: self.logits as u64,
            buffers: self.buffers as u64,
            workspace: self.workspace as u64,
            rollout: self.rollout as u64,
            context: (context * GIB) as u64,
            fragmentation: (self.live() * constants.fragmentation) as u64,
        }
    }
}
