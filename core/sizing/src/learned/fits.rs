//! The online model of a job on every class where it has run on more than one shape.
//!
//! From one shape, an observation is carried over (`steps`); from two on, the model of `throughput` knows more: how
//! communication grows with ranks and nodes, and how a step depends on the micro-batch.

use super::throughput::{ClassHabits, Observation, Placement, PredictedCompute, Prior, Throughput};
use super::{Evidence, StepEvidence};
use crate::precision::state_bytes;
use crate::search::{SizeModel, Timed};
use crate::step_time::Run;
use crate::{Batch, ClassName, ClassSpec, JobSpec, Layout, Shape};

/// Micro-batches whose predicted steps give floor and slope of the prior.
const MICRO: [u32; 2] = [1, 16];

/// What the steps of one job have taught: worked out once for each new step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fits {
    fits: Vec<Fit>,
    /// What the size model predicted for every observation, where its class is there.
    priors: Vec<Option<Timed>>,
}

/// One class and one kind of layout.
#[derive(Clone, Debug, PartialEq)]
struct Fit {
    class: ClassName,
    /// The layout without its ranks.
    kind: Layout,
    throughput: Throughput,
}

/// A data-parallel layout without its ranks; `None` where a copy of the model stands on several devices, whose
/// communication the model does not describe.
fn kind(layout: &Layout) -> Option<Layout> {
    let copy = layout.tensor.saturating_mul(layout.pipeline).saturating_mul(layout.context);
    (copy == 1).then_some(Layout { data: 0, shard_group: 0, ..*layout })
}

impl Fits {
    /// Fits what was seen with the job's global batch, newest first in weight.
    pub(crate) fn learn(job: &JobSpec, classes: &[ClassSpec], model: &SizeModel, evidence: &Evidence) -> Self {
        let usable = |seen: &&StepEvidence| seen.batch.global == job.global_batch && kind(&seen.layout).is_some();
        let seen: Vec<&StepEvidence> = evidence.steps.iter().filter(usable).collect();
        let mut groups: Vec<(&ClassName, Layout)> =
            seen.iter().filter_map(|seen| Some((&seen.class, kind(&seen.layout)?))).collect();
        groups.sort();
        groups.dedup();
        let fit = |(name, of): (&ClassName, Layout)| {
            let class = classes.iter().find(|class| class.name == *name)?;
            let own: Vec<&StepEvidence> =
                seen.iter().copied().filter(|seen| seen.class == *name && kind(&seen.layout) == Some(of)).collect();
            let several = own.iter().any(|seen| seen.shape != own[0].shape);
            several.then(|| Fit {
                class: name.clone(),
                kind: of,
                throughput: Throughput::fit(&observations(&own), &prior(job, class, model, of)),
            })
        };
        let prior = |seen: &StepEvidence| {
            let StepEvidence { shape, layout, batch, .. } = seen;
            let class = classes.iter().find(|class| class.name == seen.class)?;
            Some(model.step(Run { job, class, shape, layout, batch }))
        };
        Self { fits: groups.into_iter().filter_map(fit).collect(), priors: evidence.steps.iter().map(prior).collect() }
    }

    /// What was predicted for an observation, by its place among the evidence.
    pub(crate) fn prior(&self, at: usize) -> Option<&Timed> {
        self.priors.get(at)?.as_ref()
    }

    /// Seconds of a step, where the class and the kind of layout were fitted.
    pub(crate) fn step_seconds(&self, shape: &Shape, layout: &Layout, batch: &Batch) -> Option<f64> {
        let of = kind(layout)?;
        let fit = self.fits.iter().find(|fit| fit.class == shape.class && fit.kind == of)?;
        let placement = Placement::of_shape(shape)?;
        Some(fit.throughput.parameters().step_seconds(placement, f64::from(batch.micro), batch.accumulation))
    }
}

fn observations(seen: &[&StepEvidence]) -> Vec<Observation> {
    let newest = seen.len().saturating_sub(1);
    let observation = |(at, seen): (usize, &&StepEvidence)| {
        Some(Observation {
            placement: Placement::of_shape(&seen.shape)?,
            local_batch: f64::from(seen.batch.micro),
            accumulation: seen.batch.accumulation,
            step_seconds: seen.step_seconds,
            sync_seconds: None,
            weight: Observation::weight_after(newest - at),
        })
    };
    seen.iter().enumerate().filter_map(observation).collect()
}

/// What the size model predicts, before anything ran.
fn prior(job: &JobSpec, class: &ClassSpec, model: &SizeModel, kind: Layout) -> Prior {
    let shape = Shape { class: class.name.clone(), pods: 1, gpus_per_pod: 1 };
    let layout = Layout { data: 1, ..kind };
    let [one, many] = MICRO.map(|micro| {
        let batch = Batch { micro, accumulation: 1, global: micro };
        model.step(Run { job, class, shape: &shape, layout: &layout, batch: &batch }).total
    });
    let slope = (many - one) / f64::from(MICRO[1] - MICRO[0]);
    let compute = (one.is_finite() && slope > 0.0)
        .then(|| PredictedCompute { floor_seconds: (one - slope).max(one * 1e-3), sample_seconds: slope });
    let gradient = state_bytes(job.precision, layout.sharding).gradients;
    let bytes = model.trained_parameters * gradient;
    Prior::new(&ClassHabits::of_network(class.network_bytes_per_second), Some(bytes), compute)
}
