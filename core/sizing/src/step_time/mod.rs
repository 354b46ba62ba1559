//! Wall time of one optimizer step before anything was observed.
//!
//! One micro-batch on one device is a sum over the kernels of the [`Profile`]:
//!
//! - products, convolutions: `FLOPs/(η·peak) + bytes/(β·BW)`, `η` falling with the peak per watt;
//! - fused attention: `FLOPs/(η_a·peak)`, `η_a` falling with the peak; causal halves are skipped, the backward pass takes
//!   2.5 forward passes (arXiv 2205.14135); stored attention: products, and its scores over the memory bus;
//! - pointwise kernels, lookups, the loss: bytes over the memory bus;
//! - every kernel: a ramp; and all of them at least the time in which a program launches them.
//!
//! Models that only score take a forward pass of all kernels; answers are generated token by token ([`generation`]).
//!
//! A step is `(m + bubble)·(stage + tensor + context + expert + pipeline communication)`, plus data-parallel
//! communication as far as it is not hidden, the optimizer's pass over its states, and waiting for input
//! (arXiv 2104.04473, section 2.2; arXiv 1910.02054, section 7). The constants are those of [`TimeConstants`].

mod exchange;
mod generation;
mod ledger;
mod program;
mod rates;
mod work;

use serde::{Deserialize, Serialize};

use crate::calibration::{Calibration, TimeConstants};
use crate::profile::Role;
use crate::{Batch, ClassSpec, JobSpec, Layout, Profile, Recompute, Schedule, Shape};

pub use program::{AttentionKernel, Program};
pub use rates::together;

use exchange::Exchange;
use rates::Rates;
use work::Work;

/// Wall time of one optimizer step, in seconds; the parts follow one another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepTime {
    /// Kernels at work that train, all micro-batches.
    pub compute: f64,
    /// Forward passes of models that only score, with their launches and communication.
    #[serde(default)]
    pub scoring: f64,
    /// Generating samples.
    #[serde(default)]
    pub generation: f64,
    /// Communication that compute does not hide.
    pub communication: f64,
    /// The optimizer's pass over its states.
    pub optimizer: f64,
    /// Waiting for kernel launches.
    pub launch: f64,
    /// Waiting for other pipeline stages.
    #[serde(default)]
    pub bubble: f64,
    /// Waiting for input.
    #[serde(default)]
    pub stall: f64,
    /// Share of the streaming multiprocessors that work while kernels run, 0 to 1.
    pub saturation: f64,
}

/// One way to run a job: what step time is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The job.
    pub job: &'a JobSpec,
    /// Its devices' class.
    pub class: &'a ClassSpec,
    /// Its devices.
    pub shape: &'a Shape,
    /// How it is spread over them.
    pub layout: &'a Layout,
    /// How its batch is cut.
    pub batch: &'a Batch,
}

/// What one sample asks of one device at some parallel degrees, whatever the class, the shape and the cut of the batch.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    program: Program,
    work: Work,
    layers: f64,
}

/// A run with what does not depend on constants summed up, so that many constants can be tried.
#[derive(Clone, Debug)]
pub struct Prepared<'a> {
    run: Run<'a>,
    program: Program,
    work: Work,
    layers: f64,
}

impl StepTime {
    /// The prior for one way to run a job.
    ///
    /// A class that cannot compute the precision takes forever.
    pub fn of(job: &JobSpec, class: &ClassSpec, shape: &Shape, layout: &Layout, batch: &Batch) -> Self {
        Self::of_profile(&job.model.profile(job.sequence_length), Run { job, class, shape, layout, batch })
    }

    /// The same where the model's profile is at hand.
    pub fn of_profile(profile: &Profile, run: Run<'_>) -> Self {
        Prepared::new(profile, run, Program::default()).step_time(&Calibration::published().time)
    }

    /// All parts together.
    pub fn total(&self) -> f64 {
        let Self { compute, scoring, generation, communication, optimizer, launch, bubble, stall, saturation: _ } =
            *self;
        compute + scoring + generation + communication + optimizer + launch + bubble + stall
    }

    /// Seconds that the step's work would take on filled devices; proportional to the samples per device.
    pub(crate) fn work(&self) -> f64 {
        (self.compute + self.scoring) * self.saturation + self.generation
    }

