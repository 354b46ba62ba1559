//! Step time and SM activity corrected by what ran.
//!
//! An observed step is split into *busy* (SM activity × step time) and *stall*. Busy time follows the work per device;
//! of the stall, communication follows the communication model, the part that small kernels leave unfilled follows the
//! number and size of micro-batches, and the rest (data loading, logging, stragglers) stays as it is. Where the model
//! claims more stall than was seen, the claim is scaled down to what was seen.

use std::cell::{Cell, OnceCell};

use super::{Evidence, Fits, StepEvidence};
use crate::search::{Timed, Way};
use crate::{Batch, ClassSpec, JobSpec, Layout, Shape};

/// A step as expected after correction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Expected {
    pub(crate) step_seconds: f64,
    pub(crate) sm_activity: f64,
}

impl Expected {
    /// The same work in a step of another length, which is at least that of the work.
    fn in_step(self, seconds: f64) -> Self {
        let busy = self.step_seconds * self.sm_activity;
        let step_seconds = seconds.max(busy);
        Self { step_seconds, sm_activity: (busy / step_seconds).clamp(0.0, 1.0) }
    }
}

/// What the evidence says about the steps of a job.
pub(crate) struct StepCorrection<'a> {
    /// Oldest first.
    known: Vec<Known<'a>>,
    fits: &'a Fits,
}

/// One observation, with what is worked out of it once it is asked for.
struct Known<'a> {
    seen: &'a StepEvidence,
    /// What was predicted for it, where its class is there.
    prior: Option<&'a Timed>,
    /// Its devices and its micro-batch, as [`octaves`].
    gpus: i64,
    micro: i64,
    carry: OnceCell<Option<Carry>>,
    /// Busy seconds per sample that do not depend on the micro-batch, and those that shrink with it.
    efficiency: OnceCell<Option<(f64, f64)>>,
}

/// The same where it bears on one class.
pub(crate) struct StepsOf<'a> {
    correction: &'a StepCorrection<'a>,
    /// What a shape of the class may be started from, newest first: seen on the class, else on any.
    usable: Vec<&'a Known<'a>>,
    /// Whether they were seen on the class itself.
    own: bool,
}

/// The same where it bears on one shape.
pub(crate) struct StepsAt<'a> {
    correction: &'a StepCorrection<'a>,
    /// Seen on the very shape, newest first.
    here: Vec<&'a Known<'a>>,
    /// To start from: of the same class before any other and of the nearest count, newest first.
    nearest: Vec<&'a Known<'a>>,
    /// How the last micro-batch asked for is carried over: ways come with few different ones.
    carried: Cell<Option<(u32, Option<Carry>)>>,
}

impl<'a> StepCorrection<'a> {
    /// Takes the observations that have the job's global batch; those of another one are about another job.
    pub(crate) fn learn(job: &JobSpec, evidence: &'a Evidence, fits: &'a Fits) -> Self {
        let own = evidence.steps.iter().enumerate().filter(|(_, seen)| seen.batch.global == job.global_batch);
        let known = own.map(|(at, seen)| Known {
            seen,
            prior: fits.prior(at),
            gpus: octaves(seen.shape.gpus()),
            micro: octaves(seen.batch.micro),
            carry: OnceCell::new(),
            efficiency: OnceCell::new(),
        });
        Self { known: known.collect(), fits }
    }

    /// The fastest step observed at any size, in seconds: what smaller sizes are compared with. It never creeps: a
    /// slower step after a shrink does not replace it.
    pub(crate) fn reference_seconds(&self) -> Option<f64> {
        self.known.iter().map(|known| known.seen.step_seconds).min_by(f64::total_cmp)
    }

    /// The observation that speaks for what runs now, or ran last: of the same configuration, else of the same devices,
    /// else the newest of the class, else the newest.
    pub(crate) fn latest(&self, current: Option<&crate::Current>) -> Option<&'a StepEvidence> {
        let newest =
            |test: &dyn Fn(&StepEvidence) -> bool| self.known.iter().rev().map(|known| known.seen).find(|k| test(k));
        let Some(current) = current else { return newest(&|_| true) };
        newest(&|k| k.shape == current.shape && k.layout == current.layout && k.batch == current.batch)
            .or_else(|| newest(&|k| k.shape == current.shape))
            .or_else(|| newest(&|k| k.class == current.shape.class))
            .or_else(|| newest(&|_| true))
    }

    /// What bears on one class.
    pub(crate) fn of(&'a self, class: &ClassSpec) -> StepsOf<'a> {
        let usable = || self.known.iter().rev().filter(|known| known.prior.is_some());
        let own: Vec<&Known<'_>> = usable().filter(|known| known.seen.class == class.name).collect();
        let none = own.is_empty();
        StepsOf { correction: self, usable: if none { usable().collect() } else { own }, own: !none }
    }
}

