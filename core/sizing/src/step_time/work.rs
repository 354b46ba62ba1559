//! What one micro-batch asks of one device, summed from a profile.

use crate::method::holding::{Holding, Holdings};
use crate::precision::{ROW_INDEX, row_bytes};
use crate::profile::{Divides, Kernel, KernelKind, Place, Role, Unit};
use crate::{JobSpec, Layout, Profile};

use super::generation::Answer;
use super::program::{AttentionKernel, Program};

/// Some passes of some kernels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Load {
    /// FLOPs of products and convolutions.
    pub(crate) product_flops: f64,
    /// Elements that these read and write, weights left out.
    pub(crate) product_elements: f64,
    /// Bytes of their weights, which do not grow with the batch.
    pub(crate) weight_bytes: f64,
    /// FLOPs of fused attention, causal halves left out.
    pub(crate) attention_flops: f64,
    /// Stored attention scores.
    pub(crate) scores: f64,
    /// FLOPs of stored attention.
    pub(crate) score_flops: f64,
    /// Elements that pointwise kernels read and write.
    pub(crate) pointwise_elements: f64,
    /// Logits.
    pub(crate) logits: f64,
    /// FLOPs of a model of unknown kernels.
    pub(crate) unknown_flops: f64,
    /// Bytes that its kernels read and write.
    pub(crate) unknown_bytes: f64,
    /// Kernels of known models.
    pub(crate) kernels: f64,
    /// Models of unknown kernels: 0 or 1.
    pub(crate) unknown: f64,
}

impl Load {
    /// The same for a micro-batch `times` as large; weights and kernels do not grow with it.
    fn scaled(self, times: f64) -> Self {
        Self {
            product_flops: times * self.product_flops,
            product_elements: times * self.product_elements,
            attention_flops: times * self.attention_flops,
            scores: times * self.scores,
            score_flops: times * self.score_flops,
            pointwise_elements: times * self.pointwise_elements,
            logits: times * self.logits,
            unknown_flops: times * self.unknown_flops,
            unknown_bytes: times * self.unknown_bytes,
            ..self
        }
    }

    /// Adds the backward passes of what `forward` holds, where `passes` forward passes' worth of products run in all.
    ///
    /// A product's gradient is two products where its weights are trained, one where gradients only pass. Whatever else a
    /// gradient passes takes two passes; fused attention computes its scores again, 2.5 (arXiv 2205.14135, appendix B).
    fn add_backward(&mut self, forward: &Self, passes: f64) {
        let products = (passes - 1.0).max(0.0);
        // A second backward pass goes through everything again.
        let others = 2.0 * products.min(1.0) * (products / 2.0).max(1.0);
        self.product_flops += products * forward.product_flops;
        self.product_elements += products * forward.product_elements;
        self.weight_bytes += products * forward.weight_bytes;
        self.attention_flops += 1.25 * others * forward.attention_flops;
        self.scores += others * forward.scores;
        self.score_flops += others * forward.score_flops;
        self.pointwise_elements += others * forward.pointwise_elements;
        self.unknown_flops += products * forward.unknown_flops;
        self.unknown_bytes += others * forward.unknown_bytes;
        self.kernels += others * forward.kernels;
        self.unknown += others * forward.unknown;
    }

    fn add(&mut self, other: &Self) {
        self.product_flops += other.product_flops;
        self.product_elements += other.product_elements;
        self.weight_bytes += other.weight_bytes;
        self.attention_flops += other.attention_flops;
        self.scores += other.scores;
        self.score_flops += other.score_flops;
        self.pointwise_elements += other.pointwise_elements;
        self.logits += other.logits;
        self.unknown_flops += other.unknown_flops;
        self.unknown_bytes += other.unknown_bytes;
        self.kernels += other.kernels;
        self.unknown += other.unknown;
    }
}

