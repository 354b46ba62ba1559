//! A profile as it stands in the file.

use std::collections::BTreeMap;

use serde::Deserialize;

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
    pub(super) activations: f64,
    pub(super) half_batch: f64,
}
