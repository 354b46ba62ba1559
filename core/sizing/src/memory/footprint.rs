//! What grows with the micro-batch, and the sum of everything.

use super::states::{StateSums, has_attention};
use super::tuning::{Adapters, Tuning};
use super::{Memory, Parts};
use crate::calibration::MemoryConstants;
use crate::method::Matrices;
use crate::method::reinforcement::Reinforcement;
use crate::profile::{Divides, Kernel, KernelKind, Place, Profile, Role, Unit};
use crate::{AttentionKernel, JobSpec, Layout, Precision, Program, Recompute, Schedule};

/// Bytes per score that attention keeps which stores them: softmax output twice around its dropout, and the mask (arXiv
/// 2205.05198, section 4.1).
const SCORE: f64 = 5.0;

/// Copies of the logits that a divided vocabulary adds. Not fitted: two rows of 70 B parameters in torchtitan's tables were
/// seen 19 to 24 % low without them, and nothing else shows their number.
const DIVIDED_LOSS_COPIES: f64 = 2.0;

/// Bytes by what divides them.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    tensor: f64,
    sequence: f64,
    whole: f64,
}

impl Held {
    fn add(&mut self, bytes: f64, divides: Divides) {
        match divides {
            Divides::Tensor => self.tensor += bytes,
            Divides::Sequence => self.sequence += bytes,
            Divides::No => self.whole += bytes,
        }
    }

    fn plus(self, other: Self, times: f64) -> Self {
        Self {
            tensor: self.tensor + times * other.tensor,
            sequence: self.sequence + times * other.sequence,
            whole: self.whole + times * other.whole,
        }
    }

    fn all(&self) -> f64 {
        self.tensor + self.sequence + self.whole
    }

    /// Bytes on one device.
    fn on(self, layout: &Layout) -> f64 {
        let tensor = f64::from(layout.tensor.max(1));
        let sequence = if layout.sequence_parallel { tensor } else { 1.0 };
        (self.tensor / tensor + self.sequence / sequence + self.whole) / f64::from(layout.context.max(1))
    }
}

/// What one sample takes in one unit, in bytes.
#[derive(Clone, Copy, Debug, Default)]
struct UnitSums {
    role: Option<Role>,
    repeats: f64,
    /// Whether its kernels are known one by one; a model known by its totals is one kernel.
    in_pieces: bool,
    /// Kept with nothing recomputed, in an eager program's blocks.
    eager: Held,
    /// The same elsewhere.
    kept: Held,
    /// Attention scores, where they are stored.
    scores: Held,
    /// Kept when pointwise kernels and every second product are computed again.
    operators: Held,
    /// Kept when everything is: the input.
    input: Held,
    /// The largest output and its gradient.
    pair: Held,
    /// Outputs that a loss is taken over.
    logits: Held,
}

/// A job and a program with what does not depend on layout and constants summed up, so that many can be tried.
#[derive(Clone, Debug)]
pub struct Footprint {
    program: Program,
    states: StateSums,
    units: Vec<UnitSums>,
    layers: f64,
    global_batch: f64,
    /// Bytes that a sample takes whatever the model keeps: its gradients, where each is clipped.
    sample_bytes: f64,
    working: f64,
    loss_element: f64,
    fused_loss: bool,
    generation: Option<Generation>,
}

/// What writes samples, and what one answer keeps.
#[derive(Clone, Copy, Debug)]
struct Generation {
    step: Reinforcement,
    weight_bytes: f64,
    cache_bytes: f64,
}

impl Footprint {
    /// Sums up what a job needs.
    pub fn new(job: &JobSpec, program: &Program, tuning: Tuning) -> Self {
        Self::of_profile(&job.model.profile(job.sequence_length), job, program, tuning)
    }