/// One micro-batch on one device of a layout, before stages share it out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Work {
    /// Forward pass of embedding and blocks, all stages together.
    pub(crate) body: Load,
    /// Their backward pass, and what the method computes besides.
    pub(crate) body_backward: Load,
    /// Forward pass of the output side; its logits count the loss both ways.
    pub(crate) head: Load,
    /// Its backward pass.
    pub(crate) head_backward: Load,
    /// Blocks.
    pub(crate) layers: f64,
    /// Bytes that tensor-parallel ranks sum in a forward pass, whole.
    pub(crate) reduced_bytes: f64,
    /// Bytes of keys and values that a context-parallel rank passes on in a forward pass, in one step of the ring.
    pub(crate) exchanged_bytes: f64,
    /// Bytes that an expert-parallel rank sends in a forward pass.
    pub(crate) dispatched_bytes: f64,
    /// Kernels that send them.
    pub(crate) dispatches: f64,
    /// Bytes that cross the boundary between two stages.
    pub(crate) boundary_bytes: f64,
    /// What the fullest stage holds on one device.
    pub(crate) held: Holding,
    /// Models that are trained one after the other.
    pub(crate) models: f64,
    /// Times that a step trains on each of its samples.
    pub(crate) epochs: f64,
    /// Forward passes that only score.
    pub(crate) scoring_passes: f64,
    /// Elements of table rows that one sample reads on one device, and how many rows.
    pub(crate) read: (f64, f64),
    /// Bytes of vectors that come from tables, and of the places of their rows.
    pub(crate) pooled_bytes: f64,
    pub(crate) place_bytes: f64,
    /// What is generated.
    pub(crate) answer: Option<Answer>,
    /// Whether products first unpack 4-bit weights.
    pub(crate) quantised: bool,
}

impl Work {
    /// The work of `micro` samples.
    pub(crate) fn of(profile: &Profile, job: &JobSpec, layout: &Layout, program: &Program, micro: u32) -> Self {
        let ranks = Ranks::of(job, layout, program, micro);
        let demand = job.method.demand(profile, job.precision);
        let mut work = Self { quantised: job.base_is_quantised(), ..Self::default() };
        for (unit, passes) in profile.units.iter().zip(&demand.passes) {
            let times = f64::from(unit.repeats);
            let mut load = Load::default();
            for kernel in &unit.kernels {
                ranks.add(&mut load, kernel, times, unit.sparse.is_some());
            }
            let (forward, backward) = match unit.role {
                Role::Head => (&mut work.head, &mut work.head_backward),
                Role::Embedding | Role::Body => (&mut work.body, &mut work.body_backward),
            };
            forward.add(&load);
            backward.add_backward(&load, *passes);
            if unit.role == Role::Body {
                work.layers += times;
                work.boundary_bytes = work.boundary_bytes.max(ranks.bytes * unit.input_elements);
            }
            ranks.communicate(&mut work, unit, times);
        }
        work.body_backward.product_flops += ranks.samples * demand.extra_flops / ranks.tensor;
        if ranks.shares_sequence {
            work.boundary_bytes /= ranks.tensor;
        }
        let holdings = Holdings::new(profile, job, &demand, None, None);
        work.held = holdings.fullest(layout);
        work.models = demand.models;
        work.epochs = demand.epochs;
        work.scoring_passes = demand.scoring_passes;
        work.read = (holdings.read_elements / ranks.tensor, holdings.read_rows / ranks.tensor);
        work.pooled_bytes = ranks.bytes * holdings.pooled_elements;
        work.place_bytes = ranks.samples * ROW_INDEX * holdings.read_rows;
        work.answer = demand.generation.map(|step| Answer::of(profile, job, step));
        work
    }

    /// The same for a micro-batch `times` as large.
    pub(crate) fn scaled(self, times: f64) -> Self {
        Self {
            body: self.body.scaled(times),
            body_backward: self.body_backward.scaled(times),
            head: self.head.scaled(times),
            head_backward: self.head_backward.scaled(times),
            reduced_bytes: times * self.reduced_bytes,
            exchanged_bytes: times * self.exchanged_bytes,
            dispatched_bytes: times * self.dispatched_bytes,
            boundary_bytes: times * self.boundary_bytes,
            pooled_bytes: times * self.pooled_bytes,
            place_bytes: times * self.place_bytes,
            ..self
        }
    }
}

