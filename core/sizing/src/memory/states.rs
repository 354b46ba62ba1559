//! Everything that does not depend on the micro-batch.
//!
//! ZeRO's table (arXiv 1910.02054, section 5.4), parameters first divided by the tensor-parallel degree, the pipeline's
//! stages and, for experts, the expert-parallel degree. Context-parallel ranks share states as data-parallel ones do.

use super::tuning::Tuning;
use super::{Parts, base_is_quantised};
use crate::calibration::MemoryConstants;
use crate::method::Demand;
use crate::precision::state_bytes;
use crate::profile::{KernelKind, Profile, Role};
use crate::{JobSpec, Layout, Offload, Optimizer, Precision, Sharding};

/// Bits of a weight in NF4 with its constants quantised too (arXiv 2305.14314, section 3).
const NF4: f64 = 4.127;

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

/// Parameters of a model as states see them.
#[derive(Clone, Debug)]
pub(super) struct StateSums {
    embedding: f64,
    body: f64,
    head: f64,
    tied: f64,
    /// Share of the body that belongs to routed experts.
    expert_share: f64,
    layers: f64,
    /// The largest repetition of a body unit, embedding or head.
    largest_unit: f64,
    largest_block: f64,
    trained: f64,
    /// Bytes of what is not trained: a frozen base, models that only compute forward.
    frozen: f64,
    dequantised: f64,
    precision: Precision,
    optimizer: Optimizer,
    keeps_gathered: bool,
}

impl StateSums {
    pub(super) fn new(profile: &Profile, job: &JobSpec, demand: &Demand, tuning: &Tuning) -> Self {
        let of = |role| profile.role(role).map(|unit| unit.all_parameters() as f64).sum::<f64>();
        let body = of(Role::Body);
        let experts: f64 =
            profile.units.iter().map(|unit| unit.expert_parameters as f64 * f64::from(unit.repeats)).sum();
        let working = job.precision.working_bytes() as f64;
        let quantised = base_is_quantised(job.method, job.precision);
        let bits = quantised.then_some(tuning.quantised_bits.unwrap_or(NF4));
        let trained = tuning.trained_parameters.unwrap_or(demand.trained_parameters);
        // Units are frozen in full or in part; quantisation leaves embeddings alone.
        let whole = stored_base(profile, working, bits);
        let untrained = profile.units.iter().zip(&demand.trained);
        let untrained: f64 = untrained.map(|(unit, trained)| unit.all_parameters() as f64 * (1.0 - trained)).sum();
        let base = whole * untrained / (profile.parameters() as f64).max(1.0);
        let residents: f64 = demand.residents.iter().map(|resident| resident.weight_bytes).sum();
        let block = profile.role(Role::Body).map(|unit| unit.parameters as f64).fold(0.0, f64::max);
        Self {
            embedding: of(Role::Embedding),
            body,
            head: of(Role::Head),
            tied: profile.units.iter().map(|unit| unit.tied_parameters as f64).sum(),
            expert_share: if body > 0.0 { experts / body } else { 0.0 },
            layers: profile.role(Role::Body).map(|unit| f64::from(unit.repeats)).sum(),
            largest_unit: profile.largest_unit() as f64,
            largest_block: block,
            trained: trained as f64,
            frozen: base + residents,
            dequantised: if quantised { dequantised(profile, working) } else { 0.0 },
            precision: job.precision,
            optimizer: job.optimizer,
            keeps_gathered: tuning.keeps_gathered,
        }
    }

    /// Parameters in all.
    fn all(&self) -> f64 {
        (self.embedding + self.body + self.head).max(1.0)
    }

    /// Share of all parameters that one device of a stage holds before any sharing out.
    fn share(&self, layout: &Layout, first: bool, last: bool) -> f64 {
        let stages = f64::from(layout.pipeline.max(1));
        let blocks = if self.layers > 0.0 { (self.layers / stages).ceil() / self.layers } else { 1.0 / stages };
        let experts = self.expert_share / f64::from(layout.expert.max(1)) + 1.0 - self.expert_share;
        let mut held = self.body * blocks.min(1.0) * experts;
        if first {
            held += self.embedding;
        }
        if last {
            // A tied output projection on a stage of its own is a copy.
            held += self.head + if first { 0.0 } else { self.tied };
        }
        held / self.all() / f64::from(layout.tensor.max(1))
    }