    /// The same where the model's profile is at hand.
    pub fn of_profile(profile: &Profile, job: &JobSpec, program: &Program, tuning: Tuning) -> Self {
        let demand = job.method.demand(profile, job.precision);
        let adapters = job.method.adapters();
        let kept = Kept {
            working: job.precision.working_bytes() as f64,
            quantised: job.base_is_quantised(),
            adapters: adapters.map(|(_, matrices)| (tuning.adapters, matrices)),
            stores_scores: program.attention == AttentionKernel::Stored,
        };
        let work = demand.passes.iter().zip(&demand.trained);
        let units = profile.units.iter().zip(work).map(|(unit, (passes, trained))| kept.unit(unit, *passes, *trained));
        Self {
            program: *program,
            states: StateSums::new(profile, job, &demand, &tuning),
            units: units.collect(),
            layers: profile.role(Role::Body).map(|unit| f64::from(unit.repeats)).sum(),
            global_batch: f64::from(job.global_batch),
            sample_bytes: demand.bytes_per_sample,
            working: job.precision.working_bytes() as f64,
            // A loss in fp32 unless weights are 16 bits throughout.
            fused_loss: tuning.fused_loss,
            generation: demand.generation.map(|step| Generation {
                step,
                weight_bytes: step.refit_bytes(profile, job.precision),
                cache_bytes: step.cache_bytes(profile, job.precision),
            }),
            loss_element: if job.precision == Precision::Bf16 { 2.0 } else { 4.0 },
        }
    }

    /// What the fullest device of a layout needs at a micro-batch.
    pub fn memory(&self, layout: &Layout, micro_batch: u32, constants: &MemoryConstants) -> Memory {
        let of = |stage| {
            let parts = self.stage(layout, micro_batch, stage, constants);
            Parts { rollout: self.rollout(layout, &parts), ..parts }.memory(layout.devices(), constants)
        };
        let (first, last) = (of(0), layout.pipeline.max(1) - 1);
        let other = if last > 0 { of(last) } else { first };
        if other.total() > first.total() { other } else { first }
    }

    /// What the engine that generates adds to what a device holds. While it works there are states, but no activations,
    /// loss or buffers; if it sleeps while others work, these have its room and it has theirs.
    fn rollout(&self, layout: &Layout, parts: &Parts) -> f64 {
        let Some(Generation { step, weight_bytes, cache_bytes }) = self.generation else { return 0.0 };
        let devices = layout.devices();
        let answers = step.answers_at_once(self.global_batch, devices);
        let engine = (weight_bytes + answers * cache_bytes) / step.ranks(devices);
        let room = parts.activations + parts.logits + parts.workspace + parts.buffers;
        if step.engine.sleeps { (engine - room).max(0.0) } else { engine }
    }

