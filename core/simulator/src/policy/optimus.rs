//! Optimus (Peng et al., EuroSys 2018), told the truth: GPUs one by one to whoever gains most.

use super::rigid::believed_steps_per_second;
use super::{Policy, View};
use crate::beliefs::{Size, ideal_shape};
use crate::cluster::Allocation;
use crate::free::Free;
use crate::job::{Job, limits};

/// One GPU each by arrival, then one more at a time where the true remaining time falls most: true step times at the batch that was asked
/// for, times the optimizer steps that are left after the present epoch. On several kinds of GPU a job stays on one: the fastest
/// that has a GPU for it when it starts.
///
/// As its authors' simulator has it: no more GPUs than the batch has smallest local batches; a job whose count stays keeps its GPUs, the
/// others are placed fewest first, each where most are free.
#[derive(Clone, Copy, Debug, Default)]
pub struct Optimus;

impl Policy for Optimus {
    fn name(&self) -> &str {
        "optimus"
    }

    fn elastic(&self) -> bool {
        false
    }

    fn plan(&mut self, view: &View<'_>) -> Vec<Option<Allocation>> {
        let mut rooms: Vec<u32> = view.cluster.kinds.iter().map(|kind| kind.gpus()).collect();
        let mut given: Vec<Option<(usize, u32)>> = vec![None; view.jobs.len()];
        for (at, job) in view.jobs.iter().enumerate() {
            let least = job.submission.steps.map_or(1, |_| job.submission.gpus);
            let kind = job.allocation.as_ref().map(|held| held.kind).filter(|kind| rooms[*kind] >= least);
            let kind = kind.or_else(|| {
                let speed = |kind: usize| steps_per_second(view, job, kind, least).unwrap_or(0.0);
                let kinds = (0..rooms.len()).filter(|kind| rooms[*kind] >= least && speed(*kind) > 0.0);
                kinds.max_by(|a, b| speed(*a).total_cmp(&speed(*b)))
            });
            if let Some(kind) = kind {
                rooms[kind] -= least;
                given[at] = Some((kind, least));
            }
        }
        // What one more GPU gains each job; worked out again only for who got it.
        let mut gains: Vec<f64> = view
            .jobs
            .iter()
            .zip(&given)
            .map(|(job, given)| given.map_or(0.0, |given| gain(view, job, given)))
            .collect();
        loop {
            let room = |at: usize| given[at].is_some_and(|(kind, _)| rooms[kind] > 0);
            let fits = (0..given.len()).filter(|at| room(*at));
            let best = fits.max_by(|a, b| gains[*a].total_cmp(&gains[*b]).then(b.cmp(a)));
            let Some(at) = best.filter(|at| gains[*at] > 0.0) else { break };
            let Some((kind, gpus)) = given[at] else { break };
            rooms[kind] -= 1;
            given[at] = Some((kind, gpus + 1));
            gains[at] = gain(view, view.jobs[at], (kind, gpus + 1));
        }
        on_nodes(view, &given)
    }
}

/// Drop of the remaining seconds by one more GPU; 0 where a job can have no more.
fn gain(view: &View<'_>, job: &Job, (kind, gpus): (usize, u32)) -> f64 {
    let seconds = |gpus: u32| steps_per_second(view, job, kind, gpus).map(|steps| 1.0 / steps);
    let left = view.application(job).runs.steps_after(f64::from(job.submission.batch), job.epoch);
    match (seconds(gpus), seconds(gpus + 1)) {
        (Some(now), Some(then)) => (now - then) * left,
        _ => 0.0,
    }
}

fn steps_per_second(view: &View<'_>, job: &Job, index: usize, gpus: u32) -> Option<f64> {
    let application = view.application(job);
    let kind = &view.cluster.kinds[index];
    let steps = application.steps[index].as_ref()?;
    let limits = limits(application, steps, view.rules, Some(&ideal_shape(kind, gpus)));
    let most = (f64::from(job.submission.batch) / limits.local.0).floor() as u32;
    // Pollux's simulator lets ncf have one.
    let most = if application.name == "ncf" { 1 } else { most };
    (gpus <= most.min(kind.gpus())).then(|| believed_steps_per_second(view, job, Size { index, kind, gpus })).flatten()
}

/// Who keeps its count stays; the rest is placed fewest first.
fn on_nodes(view: &View<'_>, given: &[Option<(usize, u32)>]) -> Vec<Option<Allocation>> {
    let mut free = Free::of(view.cluster);
    let mut plan = vec![None; given.len()];
    for (at, job) in view.jobs.iter().enumerate() {
        if let Some(held) = job.allocation.as_ref().filter(|held| given[at] == Some((held.kind, held.gpus()))) {
            free.take(held);
            plan[at] = Some(held.clone());
        }
    }
    let mut open: Vec<usize> = (0..plan.len()).filter(|at| plan[*at].is_none()).collect();
    open.sort_by_key(|at| given[*at].map_or(0, |given| given.1));
    for at in open {
        plan[at] = given[at].and_then(|(kind, gpus)| free.most_free_nodes(kind, gpus));
    }
    plan
}
