//! Everything that does not depend on the micro-batch.
//!
//! ZeRO's table (arXiv 1910.02054, section 5.4), parameters first divided by the tensor-parallel degree, the pipeline's
//! stages and, for experts, the expert-parallel degree; optimizer states are those of the matrices that stand there. Context-parallel ranks share states as data-parallel ones do.

use super::Parts;
use super::tuning::Tuning;
use crate::calibration::MemoryConstants;
use crate::method::Demand;
use crate::method::holding::{Holding, Holdings};
use crate::precision::{ROW_INDEX, row_bytes, state_bytes};
use crate::profile::{KernelKind, Profile, Role};
use crate::{JobSpec, Layout, Offload, Precision, Sharding};

/// Elements of one reduction bucket (DeepSpeed's default).
const BUCKET: f64 = 5e8;

/// Bytes of a frozen base before any sharing out; embeddings are never quantised.
pub(super) fn stored_base(profile: &Profile, working: f64, quantised_bits: Option<f64>) -> f64 {
    let all = profile.parameters() as f64;
    let Some(bits) = quantised_bits else { return all * working };
    let embedding: u64 = profile.role(Role::Embedding).map(|unit| unit.all_parameters()).sum();
    let embedding = embedding as f64;
    (all - embedding) * bits / 8.0 + embedding * working
}

/// Bytes of the largest matrix once it is dequantised for its product.
pub(super) fn dequantised(profile: &Profile, working: f64) -> f64 {
    let largest = profile.matrices().map(|(matrix, _)| matrix.rows as f64 * matrix.columns as f64);
    largest.fold(0.0, f64::max) * working
}

/// Ranks that share states out, and what they share: one rank has nobody to share with.
fn sharing(layout: &Layout) -> (f64, Sharding) {
    let ranks = f64::from(layout.sharing_ranks()) * f64::from(layout.context.max(1));
    (ranks, if ranks <= 1.0 { Sharding::None } else { layout.sharding })
}

/// The models of a job as states see them.
#[derive(Clone, Debug)]
pub(super) struct StateSums {
    holdings: Holdings,
    dequantised: f64,
    precision: Precision,
    global_batch: f64,
    keeps_gathered: bool,
}

impl StateSums {
    pub(super) fn new(profile: &Profile, job: &JobSpec, demand: &Demand, tuning: &Tuning) -> Self {
        let working = job.precision.working_bytes() as f64;
        Self {
            holdings: Holdings::new(profile, job, demand, tuning.quantised_bits, tuning.trained_parameters),
            dequantised: if job.base_is_quantised() { dequantised(profile, working) } else { 0.0 },
            precision: job.precision,
            global_batch: f64::from(job.global_batch),
            keeps_gathered: tuning.keeps_gathered,
        }
    }

    /// States and buffers of one device of a stage, in bytes.
    pub(super) fn on(&self, layout: &Layout, ends: (bool, bool), constants: &MemoryConstants) -> Parts {
        let (ranks, sharding) = sharing(layout);
        let bytes = state_bytes(self.precision, sharding);
        let held = self.holdings.on(layout, ends);
        let over = |at: Sharding| if sharding >= at { ranks } else { 1.0 };
        let mut weights = held.weights(bytes.weights) / over(Sharding::Full);
        let mut gradients = held.trained * bytes.gradients / over(Sharding::Gradients);
        let mut optimizer = (held.trained * bytes.master + held.moments) / over(Sharding::Optimizer);
        let bucket = held.trained.min(BUCKET) * bytes.gradients;
        let one = held.trained / self.holdings.models;
        let mut buffers = match sharding {
            // Autocast keeps a 16-bit copy of every weight; DDP keeps a second copy of all gradients in its buckets.
            Sharding::None => {
                let cast = if self.precision.is_mixed() { 2.0 * one } else { 0.0 };
                cast + if layout.data > 1 { held.trained * bytes.gradients } else { 0.0 }
            }
            Sharding::Optimizer | Sharding::Gradients => bucket,
            Sharding::Full => {
                let largest = self.holdings.largest.trained * bytes.gradients;
                let gathered = self.holdings.gathered(layout).weights(bytes.weights);
                let most = held.weights(bytes.weights) * (1.0 - 1.0 / ranks) + bucket;
                (gathered + largest / f64::from(layout.tensor.max(1))).min(most)
            }
        };
        if layout.pipeline > 1 && sharding == Sharding::Full {
            // Gathering again for every micro-batch would cost more than it saves: weights stay whole until the last one,
            // and gradients are summed whole, in fp32 where there is a master copy (FSDP2's accumulated gradients).
            let summed = if self.precision.is_mixed() { 4.0 } else { bytes.gradients };
            buffers = held.weights(bytes.weights + summed) * (1.0 - 1.0 / ranks) + bucket;
        }
        buffers += constants.dequantised_copies * self.dequantised / f64::from(layout.tensor.max(1));
        if layout.offload != Offload::None {
            // The host takes the step; two buckets of gradients are on their way to it.
            optimizer = 0.0;
            gradients = gradients.min(2.0 * bucket);
        }
        if layout.offload == Offload::All {
            let largest = self.holdings.largest.weights(bytes.weights) / f64::from(layout.tensor.max(1));
            weights = weights.min(2.0 * largest);
        }
        let rows = self.rows(layout, &held, over(Sharding::Optimizer));
        Parts {
            weights: weights + rows.weights,
            gradients: gradients + rows.gradients,
            optimizer: optimizer + rows.optimizer,
            buffers,
            ..Parts::default()
        }
    }

    /// Tables of sparse rows, which ranks that share anything own row by row. Their gradients are those of the rows that
    /// a rank's part of the global batch reads, whether it looks them up or owns them; offload takes dense states alone,
    /// since rows are updated where they stand.
    fn rows(&self, layout: &Layout, held: &Holding, ranks: f64) -> Parts {
        let element = row_bytes(self.precision);
        let samples = self.global_batch / f64::from(layout.data.max(1));
        let all = &self.holdings;
        let read =
            samples * (all.read_elements * element + all.read_rows * ROW_INDEX) / f64::from(layout.tensor.max(1));
        Parts {
            weights: (held.rows * element + held.frozen_rows) / ranks,
            gradients: read.min(held.rows * element / ranks),
            optimizer: held.row_moments / ranks,
            ..Parts::default()
        }
    }

    /// Whether what was gathered for the backward pass stays until its end.
    pub(super) fn keeps_gathered(&self, layout: &Layout) -> bool {
        self.keeps_gathered && sharing(layout).1 == Sharding::Full
    }

    /// Weights of one device of a stage before any sharing out, in bytes; tables of sparse rows left out.
    pub(super) fn whole(&self, layout: &Layout, ends: (bool, bool)) -> f64 {
        self.holdings.on(layout, ends).weights(state_bytes(self.precision, sharing(layout).1).weights)
    }
}

/// Whether a kernel belongs to a block with attention.
pub(super) fn has_attention(kernels: &[crate::profile::Kernel]) -> bool {
    kernels.iter().any(|kernel| kernel.kind == KernelKind::Attention)
}