    /// One pipeline stage. The first holds the most micro-batches and the embedding, the last the output side: one of them
    /// is the fullest.
    fn stage(&self, layout: &Layout, micro_batch: u32, stage: u32, constants: &MemoryConstants) -> Parts {
        let (first, last) = (stage == 0, stage + 1 == layout.pipeline.max(1));
        let states = self.states.on(layout, (first, last), constants);
        let samples = f64::from(micro_batch);
        let flight = samples * self.in_flight(layout, micro_batch, stage);
        let stages = f64::from(layout.pipeline.max(1));
        let blocks = if self.layers > 0.0 { (self.layers / stages).ceil() / self.layers } else { 1.0 };
        let held = |kind: &dyn Fn(&UnitSums) -> Held| {
            let units = self.units.iter().filter(|unit| match unit.role {
                Some(Role::Embedding) => first,
                Some(Role::Head) => last,
                _ => true,
            });
            units
                .map(|unit| {
                    let times = if unit.role == Some(Role::Body) { unit.repeats * blocks } else { 1.0 };
                    kind(unit).on(layout) * times
                })
                .sum::<f64>()
        };
        let eager = if self.program.compiled { 1.0 } else { constants.eager };
        let all = |unit: &UnitSums| unit.kept.plus(unit.eager, eager).plus(unit.scores, 1.0);
        let logits = if last { samples * self.loss_bytes(layout, constants) * held(&|unit| unit.logits) } else { 0.0 };
        let pair = samples * self.largest(layout, |unit| unit.pair);
        // A stage holds what it sent on until its gradient comes back.
        let sent = if last { 0.0 } else { flight * self.largest(layout, |unit| unit.input) };
        let clipped = samples * self.sample_bytes / f64::from(layout.tensor.max(1)) / stages;
        let parts = |activations: f64, again: f64| Parts {
            activations: flight * activations + sent + clipped,
            logits,
            workspace: (again + pair - logits).max(0.0),
            ..states
        };
        let operators = self.program.recomputes_operators;
        let lean = |unit: &UnitSums| match layout.recompute {
            _ if unit.role != Some(Role::Body) => all(unit),
            Recompute::Full => unit.input,
            _ if operators => unit.operators,
            Recompute::Selective => unit.kept.plus(unit.eager, eager),
            Recompute::None => all(unit),
        };
        let again = match layout.recompute {
            Recompute::None if !operators => 0.0,
            Recompute::Selective if !operators => samples * self.largest(layout, |unit| unit.scores),
            _ => samples * self.largest(layout, all),
        };
        let whole = |mut parts: Parts| {
            if self.states.keeps_gathered(layout) {
                // By the end of the backward pass everything is gathered, and what was kept is gone.
                let end = self.states.whole(layout, (first, last)) + samples * self.largest(layout, all) + pair;
                let now = states.buffers + parts.activations + parts.logits + parts.workspace;
                parts.buffers += (end - now).max(0.0);
            }
            parts
        };
        // Where one unit is the whole model, computing it again saves nothing.
        let (plain, lean) = (whole(parts(held(&all), 0.0)), whole(parts(held(&lean), again)));
        if lean.live() < plain.live() { lean } else { plain }
    }

    /// Micro-batches that a stage holds at once: all for GPipe, `p - i` for 1F1B and ZB-H1 (arXiv 2104.04473, section 2.2;
    /// 2401.10241, table 1), times `1 + (p-1)/(p·v)` when stages interleave.
    fn in_flight(&self, layout: &Layout, micro_batch: u32, stage: u32) -> f64 {
        let stages = f64::from(layout.pipeline.max(1));
        if stages <= 1.0 {
            return 1.0;
        }
        let per_rank = self.global_batch / f64::from(layout.data.max(1));
        let micro_batches = (per_rank / f64::from(micro_batch.max(1))).max(1.0);
        match layout.schedule {
            Schedule::GPipe => micro_batches,
            Schedule::OneForwardOneBackward | Schedule::ZeroBubble => {
                let held = (stages - f64::from(stage)).min(micro_batches);
                let pieces = f64::from(layout.virtual_stages());
                if pieces > 1.0 { held * (1.0 + (stages - 1.0) / (stages * pieces)) } else { held }
            }
        }
    }

    /// Bytes per logit at the peak of the loss: the logit itself and copies in the precision of the loss. Over a divided
    /// vocabulary softmax and its gradient are steps of their own instead of one kernel, with an exponential and a product
    /// beside them.
    fn loss_bytes(&self, layout: &Layout, constants: &MemoryConstants) -> f64 {
        if self.fused_loss {
            return self.working;
        }
        let divided = if layout.tensor > 1 { DIVIDED_LOSS_COPIES } else { 0.0 };
        self.working + (constants.loss_copies + divided) * self.loss_element
    }

    fn largest(&self, layout: &Layout, of: impl Fn(&UnitSums) -> Held) -> f64 {
        // What is known only as a whole is cut as its program sees fit: nothing is added to what its profile says.
        let body = self.units.iter().filter(|unit| unit.role == Some(Role::Body) && unit.in_pieces);
        body.map(|unit| of(unit).on(layout)).fold(0.0, f64::max)
    }
}