    /// Seconds that small kernels and other stages leave unfilled: launches, bubble and the rest of compute.
    pub(crate) fn unfilled(&self) -> f64 {
        (self.compute + self.scoring) * (1.0 - self.saturation) + self.launch + self.bubble
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

impl Sample {
    /// Sums up one sample in a layout, of which only the degrees count.
    pub(crate) fn new(profile: &Profile, job: &JobSpec, layout: &Layout, program: &Program) -> Self {
        let work = Work::of(profile, job, layout, program, 1);
        let layers = profile.role(Role::Body).map(|unit| f64::from(unit.repeats)).sum();
        Self { program: *program, work, layers }
    }

    /// The step of a run of the same degrees, under the published constants.
    pub(crate) fn step(&self, run: Run<'_>) -> StepTime {
        self.step_at(run, &Speed::of(run.job, run.class))
    }

    /// The same where the speed of the run's class is at hand.
    pub(crate) fn step_at(&self, run: Run<'_>, speed: &Speed) -> StepTime {
        let Self { program, work, layers } = self;
        let prepared =
            Prepared { work: work.scaled(f64::from(run.batch.micro)), run, program: *program, layers: *layers };
        prepared.at(speed.0.as_ref(), &Calibration::published().time)
    }
}

/// How fast a class works on a job that a program like most runs, under the published constants.
pub(crate) struct Speed(Option<Rates<'static>>);

impl Speed {
    pub(crate) fn of(job: &JobSpec, class: &ClassSpec) -> Self {
        Self(Rates::of(job, class, &Program::default(), &Calibration::published().time))
    }
}

impl<'a> Prepared<'a> {
    /// Sums up what a program's run asks of one device.
    pub fn new(profile: &Profile, run: Run<'a>, program: Program) -> Self {
        let work = Work::of(profile, run.job, run.layout, &program, run.batch.micro);
        let layers = profile.role(Role::Body).map(|unit| f64::from(unit.repeats)).sum();
        Self { run, program, work, layers }
    }

    /// The same run with another cut of its batch.
    #[must_use]
    pub fn cut(&self, batch: &'a Batch) -> Self {
        let times = f64::from(batch.micro) / f64::from(self.run.batch.micro.max(1));
        Self { run: Run { batch, ..self.run }, work: self.work.scaled(times), ..self.clone() }
    }

    /// The step under some constants.
    pub fn step_time(&self, constants: &TimeConstants) -> StepTime {
        let Self { run, program, .. } = self;
        self.at(Rates::of(run.job, run.class, program, constants).as_ref(), constants)
    }

    fn at(&self, rates: Option<&Rates<'_>>, constants: &TimeConstants) -> StepTime {
        let Self { run, program, work, .. } = self;
        let Some(rates) = rates else {
            return StepTime { compute: f64::INFINITY, ..StepTime::default() };
        };
        let compute = self.compute(rates);
        let exchange = Exchange { run, program, work, constants, stages: self.stages(), layers: self.layers };
        let ring = [&compute.forward, &compute.backward].map(|pass| exchange.context(pass));
        let launches = [&compute.forward, &compute.backward].map(|pass| pass.launches - pass.seconds);
        let launch: [f64; 2] = std::array::from_fn(|pass| (launches[pass] - ring[pass]).max(0.0));
        let inside = ring[0] + ring[1] + exchange.inside();
        let micro_batches = f64::from(run.batch.accumulation.max(1));
        let stage = compute.forward.seconds + compute.backward.seconds;
        let turn = stage + launch[0] + launch[1] + inside;
        let waits = self.bubble() * turn;
        let backward = compute.backward.seconds + ring[1] + launch[1];
        // Models are trained one after the other, and the gradients of all are summed.
        let (models, epochs) = (work.models, work.epochs);
        let busy = models * (micro_batches * turn + waits);
        let outside = exchange.outside(busy, models * backward, micro_batches);
        // The host's link is another one than those of the ranks: it works beside all of that.
        let outside = epochs * (outside + exchange.host(busy + outside, micro_batches));
        let optimizer = epochs * exchange.optimizer(rates);
        let turns = epochs * models * micro_batches;
        let forward = (micro_batches + self.bubble()) * Self::scoring_turn(&compute, &exchange);
        let scoring = work.scoring_passes * forward;
        let scoring = scoring + exchange.scoring_gathers(micro_batches, scoring);
        let generation = work.answer.map_or(0.0, |answer| answer.seconds(run, rates, forward));
        let waits = epochs * models * waits;
        let known = turns * turn + waits + outside + optimizer + scoring + generation;
        StepTime {
            compute: turns * stage,
            scoring,
            generation,
            communication: turns * inside + outside,
            optimizer,
            launch: turns * (launch[0] + launch[1]),
            bubble: waits,
            stall: self.input_seconds().map_or(0.0, |input| (input - known).max(0.0)),
            saturation: compute.filled,
        }
    }

    /// A forward pass of one micro-batch on one stage that only scores.
    fn scoring_turn(compute: &Compute, exchange: &Exchange<'_>) -> f64 {
        let forward = &compute.forward;
        (compute.scoring + exchange.context(forward)).max(forward.launches) + exchange.inside_forward()
    }

    /// Compute of one micro-batch on the slowest stage.
    fn compute(&self, rates: &Rates<'_>) -> Compute {
        let Self { run, program, work, .. } = self;
        let (body, body_backward) = (rates.body(&work.body), rates.body(&work.body_backward));
        let (head, head_backward) = (rates.head(&work.head), rates.head(&work.head_backward));
        let full = run.layout.recompute == Recompute::Full;
        let stored = program.attention == AttentionKernel::Stored;
        let again = match run.layout.recompute {
            Recompute::Full => body.total(),
            // Fused attention computes its scores again anyway.
            Recompute::Selective if stored => body.attention,
            Recompute::None | Recompute::Selective => 0.0,
        };
        let operators = if program.recomputes_operators { 0.5 * body.products + body.pointwise } else { 0.0 };
        let once_more = |value: f64| if full { value } else { 0.0 };
        let stages = self.stages();
        let forward = Pass {
            seconds: self.stage(body.total(), head.total()),
            attention: body.attention / stages,
            launches: (rates.launch(&work.body) + rates.launch(&work.head)) / stages,
            rings: 1.0,
        };
        let launches = rates.launch(&work.body_backward) + rates.launch(&work.head_backward);
        let backward = Pass {
            seconds: self.stage(body_backward.total() + again + operators, head_backward.total()),
            attention: (body_backward.attention + once_more(body.attention)) / stages,
            launches: (launches + once_more(rates.launch(&work.body))) / stages,
            // Keys and values come round again, and their gradients with them.
            rings: 2.0 + once_more(1.0),
        };
        let all = body.total() + body_backward.total() + again + operators + head.total() + head_backward.total();
        let fixed = body.fixed + body_backward.fixed + once_more(body.fixed) + head.fixed + head_backward.fixed;
        let filled = if all > 0.0 { (1.0 - fixed / all).clamp(0.0, 1.0) } else { 1.0 };
        // The loss's way back is about half of what it moves.
        let scoring = self.stage(body.total(), head.total() - 0.5 * head.loss);
        Compute { forward, backward, scoring, filled }
    }

    /// One pass of the slowest stage.
    fn stage(&self, body: f64, head: f64) -> f64 {
        let (stages, layers) = (self.stages(), self.layers);
        if stages > 1.0 && layers % stages == 0.0 {
            // Equal blocks on each stage: the last one has the output side on top.
            body / stages + head
        } else {
            // Blocks that do not divide are dealt out so that stages are even, whole blocks at a time.
            let fullest = (layers / stages).ceil() / layers.max(1.0);
            ((body + head) / stages).max(body * fullest)
        }
    }

    fn stages(&self) -> f64 {
        f64::from(self.run.layout.pipeline.max(1))
    }

    /// Turns of a stage that the bubble takes: `p-1` for GPipe and 1F1B, `(p-1)/v` interleaved (arXiv 2104.04473, section
    /// 2.2); a third where weight gradients fill it, since forward, input gradient and weight gradient take about as long
    /// (arXiv 2401.10241, table 2, H1).
    fn bubble(&self) -> f64 {
        let layout = self.run.layout;
        let turns = (self.stages() - 1.0) / f64::from(layout.virtual_stages());
        match layout.schedule {
            Schedule::OneForwardOneBackward => turns,
            Schedule::GPipe => self.stages() - 1.0,
            Schedule::ZeroBubble => turns / 3.0,
        }
    }

    /// Seconds in which the input of one step arrives.
    fn input_seconds(&self) -> Option<f64> {
        let rate = self.program.input_samples_per_second.filter(|rate| *rate > 0.0)?;
        Some(f64::from(self.run.batch.micro) * f64::from(self.run.batch.accumulation) / rate)
    }
}

/// Compute of one micro-batch on the slowest stage.
struct Compute {
    forward: Pass,
    backward: Pass,
    /// Kernels at work in a forward pass without a backward pass to follow.
    scoring: f64,
    /// Share of it in which the device is filled.
    filled: f64,
}

/// One pass of it.
struct Pass {
    /// Kernels at work.
    seconds: f64,
    /// Attention among them.
    attention: f64,
    /// Seconds in which its kernels are launched.
    launches: f64,
    /// How often as many bytes as keys and values have go round the context-parallel ring.
    rings: f64,
}
