//! Wall time of one optimizer step before anything was observed.
//!
//! `T = m·(compute + launch + tensor-parallel) + exposed data-parallel communication + optimizer`, with
//! `compute = FLOPs / (η·peak·saturation)`. Every constant here is a prior, good to 15 to 25 % at best, and is replaced by
//! [`crate::learned`] as soon as steps are observed.

use serde::{Deserialize, Serialize};

use crate::communication::Ring;
use crate::precision::state_bytes;
use crate::{Batch, ClassSpec, Flops, JobSpec, Layout, Model, Recompute, Shape, Sharding};

/// Share of peak that wide products reach at the ridge of an A100 80 GB (153 FLOP per byte), its bounds, and how it falls
/// on products with a higher ridge.
///
/// Fitted, together with the width below, to the MFU of the 209 rows without fp8 of mosaicml/llm-foundry,
/// scripts/train/benchmarking/README.md (H100, A100 80 GB, A100 40 GB; widths 768 to 8192; 8 to 512 devices; FSDP):
/// predicted over measured is 1.00 at the median, 0.88 to 1.15 for four rows in five, 0.82 to 1.37 at the extremes.
const EFFICIENCY: f64 = 0.78;
const EFFICIENCY_BOUNDS: (f64, f64) = (0.30, 0.80);
const REFERENCE_RIDGE: f64 = 153.0;
const RIDGE_EXPONENT: f64 = 0.6;

/// Width of the residual stream at which products reach half of that.
const HALF_WIDTH: f64 = 400.0;

/// Tokens at which a transformer's kernels fill half the device at a width of 4096; fewer than 4096 tokens and widths
/// below 2048 are seen to fall off.
const HALF_TOKENS: f64 = 400.0;
const REFERENCE_WIDTH: f64 = 4096.0;

/// Time at peak that fills half the device for a model of unknown kernels.
const HALF_SECONDS: f64 = 0.5e-3;

/// Kernel launches: about 20 kernels of 10 µs per layer and pass, three passes' worth per micro-batch.
const LAUNCH_PER_LAYER: f64 = 3.0 * 0.2e-3;

/// The same for a model of unknown layers.
const LAUNCH_CUSTOM: f64 = 2e-3;

/// Share of a backward pass that hides gradient communication: 0.7 to 0.95.
const OVERLAP: f64 = 0.8;

/// Times that a kept activation of a custom model crosses the memory bus, forward and backward: what brings ResNet-50 near
/// the 12 % of peak on A100 and 7 % on H100 that lambdal/deeplearning-benchmark measured (predicted 13 and 9 %).
const ACTIVATION_PASSES: f64 = 10.0;

/// Wall time of one optimizer step, in seconds; the parts follow one another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepTime {
    /// Kernels at work, all micro-batches.
    pub compute: f64,
    /// Communication that compute does not hide.
    pub communication: f64,
    /// The optimizer's pass over its states.
    pub optimizer: f64,
    /// Waiting for kernel launches.
    pub launch: f64,
    /// Share of the streaming multiprocessors that work while kernels run, 0 to 1.
    pub saturation: f64,
}

impl StepTime {
    /// The prior for one way to run a job.
    ///
    /// A class that cannot compute the precision takes forever.
    pub fn of(job: &JobSpec, class: &ClassSpec, shape: &Shape, layout: &Layout, batch: &Batch) -> Self {
        let Some(peak) = class.peak.at(job.precision) else {
            return Self { compute: f64::INFINITY, ..Self::default() };
        };
        let micro_batches = f64::from(batch.accumulation);
        let tensor = f64::from(layout.tensor.max(1));
        let flops = Flops::of(job, layout.recompute).executed * f64::from(batch.micro) / tensor;
        let saturation = saturation(job, peak, flops, layout, batch.micro);
        let slowdown = if crate::memory::base_is_quantised(job.method, job.precision) { 1.5 } else { 1.0 };
        let moved = match &job.model {
            Model::Transformer(_) => 0.0,
            Model::Custom(c) => {
                ACTIVATION_PASSES * c.activation_bytes_per_sample as f64 * f64::from(batch.micro)
                    / class.bandwidth_bytes_per_second
            }
        };
        let compute = (slowdown * flops / (efficiency(job, class, layout, peak) * peak) + moved) / saturation;
        let floor = match &job.model {
            Model::Transformer(t) => LAUNCH_PER_LAYER * f64::from(t.layers),
            Model::Custom(_) => LAUNCH_CUSTOM,
        };
        let data = data_communication(job, class, shape, layout, batch, compute);
        let inside = tensor_communication(job, class, layout, batch);
        Self {
            compute: micro_batches * compute,
            communication: micro_batches * inside + data,
            optimizer: optimizer_seconds(job, class, layout),
            launch: micro_batches * (floor - compute).max(0.0),
            saturation,
        }
    }

    /// All parts together.
    pub fn total(&self) -> f64 {
        self.compute + self.communication + self.optimizer + self.launch
    }