/// How kernels' saved elements become bytes.
struct Kept {
    working: f64,
    quantised: bool,
    adapters: Option<(Adapters, Matrices)>,
    stores_scores: bool,
}

impl Kept {
    /// One unit that computes so many forward passes' worth, of which a share of the parameters is trained.
    fn unit(&self, unit: &Unit, passes: f64, trained: f64) -> UnitSums {
        let in_pieces = unit.kernels.len() > 1;
        let repeats = f64::from(unit.repeats);
        let mut sums = UnitSums { role: Some(unit.role), repeats, in_pieces, ..UnitSums::default() };
        let block = has_attention(&unit.kernels);
        // What no gradient passes through keeps nothing.
        let flows = ((passes - 1.0) / 2.0).clamp(0.0, 1.0).max(if passes >= 2.0 { 1.0 } else { 0.0 });
        let frozen = trained <= 0.0;
        let mut products = 0_u32;
        for kernel in &unit.kernels {
            let outputs = self.working * kernel.outputs;
            if kernel.kind == KernelKind::Loss {
                sums.logits.add(kernel.inputs, kernel.saved_divides);
                continue;
            }
            let elements = flows * self.working * kernel.saved_elements * self.share(kernel, frozen);
            let into = if block { &mut sums.eager } else { &mut sums.kept };
            into.add(elements, kernel.saved_divides);
            let fixed = flows * kernel.saved_bytes_fixed;
            sums.kept.add(fixed + self.adapter_bytes(kernel), kernel.saved_divides);
            if self.stores_scores {
                sums.scores.add(flows * SCORE / 2.0 * self.working * kernel.scores, Divides::Tensor);
            }
            match kernel.kind {
                KernelKind::MatrixProduct => {
                    products += 1;
                    if products % 2 == 1 {
                        sums.operators.add(flows * outputs, kernel.saved_divides);
                    }
                }
                KernelKind::Attention => sums.operators.add(flows * outputs + fixed, kernel.saved_divides),
                _ => {}
            }
            let mut pair = Held::default();
            if sums.in_pieces {
                pair.add(2.0 * outputs, kernel.divides);
            }
            if pair.all() > sums.pair.all() {
                sums.pair = pair;
            }
        }
        let input = flows * self.working * unit.input_elements;
        sums.input.add(input, Divides::Sequence);
        sums.operators.add(input, Divides::Sequence);
        sums
    }

    /// Share of what a kernel keeps that is really kept: a frozen product does not need its input, but a quantised one
    /// keeps it all the same, and the output projection's input is what fused attention needs of its own output.
    fn share(&self, kernel: &Kernel, frozen: bool) -> f64 {
        let product = kernel.kind == KernelKind::MatrixProduct;
        let attention_output = kernel.matrix.is_some_and(|matrix| matrix.place == Place::Output);
        if frozen && !self.quantised && product && !attention_output { 0.0 } else { 1.0 }
    }

    /// What adapters keep beside the base: low-rank ones their input, the input after dropout, and a mask. Matrices that
    /// read the same input share them, as the profile counts that input once.
    fn adapter_bytes(&self, kernel: &Kernel) -> f64 {
        let Some((adapters, matrices)) = self.adapters.filter(|_| kernel.kind == KernelKind::MatrixProduct) else {
            return 0.0;
        };
        match adapters {
            Adapters::LowRank if kernel.matrix.is_some_and(|matrix| matrices.places().contains(&matrix.place)) => {
                let output = kernel.matrix.is_some_and(|matrix| matrix.place == Place::Output);
                let input = if self.quantised || output { 0.0 } else { self.working };
                (input + self.working + 1.0) * kernel.saved_elements
            }
            Adapters::LowRank | Adapters::Prefix => 0.0,
            Adapters::Scales => self.working * kernel.outputs,
        }
    }
}
