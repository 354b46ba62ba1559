//! Step time and SM activity corrected by what ran.
//!
//! An observed step is split into *busy* (SM activity × step time) and *stall*. Busy time follows the work per device;
//! of the stall, communication follows the communication model, the part that small kernels leave unfilled follows the
//! number and size of micro-batches, and the rest (data loading, logging, stragglers) stays as it is. Where the model
//! claims more stall than was seen, the claim is scaled down to what was seen.

use super::{Evidence, StepEvidence};
use crate::{Batch, ClassSpec, JobSpec, Layout, Shape, StepTime};

/// A step as expected after correction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Expected {
    pub(crate) step_seconds: f64,
    pub(crate) sm_activity: f64,
}

/// What the evidence says about the steps of a job.
pub(crate) struct StepCorrection<'a> {
    job: &'a JobSpec,
    classes: &'a [ClassSpec],
    evidence: Vec<&'a StepEvidence>,
}

impl<'a> StepCorrection<'a> {
    /// Takes the observations that have the job's global batch; those of another one are about another job.
    pub(crate) fn learn(job: &'a JobSpec, classes: &'a [ClassSpec], evidence: &'a Evidence) -> Self {
        let evidence = evidence.steps.iter().filter(|known| known.batch.global == job.global_batch).collect();
        Self { job, classes, evidence }
    }

    /// The fastest step observed at any size, in seconds: what smaller sizes are compared with. It never creeps: a
    /// slower step after a shrink does not replace it.
    pub(crate) fn reference_seconds(&self) -> Option<f64> {
        self.evidence.iter().map(|known| known.step_seconds).min_by(f64::total_cmp)
    }