    /// States and buffers of one device of a stage, in bytes.
    pub(super) fn on(&self, layout: &Layout, (first, last): (bool, bool), constants: &MemoryConstants) -> Parts {
        let (ranks, sharding) = sharing(layout);
        let bytes = state_bytes(self.precision, self.optimizer, sharding);
        let part = self.share(layout, first, last);
        let trained = self.trained * part;
        let frozen = self.frozen * part;
        let over = |at: Sharding| if sharding >= at { ranks } else { 1.0 };
        let mut weights = trained * bytes.weights / over(Sharding::Full) + frozen / over(Sharding::Full);
        let mut gradients = trained * bytes.gradients / over(Sharding::Gradients);
        let mut optimizer = trained * bytes.optimizer / over(Sharding::Optimizer);
        let bucket = trained.min(BUCKET) * bytes.gradients;
        let mut buffers = match sharding {
            // Autocast keeps a 16-bit copy of every weight; DDP keeps a second copy of all gradients in its buckets.
            Sharding::None => {
                let cast = if self.precision.is_mixed() { 2.0 * trained } else { 0.0 };
                cast + if layout.data > 1 { trained * bytes.gradients } else { 0.0 }
            }
            Sharding::Optimizer | Sharding::Gradients => bucket,
            Sharding::Full => {
                let whole = trained * bytes.weights + frozen;
                self.gathered(layout, whole, trained * bytes.gradients, part).min(whole * (1.0 - 1.0 / ranks) + bucket)
            }
        };
        if layout.pipeline > 1 && sharding == Sharding::Full {
            // Gathering again for every micro-batch would cost more than it saves: weights stay whole until the last one,
            // and gradients are summed whole, in fp32 where there is a master copy (FSDP2's accumulated gradients).
            let summed = if self.precision.is_mixed() { 4.0 } else { bytes.gradients };
            buffers = (trained * (bytes.weights + summed) + frozen) * (1.0 - 1.0 / ranks) + bucket;
        }
        buffers += constants.dequantised_copies * self.dequantised / f64::from(layout.tensor.max(1));
        if layout.offload != Offload::None {
            // The host takes the step; two buckets of gradients are on their way to it.
            optimizer = 0.0;
            gradients = gradients.min(2.0 * bucket);
        }
        if layout.offload == Offload::All {
            let unit = self.largest_unit.max(self.largest_block) / self.all();
            weights = weights.min(2.0 * unit * (trained * bytes.weights + frozen) / part.max(f64::MIN_POSITIVE) * part);
        }
        Parts { weights, gradients, optimizer, buffers, ..Parts::default() }
    }

    /// Whether what was gathered for the backward pass stays until its end.
    pub(super) fn keeps_gathered(&self, layout: &Layout) -> bool {
        self.keeps_gathered && sharing(layout).1 == Sharding::Full
    }

    /// Weights of one device of a stage before any sharing out, in bytes.
    pub(super) fn whole(&self, layout: &Layout, (first, last): (bool, bool)) -> f64 {
        let bytes = state_bytes(self.precision, self.optimizer, sharing(layout).1);
        (self.trained * bytes.weights + self.frozen) * self.share(layout, first, last)
    }

    /// What full sharding gathers: the input and output side, which stay, two blocks, and the unreduced gradient of the
    /// largest unit.
    fn gathered(&self, layout: &Layout, whole: f64, gradients: f64, part: f64) -> f64 {
        let share = |parameters: f64| (parameters / self.all() / f64::from(layout.tensor.max(1)) / part).min(1.0);
        let sides = share(self.embedding + self.head);
        let largest = share(self.largest_unit);
        (sides + 2.0 * share(self.largest_block)) * whole + largest * gradients
    }
}

/// Whether a kernel belongs to a block with attention.
pub(super) fn has_attention(kernels: &[crate::profile::Kernel]) -> bool {
    kernels.iter().any(|kernel| kernel.kind == KernelKind::Attention)
}
