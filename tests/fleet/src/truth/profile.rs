//! A profile as it stands in the file.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{BLOCK_BYTES, Run};

const MIB: f64 = (1u64 << 20) as f64;

/// One kind of job.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Profile {
    /// Table of step times, relative to the file.
    pub(super) steps: String,
    /// Factor on compute time per product.
    #[serde(default)]
    pub(super) products: BTreeMap<String, f64>,
    /// Optimizer steps of the whole training.
    pub(super) total_steps: u64,
    /// Samples per device at which it is half busy.
    pub(super) half_batch: f64,
    /// Device memory, in MiB.
    #[serde(rename = "memoryMiB")]
    pub(super) memory_mib: Memory,
    /// Sigma of the lognormal error per quantity.
    pub(super) spread: Spread,
    /// How its program behaves.
    #[serde(default)]
    pub(super) program: Habits,
}

/// How a program behaves, besides what it computes.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Habits {
    /// It reports its progress.
    pub reports: bool,
    /// It re-reads its batch while it runs.
    pub live: bool,
    /// It writes a checkpoint when it is asked to end by a signal.
    pub on_signal: bool,
    /// Seconds between two checkpoints that it writes by itself, where it has a folder for them; 0 for none.
    pub checkpoint_interval_seconds: f64,
    /// Seconds that a checkpoint takes.
    pub checkpoint_seconds: f64,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            reports: true,
            live: false,
            on_signal: true,
            checkpoint_interval_seconds: 600.0,
            checkpoint_seconds: 10.0,
        }
    }
}

/// Device memory, in MiB: context + fixed + perSample × micro-batch.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Memory {
    /// The driver's context and the libraries.
    pub(super) context: f64,
    /// Weights, gradients, optimizer states, buffers.
    pub(super) fixed: f64,
    /// Activations of one sample.
    pub(super) per_sample: f64,
    /// Share of fixed that is divided among the data-parallel ranks where anything is sharded.
    pub(super) sharded: f64,
}

/// Sigma of the lognormal error per quantity.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Spread {
    pub(super) compute: f64,
    pub(super) sync: f64,
    pub(super) per_sample: f64,
    pub(super) half_batch: f64,
}

/// Device memory of one run, in bytes.
pub(super) struct Bytes {
    pub(super) allocated: u64,
    pub(super) piece: u64,
    pub(super) context: u64,
}

impl Memory {
    /// Memory of a run, with the error that was drawn for the job's activations.
    pub(super) fn at(&self, run: &Run, error: f64) -> Bytes {
        let ranks = if run.sharding == "None" { 1.0 } else { f64::from(run.data.max(1)) };
        let fixed = self.fixed * (1.0 - self.sharded + self.sharded / ranks) / f64::from(run.tensor.max(1));
        // Recomputation keeps the input of each layer and little more.
        let kept = if run.recompute == "Full" { 0.25 } else { 1.0 };
        let activations = self.per_sample * f64::from(run.micro_batch.max(1)) * kept * error;
        let blocks = |mib: f64| (mib * MIB / BLOCK_BYTES as f64).ceil() as u64 * BLOCK_BYTES;
        Bytes {
            allocated: blocks(fixed + activations),
            // A layer's worth of a network of some dozen layers.
            piece: blocks(activations / 24.0),
            context: (self.context * MIB) as u64,
        }
    }
}