impl<'a> StepsOf<'a> {
    /// What bears on one shape of the class.
    pub(crate) fn at(&self, shape: &Shape) -> StepsAt<'a> {
        let gpus = octaves(shape.gpus());
        let far = |known: &&Known<'_>| known.gpus.abs_diff(gpus);
        let least = self.usable.iter().map(far).min();
        let nearest = self.usable.iter().copied().filter(|known| Some(far(known)) == least).collect();
        let here = if self.own {
            self.usable.iter().copied().filter(|known| known.seen.shape == *shape).collect()
        } else {
            Vec::new()
        };
        StepsAt { correction: self.correction, here, nearest, carried: Cell::new(None) }
    }
}

/// A count on a logarithmic scale, in millionths of an octave: as far from its half as from its double.
fn octaves(count: u32) -> i64 {
    (f64::from(count.max(1)).log2() * 1e6).round() as i64
}

impl Known<'_> {
    /// How it is carried over; `None` where its class is gone or the size model has no time for it.
    fn carry(&self) -> Option<&Carry> {
        self.carry.get_or_init(|| Carry::new(self.seen, self.prior?)).as_ref()
    }

    fn busy_per_sample(&self) -> f64 {
        let samples = f64::from(self.seen.batch.micro) * f64::from(self.seen.batch.accumulation);
        self.seen.step_seconds * self.seen.sm_activity / samples
    }

    /// Busy time per sample at another micro-batch over that at the observed one.
    ///
    /// With two micro-batches observed on a class, busy time per sample is fitted as `c·(1 + b_half/b)`; with one it is
    /// taken as constant.
    fn efficiency(&self, all: &StepCorrection<'_>, micro: u32) -> f64 {
        let fitted = self.efficiency.get_or_init(|| {
            let other = all.known.iter().rev().find(|known| {
                known.seen.class == self.seen.class
                    && known.seen.layout.recompute == self.seen.layout.recompute
                    && known.seen.layout.tensor == self.seen.layout.tensor
                    && known.seen.batch.micro != self.seen.batch.micro
            })?;
            let (here, there) = (inverse(self.seen.batch.micro), inverse(other.seen.batch.micro));
            let slope = (self.busy_per_sample() - other.busy_per_sample()) / (here - there);
            let constant = self.busy_per_sample() - slope * here;
            (slope > 0.0 && constant > 0.0).then_some((constant, slope))
        });
        fitted.map_or(1.0, |(constant, slope)| (constant + slope * inverse(micro)) / self.busy_per_sample())
    }
}

fn inverse(micro: u32) -> f64 {
    1.0 / f64::from(micro)
}