/// How a layout cuts a kernel.
struct Ranks {
    /// Samples at once, less what context ranks share out.
    samples: f64,
    tensor: f64,
    expert: f64,
    /// Bytes of `samples` times one element.
    bytes: f64,
    element_bytes: f64,
    row_bytes: f64,
    stored: bool,
    shares_sequence: bool,
}

impl Ranks {
    fn of(job: &JobSpec, layout: &Layout, program: &Program, micro: u32) -> Self {
        let context = f64::from(layout.context.max(1));
        let samples = f64::from(micro) / context;
        let element_bytes = job.precision.working_bytes() as f64;
        Self {
            samples,
            tensor: f64::from(layout.tensor.max(1)),
            expert: f64::from(layout.expert.max(1)),
            bytes: samples * element_bytes,
            element_bytes,
            row_bytes: row_bytes(job.precision),
            stored: program.attention == AttentionKernel::Stored,
            shares_sequence: layout.sequence_parallel,
        }
    }

    fn add(&self, load: &mut Load, kernel: &Kernel, times: f64, of_table: bool) {
        let of_tensor = |divides| match divides {
            Divides::Tensor => self.tensor,
            Divides::Sequence if self.shares_sequence => self.tensor,
            Divides::Sequence | Divides::No => 1.0,
        };
        let cut = of_tensor(kernel.divides);
        let many = times * self.samples;
        match kernel.kind {
            KernelKind::MatrixProduct if kernel.width == 0 => {
                load.unknown_flops += many * kernel.flops / cut;
                load.unknown_bytes += many * self.element_bytes * (kernel.inputs + kernel.outputs) / cut;
                load.unknown += times;
                return;
            }
            KernelKind::MatrixProduct | KernelKind::Convolution | KernelKind::Recurrent => {
                // The last product of a pair reads a part of its input, the others write a part of their output.
                let reads_part = matches!(kernel.matrix, Some(m) if matches!(m.place, Place::Output | Place::Down));
                let (inputs, outputs) = if reads_part { (cut, 1.0) } else { (1.0, cut) };
                let expert = matches!(kernel.matrix, Some(m) if m.place == Place::Expert);
                let owned = if expert { self.expert } else { 1.0 };
                load.product_flops += many * kernel.flops / cut;
                load.product_elements += many * (kernel.inputs / inputs + kernel.outputs / outputs);
                let weights = kernel.weights as f64 * f64::from(kernel.sequential_steps.max(1));
                load.weight_bytes += times * self.element_bytes * weights / cut / owned;
            }
            KernelKind::Attention if self.stored => {
                load.score_flops += many * kernel.flops / cut;
                load.scores += many * kernel.scores / cut;
            }
            KernelKind::Attention => load.attention_flops += many * kernel.flops * kernel.seen / cut,
            KernelKind::Lookup if of_table => {
                // Rows are read as they are stored.
                let inputs = kernel.inputs * self.row_bytes / self.element_bytes;
                load.pointwise_elements += many * (inputs + kernel.outputs) / cut;
            }
            KernelKind::DepthwiseConvolution | KernelKind::Pointwise | KernelKind::Dispatch | KernelKind::Lookup => {
                load.pointwise_elements += many * (kernel.inputs + kernel.outputs) / cut;
            }
            KernelKind::Loss => load.logits += many * kernel.inputs / cut,
        }
        load.kernels += times * f64::from(kernel.sequential_steps.max(1));
    }

    fn communicate(&self, work: &mut Work, unit: &Unit, times: f64) {
        work.reduced_bytes += times * self.bytes * unit.reduced_elements;
        work.exchanged_bytes += times * self.bytes * unit.exchanged_elements / self.tensor;
        if self.expert > 1.0 {
            for kernel in unit.kernels.iter().filter(|kernel| kernel.kind == KernelKind::Dispatch) {
                work.dispatched_bytes += times * self.bytes * kernel.inputs;
                work.dispatches += times;
            }
        }
    }
}