    /// Seconds that the step's work would take on filled devices; proportional to the samples per device.
    pub(crate) fn work(&self) -> f64 {
        self.compute * self.saturation
    }

    /// Seconds that small kernels leave unfilled: launches and the rest of compute.
    pub(crate) fn unfilled(&self) -> f64 {
        self.compute * (1.0 - self.saturation) + self.launch
    }

    /// Seconds of the step in which the multiprocessors work: SM activity times step time.
    pub fn busy(&self) -> f64 {
        self.work() + self.optimizer
    }

    /// SM activity, 0 to 1: the share of compute in the step times how far kernels fill the device. A prior to be
    /// corrected by what the agent measures.
    pub fn sm_activity(&self) -> f64 {
        let total = self.total();
        if total.is_finite() && total > 0.0 { (self.busy() / total).clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// η: the share of peak that saturated kernels reach on a class.
fn efficiency(job: &JobSpec, class: &ClassSpec, layout: &Layout, peak: f64) -> f64 {
    let width = match &job.model {
        Model::Transformer(t) => f64::from(t.hidden) / f64::from(layout.tensor.max(1)).sqrt(),
        Model::Custom(_) => HALF_WIDTH,
    };
    let ridge = peak / class.bandwidth_bytes_per_second.max(1.0);
    let saturated = EFFICIENCY * (REFERENCE_RIDGE / ridge).powf(RIDGE_EXPONENT);
    saturated.clamp(EFFICIENCY_BOUNDS.0, EFFICIENCY_BOUNDS.1) * width / (width + HALF_WIDTH)
}

/// `x/(x + x_half)`: how far one micro-batch fills the device.
fn saturation(job: &JobSpec, peak: f64, flops: f64, layout: &Layout, micro: u32) -> f64 {
    match &job.model {
        Model::Transformer(t) => {
            let tokens = f64::from(micro) * f64::from(job.sequence_length);
            let width = f64::from(t.hidden) / f64::from(layout.tensor.max(1));
            let half = HALF_TOKENS * (REFERENCE_WIDTH / width).clamp(0.25, 8.0);
            tokens / (tokens + half)
        }
        Model::Custom(_) => {
            let seconds = flops / peak;
            (seconds / (seconds + HALF_SECONDS)).max(0.01)
        }
    }
}

/// Data-parallel communication that the backward pass does not hide, per step.
///
/// Gradients are summed once per step; full sharding gathers weights twice and scatters gradients once in every
/// micro-batch (arXiv 1910.02054, section 7: 2Ψ against 3Ψ).
fn data_communication(
    job: &JobSpec,
    class: &ClassSpec,
    shape: &Shape,
    layout: &Layout,
    batch: &Batch,
    compute: f64,
) -> f64 {
    if layout.data <= 1 {
        return 0.0;
    }
    let ring = Ring::data(class, shape, layout.data, layout.tensor);
    let tensor = f64::from(layout.tensor.max(1));
    let bytes = state_bytes(job.precision, job.optimizer, layout.sharding);
    let gradients = job.trained_parameters() as f64 * bytes.gradients / tensor;
    match layout.sharding {
        Sharding::None | Sharding::Optimizer | Sharding::Gradients => {
            let backward = compute * 2.0 / 3.0;
            (ring.all_reduce(gradients) - OVERLAP * backward).max(0.0)
        }
        Sharding::Full => {
            let weights = job.model.parameters() as f64 * job.precision.working_bytes() as f64 / tensor;
            let each = 2.0 * ring.all_gather(weights) + ring.all_gather(gradients);
            f64::from(batch.accumulation) * (each - OVERLAP * compute).max(0.0)
        }
    }
}

/// Tensor-parallel communication of one micro-batch: four all-reduces of `s·b·h` elements per block, two more when the
/// forward pass is computed again (arXiv 1909.08053, section 3); nothing hides it.
fn tensor_communication(job: &JobSpec, class: &ClassSpec, layout: &Layout, batch: &Batch) -> f64 {
    let Model::Transformer(t) = &job.model else { return 0.0 };
    if layout.tensor <= 1 {
        return 0.0;
    }
    let elements = f64::from(batch.micro) * f64::from(job.sequence_length) * f64::from(t.hidden);
    let bytes = elements * job.precision.working_bytes() as f64;
    let reductions = if layout.recompute == Recompute::Full { 6.0 } else { 4.0 };
    f64::from(t.layers) * reductions * Ring::tensor(class, layout.tensor).all_reduce(bytes)
}

/// The optimizer reads and writes every state once: twice their bytes over the memory bandwidth.
fn optimizer_seconds(job: &JobSpec, class: &ClassSpec, layout: &Layout) -> f64 {
    let bytes = state_bytes(job.precision, job.optimizer, layout.sharding);
    let share = if layout.sharding == Sharding::None { 1.0 } else { f64::from(layout.data.max(1)) };
    let parameters = job.trained_parameters() as f64 / f64::from(layout.tensor.max(1)) / share;
    2.0 * parameters * (bytes.weights + bytes.gradients + bytes.optimizer) / class.bandwidth_bytes_per_second.max(1.0)
}
