//! Device memory of a training step, part by part.
//!
//! Peak = states + activations + logits + buffers + context + fragmentation, all on the fullest device. Activations and
//! logits stand together with all gradients at the end of the last forward pass of a step.

use serde::{Deserialize, Serialize};

use crate::precision::{StateBytes, state_bytes};
use crate::{JobSpec, Layout, Method, Model, Precision, Recompute, Sharding, Transformer};

/// Bytes of one GiB.
pub(crate) const GIB: f64 = 1_073_741_824.0;

/// CUDA context and libraries: 0.3 to 0.8 GiB by driver and product.
const CONTEXT: f64 = 0.6 * GIB;

/// NCCL channels and buffers as soon as two devices talk: 0.2 to 1.5 GiB by number of communicators.
const COLLECTIVES: f64 = 0.4 * GIB;

/// Share that the caching allocator holds beyond what is live: 3 to 10 %; PyTorch's torchtitan tables show 7 to 10 % of
/// states on 8 and 128 H100.
const FRAGMENTATION: f64 = 0.05;

/// Copies that an eager program keeps beside the tensors counted below (rotary positions, casts): the slope between
/// micro-batches in Lightning-AI/litgpt tutorials/resource-tables.md is 1.01 to 1.18 times the formula.
const EAGER: f64 = 1.10;

/// Bytes per parameter of a 4-bit base with double quantisation: 4.127 bits (arXiv 2305.14314, section 3).
const NF4: f64 = 4.127 / 8.0;

/// Elements of one reduction bucket (DeepSpeed's default).
const BUCKET: f64 = 5e8;

/// Device memory of one training step on the fullest device, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Weights as stored on one device.
    pub weights: u64,
    /// Gradients as stored on one device.
    pub gradients: u64,
    /// Optimizer states as stored on one device, with the master copy under ZeRO.
    pub optimizer: u64,
    /// Activations kept for the backward pass of one micro-batch.
    pub activations: u64,
    /// Logits and what the loss needs.
    pub logits: u64,
    /// Cast copies, gathered weights and reduction buckets.
    pub buffers: u64,
    /// CUDA context, libraries and communicators.
    pub context: u64,
    /// What the caching allocator holds beyond what is live.
    pub fragmentation: u64,
}

impl Memory {
    /// What a job needs on one device of a layout at a micro-batch.
    pub fn of(job: &JobSpec, layout: &Layout, micro_batch: u32) -> Self {
        let states = States::of(job, layout);
        let activations = activations(job, layout, micro_batch);
        let logits = logits(job, layout, micro_batch);
        let context = CONTEXT + if layout.devices() > 1 { COLLECTIVES } else { 0.0 };
        let live = states.weights + states.gradients + states.optimizer + states.buffers + activations + logits;
        Self {
            weights: states.weights as u64,
            gradients: states.gradients as u64,
            optimizer: states.optimizer as u64,
            activations: activations as u64,
            logits: logits as u64,
            buffers: states.buffers as u64,
            context: context as u64,
            fragmentation: (live * FRAGMENTATION) as u64,
        }
    }

    /// All parts together.
    pub fn total(&self) -> u64 {
        let Self { weights, gradients, optimizer, activations, logits, buffers, context, fragmentation } = *self;
        weights + gradients + optimizer + activations + logits + buffers + context + fragmentation
    }

    /// The part that grows with the micro-batch, its fragmentation included.
    pub(crate) fn growing(&self) -> f64 {
        (self.activations + self.logits) as f64 * (1.0 + FRAGMENTATION)
    }

    /// The part that does not depend on the micro-batch, without the context.
    pub(crate) fn fixed(&self) -> f64 {
        (self.total() - self.context) as f64 - self.growing()
    }
}

/// Everything that does not depend on the micro-batch, in bytes.
struct States {
    weights: f64,
    gradients: f64,
    optimizer: f64,
    buffers: f64,
}

impl States {
    /// ZeRO's table (arXiv 1910.02054, section 5.4), parameters first divided by the tensor-parallel degree.
    fn of(job: &JobSpec, layout: &Layout) -> Self {
        let tensor = f64::from(layout.tensor.max(1));
        let ranks = f64::from(layout.data.max(1));
        // One rank has nobody to share with.
        let sharding = if layout.data <= 1 { Sharding::None } else { layout.sharding };
        let bytes = state_bytes(job.precision, job.optimizer, sharding);
        let trained = job.trained_parameters() as f64 / tensor;
        let share = |at: Sharding| if sharding >= at { ranks } else { 1.0 };
        let frozen = frozen_bytes(job) / tensor / share(Sharding::Full);
        Self {
            weights: trained * bytes.weights / share(Sharding::Full) + frozen,
            gradients: trained * bytes.gradients / share(Sharding::Gradients),
            optimizer: trained * bytes.optimizer / share(Sharding::Optimizer),
            buffers: buffers(job, sharding, bytes, trained, tensor, ranks),
        }
    }
}