    /// The observation that speaks for what runs now, or ran last: of the same configuration, else of the same devices,
    /// else the newest of the class, else the newest.
    pub(crate) fn latest(&self, current: Option<&crate::Current>) -> Option<&'a StepEvidence> {
        let newest = |test: &dyn Fn(&StepEvidence) -> bool| self.evidence.iter().rev().copied().find(|k| test(k));
        let Some(current) = current else { return newest(&|_| true) };
        newest(&|k| k.shape == current.shape && k.layout == current.layout && k.batch == current.batch)
            .or_else(|| newest(&|k| k.shape == current.shape))
            .or_else(|| newest(&|k| k.class == current.shape.class))
            .or_else(|| newest(&|_| true))
    }

    /// The step of one way to run the job: as observed, else carried over from the nearest observation, else the prior.
    pub(crate) fn expect(&self, class: &ClassSpec, shape: &Shape, layout: &Layout, batch: &Batch) -> Expected {
        let prior = StepTime::of(self.job, class, shape, layout, batch);
        if let Some(seen) = self.exact(shape, layout, batch) {
            return Expected { step_seconds: seen.step_seconds, sm_activity: seen.sm_activity.clamp(0.0, 1.0) };
        }
        if let Some(expected) = self.between_cuts(shape, layout, batch) {
            return expected;
        }
        let Some((seen, seen_class)) = self.nearest(shape, batch) else {
            return Expected { step_seconds: prior.total(), sm_activity: prior.sm_activity() };
        };
        let seen_prior = StepTime::of(self.job, seen_class, &seen.shape, &seen.layout, &seen.batch);
        if !seen_prior.total().is_finite() || !prior.total().is_finite() {
            return Expected { step_seconds: prior.total(), sm_activity: prior.sm_activity() };
        }
        carry(seen, &seen_prior, &prior, self.micro_batch_efficiency(seen, batch.micro))
    }

    fn exact(&self, shape: &Shape, layout: &Layout, batch: &Batch) -> Option<&'a StepEvidence> {
        let same = |known: &&StepEvidence| known.shape == *shape && known.layout == *layout && known.batch == *batch;
        self.evidence.iter().rev().copied().find(same)
    }

    /// Another cut of the batch on devices where two cuts were seen: a step is `per_step + per_micro_batch × accumulation`,
    /// since every cut computes the same samples and differs in how often the fixed cost of a micro-batch is paid.
    fn between_cuts(&self, shape: &Shape, layout: &Layout, batch: &Batch) -> Option<Expected> {
        let mut seen = self.evidence.iter().rev().filter(|known| known.shape == *shape && known.layout == *layout);
        let newest = seen.next()?;
        let other = seen.find(|known| known.batch.accumulation != newest.batch.accumulation)?;
        let times = |known: &StepEvidence| f64::from(known.batch.accumulation);
        let per_micro_batch = (newest.step_seconds - other.step_seconds) / (times(newest) - times(other));
        let per_step = newest.step_seconds - per_micro_batch * times(newest);
        if per_micro_batch <= 0.0 || per_step <= 0.0 {
            return None;
        }
        let busy_seen = newest.step_seconds * newest.sm_activity.clamp(0.01, 1.0);
        let busy = busy_seen * self.micro_batch_efficiency(newest, batch.micro);
        let step_seconds = (per_step + per_micro_batch * f64::from(batch.accumulation)).max(busy);
        Some(Expected { step_seconds, sm_activity: (busy / step_seconds).clamp(0.0, 1.0) })
    }

    /// The observation to start from: of the same class before any other, the nearest count, the nearest micro-batch,
    /// the newest.
    fn nearest(&self, shape: &Shape, batch: &Batch) -> Option<(&'a StepEvidence, &'a ClassSpec)> {
        let distance = |a: u32, b: u32| (f64::from(a.max(1)) / f64::from(b.max(1))).ln().abs();
        self.evidence
            .iter()
            .rev()
            .copied()
            .filter_map(|known| Some((known, self.classes.iter().find(|class| class.name == known.class)?)))
            .min_by(|(a, _), (b, _)| {
                (a.class != shape.class)
                    .cmp(&(b.class != shape.class))
                    .then_with(|| {
                        distance(a.shape.gpus(), shape.gpus()).total_cmp(&distance(b.shape.gpus(), shape.gpus()))
                    })
                    .then_with(|| distance(a.batch.micro, batch.micro).total_cmp(&distance(b.batch.micro, batch.micro)))
            })
    }

    /// Busy time per sample at another micro-batch over that at the observed one.
    ///
    /// With two micro-batches observed on a class, busy time per sample is fitted as `c·(1 + b_half/b)`; with one it is
    /// taken as constant.
    fn micro_batch_efficiency(&self, seen: &StepEvidence, micro: u32) -> f64 {
        let per_sample = |known: &StepEvidence| {
            let samples = f64::from(known.batch.micro) * f64::from(known.batch.accumulation);
            known.step_seconds * known.sm_activity / samples
        };
        let other = self.evidence.iter().rev().find(|known| {
            known.class == seen.class
                && known.layout.recompute == seen.layout.recompute
                && known.layout.tensor == seen.layout.tensor
                && known.batch.micro != seen.batch.micro
        });
        let Some(other) = other else { return 1.0 };
        let inverse = |micro: u32| 1.0 / f64::from(micro);
        let slope = (per_sample(seen) - per_sample(other)) / (inverse(seen.batch.micro) - inverse(other.batch.micro));
        let constant = per_sample(seen) - slope * inverse(seen.batch.micro);
        if slope <= 0.0 || constant <= 0.0 {
            return 1.0;
        }
        (constant + slope * inverse(micro)) / per_sample(seen)
    }
}

/// Carries an observation over to another way to run the job.
fn carry(seen: &StepEvidence, seen_prior: &StepTime, prior: &StepTime, efficiency: f64) -> Expected {
    let busy_seen = seen.step_seconds * seen.sm_activity.clamp(0.01, 1.0);
    let stall_seen = (seen.step_seconds - busy_seen).max(0.0);
    let communication_seen = seen_prior.communication.min(stall_seen);
    let unfilled_seen = seen_prior.unfilled().min(stall_seen - communication_seen);
    let rest = stall_seen - communication_seen - unfilled_seen;
    // What the model claimed and was seen scales its claim for the other size; what it did not claim it may add in full.
    let scaled =
        |part_seen: f64, claimed: f64, claim: f64| if claimed > 0.0 { part_seen / claimed * claim } else { claim };
    let busy = busy_seen * prior.work() / seen_prior.work() * efficiency;
    let step_seconds = busy
        + scaled(communication_seen, seen_prior.communication, prior.communication)
        + scaled(unfilled_seen, seen_prior.unfilled(), prior.unfilled())
        + rest;
    Expected { step_seconds, sm_activity: (busy / step_seconds).clamp(0.0, 1.0) }
}