impl StepsAt<'_> {
    /// The step of one way to run the job: as observed, else carried over from the nearest observation, else the prior.
    #[inline]
    pub(crate) fn expect(&self, way: &Way) -> Expected {
        let Way { layout, batch, step: prior, .. } = way;
        if !self.here.is_empty()
            && let Some(expected) = self.seen_here(layout, batch)
        {
            return expected;
        }
        match self.carry(batch) {
            Some(carry) if prior.total.is_finite() => carry.over(prior),
            _ => Expected { step_seconds: prior.total, sm_activity: prior.sm_activity },
        }
    }

    /// What is expected of a way by the model that was fitted to what ran, where there is one and the way was not seen
    /// itself.
    pub(crate) fn refine(&self, shape: &Shape, way: &Way, expected: Expected) -> Expected {
        let Way { layout, batch, .. } = way;
        match self.correction.fits.step_seconds(shape, layout, batch) {
            Some(seconds) if self.seen_here(layout, batch).is_none() => expected.in_step(seconds),
            _ => expected,
        }
    }

    /// How the nearest observation is carried over to a micro-batch.
    #[inline]
    fn carry(&self, batch: &Batch) -> Option<Carry> {
        match self.carried.get() {
            Some((micro, carry)) if micro == batch.micro => carry,
            _ => {
                let carry = self.nearest(batch).and_then(|known| {
                    let Carry { busy, .. } = *known.carry()?;
                    let efficiency = known.efficiency(self.correction, batch.micro);
                    Some(Carry { busy: busy * efficiency, ..*known.carry()? })
                });
                self.carried.set(Some((batch.micro, carry)));
                carry
            }
        }
    }

    /// As seen on the very shape: this cut, or two others of its layout.
    fn seen_here(&self, layout: &Layout, batch: &Batch) -> Option<Expected> {
        let same = |seen: &&StepEvidence| seen.layout == *layout && seen.batch == *batch;
        match self.here.iter().map(|known| known.seen).find(same) {
            Some(seen) => {
                let sm_activity = seen.sm_activity.clamp(0.0, 1.0);
                Some(Expected { step_seconds: seen.step_seconds, sm_activity })
            }
            None => self.between_cuts(layout, batch),
        }
    }

    /// Another cut of the batch on devices where two cuts were seen: a step is `per_step + per_micro_batch × accumulation`,
    /// since every cut computes the same samples and differs in how often the fixed cost of a micro-batch is paid.
    fn between_cuts(&self, layout: &Layout, batch: &Batch) -> Option<Expected> {
        let mut seen = self.here.iter().filter(|known| known.seen.layout == *layout);
        let newest = seen.next()?;
        let other = seen.find(|known| known.seen.batch.accumulation != newest.seen.batch.accumulation)?;
        let times = |known: &Known<'_>| f64::from(known.seen.batch.accumulation);
        let per_micro_batch = (newest.seen.step_seconds - other.seen.step_seconds) / (times(newest) - times(other));
        let per_step = newest.seen.step_seconds - per_micro_batch * times(newest);
        if per_micro_batch <= 0.0 || per_step <= 0.0 {
            return None;
        }
        let busy_seen = newest.seen.step_seconds * newest.seen.sm_activity.clamp(0.01, 1.0);
        let busy = busy_seen * newest.efficiency(self.correction, batch.micro);
        let step_seconds = (per_step + per_micro_batch * f64::from(batch.accumulation)).max(busy);
        Some(Expected { step_seconds, sm_activity: (busy / step_seconds).clamp(0.0, 1.0) })
    }

    /// The observation to start from: of the nearest micro-batch, then the newest.
    fn nearest(&self, batch: &Batch) -> Option<&Known<'_>> {
        if let [only] = self.nearest.as_slice() {
            return Some(only);
        }
        let micro = octaves(batch.micro);
        self.nearest.iter().copied().min_by_key(|known| known.micro.abs_diff(micro))
    }
}

/// How an observation is carried over to other ways to run the job.
#[derive(Clone, Copy)]
struct Carry {
    /// Busy seconds seen for each second of work that the size model says the observed step was.
    busy: f64,
    communication: f64,
    unfilled: f64,
    rest: f64,
}

impl Carry {
    /// `None` where the size model has no time for the observed step.
    fn new(seen: &StepEvidence, prior: &Timed) -> Option<Self> {
        let busy = seen.step_seconds * seen.sm_activity.clamp(0.01, 1.0);
        let stall = (seen.step_seconds - busy).max(0.0);
        let communication = prior.communication.min(stall);
        let unfilled = prior.unfilled.min(stall - communication);
        let rest = stall - communication - unfilled;
        // What the model claimed and was seen scales its claim for the other size; what it did not claim it may add in
        // full.
        let scale = |part_seen: f64, claimed: f64| if claimed > 0.0 { part_seen / claimed } else { 1.0 };
        prior.total.is_finite().then_some(Self {
            busy: busy / prior.work,
            communication: scale(communication, prior.communication),
            unfilled: scale(unfilled, prior.unfilled),
            rest,
        })
    }

    fn over(&self, prior: &Timed) -> Expected {
        let busy = self.busy * prior.work;
        let step_seconds = busy + self.communication * prior.communication + self.unfilled * prior.unfilled + self.rest;
        Expected { step_seconds, sm_activity: (busy / step_seconds).clamp(0.0, 1.0) }
    }
}