/// Bytes of a frozen base, before any sharing out: 16-bit, 32-bit or 4-bit; embeddings are never quantised.
fn frozen_bytes(job: &JobSpec) -> f64 {
    let parameters = job.model.parameters() as f64;
    match job.method {
        Method::Lora { .. } => parameters * job.precision.working_bytes() as f64,
        Method::Qlora { .. } => {
            let embedding = match &job.model {
                Model::Transformer(t) => t.embedding_parameters() as f64,
                _ => 0.0,
            };
            (parameters - embedding) * NF4 + embedding * 2.0
        }
        _ => 0.0,
    }
}

/// Transient copies of weights and gradients.
///
/// * No sharding: autocast keeps a 16-bit copy of every weight; DDP keeps a second copy of all gradients in its buckets.
/// * ZeRO-1, ZeRO-2: one reduction bucket.
/// * Full: the gathered weights of the unit at work and of the prefetched one, and the unreduced gradient of one; never
///   more than what holding all weights would take.
fn buffers(job: &JobSpec, sharding: Sharding, bytes: StateBytes, trained: f64, tensor: f64, ranks: f64) -> f64 {
    let bucket = trained.min(BUCKET) * bytes.gradients;
    match sharding {
        Sharding::None => {
            let cast = if job.precision.is_mixed() { 2.0 * trained } else { 0.0 };
            cast + if ranks > 1.0 { trained * bytes.gradients } else { 0.0 }
        }
        Sharding::Optimizer | Sharding::Gradients => bucket,
        Sharding::Full => {
            let frozen = frozen_bytes(job) / tensor;
            let whole = trained * bytes.weights + frozen;
            let unit = (job.model.profile(1).largest_unit() as f64 / job.model.parameters().max(1) as f64).min(1.0);
            let live = 2.0 * unit * whole + unit * trained * bytes.gradients;
            live.min(whole * (1.0 - 1.0 / ranks) + bucket)
        }
    }
}

/// Activations of one micro-batch on one device, in bytes.
fn activations(job: &JobSpec, layout: &Layout, micro_batch: u32) -> f64 {
    let samples = f64::from(micro_batch);
    match &job.model {
        Model::Transformer(t) => {
            let width = job.precision.working_bytes() as f64 / 2.0;
            let tokens = samples * f64::from(job.sequence_length) / f64::from(layout.context.max(1));
            let kept = match layout.recompute {
                Recompute::None | Recompute::Selective => f64::from(t.layers) * layer_activations(t, layout.tensor),
                // Each block's input, and one block at work.
                Recompute::Full => {
                    let inputs = 2.0 * f64::from(t.layers) * f64::from(t.hidden);
                    (inputs + layer_activations(t, layout.tensor))
                        .min(f64::from(t.layers) * layer_activations(t, layout.tensor))
                }
            };
            tokens * kept * width * EAGER
        }
        model => {
            let width = job.precision.working_bytes() as f64;
            let units = model.profile(job.sequence_length).units;
            let kept = samples
                * units
                    .iter()
                    .map(|unit| {
                        let saved = unit.kernels.iter().map(|k| width * k.saved_elements + k.saved_bytes_fixed);
                        f64::from(unit.repeats) * saved.sum::<f64>()
                    })
                    .sum::<f64>();
            match layout.recompute {
                Recompute::None | Recompute::Selective => kept,
                // The square-root schedule of arXiv 1604.06174 keeps far less; a quarter is reached by any sensible cut.
                Recompute::Full => kept / 4.0,
            }
        }
    }
}

/// 16-bit bytes per token that one block keeps, with attention that stores no scores: norm inputs `4h`, projection
/// inputs `4h`, queries and attention output `4·a·d_h`, keys and values `4·k·d_h`, feed-forward `4f` plain or `8f` gated
/// and unfused. With dropout and `h = a·d_h`, `f = 4h` this is the `34·s·b·h` of arXiv 2205.05198, table 2, whose tensor
/// parallel row also says what is divided: everything but `8h`.
fn layer_activations(t: &Transformer, tensor: u32) -> f64 {
    let feed_forward = if t.gated_mlp { 8.0 } else { 4.0 } * f64::from(t.ffn);
    let divided = 4.0 * (t.query_width() + t.key_width()) as f64 + feed_forward;
    8.0 * f64::from(t.hidden) + divided / f64::from(tensor.max(1))
}

/// Logits and loss of one micro-batch, in bytes: 16-bit logits and their gradient and one fp32 copy, 8 bytes per token and
/// word, over a vocabulary divided by the tensor-parallel degree.
///
/// A naive cross entropy peaks at 10 to 12, a chunked one at 4 or less. 8 is where the 209 configurations of
/// mosaicml/llm-foundry's tables, all of which fitted their cards, are predicted at a median of 0.81 to 0.97 of the card.
fn logits(job: &JobSpec, layout: &Layout, micro_batch: u32) -> f64 {
    match &job.model {
        Model::Transformer(t) => {
            let tokens = f64::from(micro_batch) * f64::from(job.sequence_length) / f64::from(layout.context.max(1));
            8.0 * tokens * f64::from(t.vocabulary) / f64::from(layout.tensor.max(1))
        }
        _ => 0.0,
    }
}

/// Whether a method on a precision makes sense: a 4-bit base computes in 16 bits.
pub(crate) fn base_is_quantised(method: Method, precision: Precision) -> bool {
    matches!(method, Method::Qlora { .. }) && precision.working_bytes() == 2
}
