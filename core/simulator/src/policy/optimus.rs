//! Optimus (Peng et al., EuroSys 2018), told the truth: GPUs one by one to whoever gains most.

use super::rigid::rigid_rate;
use super::{Policy, View};
use crate::beliefs::{Size, counts, slowdown};
use crate::beliefs::{ideal_shape, most_gpus};
use crate::cluster::Allocation;
use crate::free::Free;
use crate::job::{Job, limits};

/// One GPU each by arrival, then one more at a time where the true remaining time falls most. Batches are as asked for. On several
/// kinds of GPU a job stays on one: the fastest that has a GPU for it when it starts.
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
            let kind = job.allocation.as_ref().map(|held| held.kind).filter(|kind| rooms[*kind] > 0);
            let kind = kind.or_else(|| {
                let kinds = (0..rooms.len()).filter(|kind| rooms[*kind] > 0 && rate(view, job, *kind, 1).is_some());
                kinds.max_by(|a, b| {
                    rigid_rate(view, job, *a).unwrap_or(0.0).total_cmp(&rigid_rate(view, job, *b).unwrap_or(0.0))
                })
            });
            if let Some(kind) = kind {
                rooms[kind] -= 1;
                given[at] = Some((kind, 1));
            }
        }
        // What the next step of each job gains a GPU; worked out again only for who got it.
        let mut gains: Vec<Option<(f64, u32)>> =
            view.jobs.iter().zip(&given).map(|(job, given)| next(view, job, (*given)?)).collect();
        loop {
            let fits = |at: &usize| {
                let (Some((kind, now)), Some((_, to))) = (given[*at], gains[*at]) else { return false };
                to - now <= rooms[kind]
            };
            let gain = |at: &usize| gains[*at].map_or(0.0, |gain| gain.0);
            let best = (0..given.len()).filter(fits).max_by(|a, b| gain(a).total_cmp(&gain(b)).then(b.cmp(a)));
            let Some(at) = best.filter(|at| gain(at) > 0.0) else { break };
            let (Some((kind, now)), Some((_, to))) = (given[at], gains[at]) else { break };
            rooms[kind] -= to - now;
            given[at] = Some((kind, to));
            gains[at] = next(view, view.jobs[at], (kind, to));
        }
        on_nodes(view, &given)
    }
}

/// Drop of the remaining seconds for each GPU up to the next count, and that count; `None` where there is none.
fn next(view: &View<'_>, job: &Job, (kind, gpus): (usize, u32)) -> Option<(f64, u32)> {
    let left = job.total(view.application(job)) - job.progress;
    let to = counts(&view.cluster.kinds[kind]).into_iter().find(|count| *count > gpus)?;
    let (now, then) = (rate(view, job, kind, gpus)?, rate(view, job, kind, to)?);
    Some(((left / now - left / then) / f64::from(to - gpus), to))
}

/// True progress per second at the batch that was asked for.
fn rate(view: &View<'_>, job: &Job, index: usize, gpus: u32) -> Option<f64> {
    let application = view.application(job);
    let size = Size { index, kind: &view.cluster.kinds[index], gpus };
    let steps = application.steps[index].as_ref()?;
    let shape = ideal_shape(size.kind, gpus);
    let mix = steps.at(&shape)?;
    let limits = limits(application, steps, view.rules, Some(&shape));
    let total = f64::from(job.submission.batch);
    if gpus > most_gpus(application, steps) || total < limits.local.0 * f64::from(gpus) {
        return None;
    }
    let cut = limits.fixed(total, gpus);
    let total = cut.total(gpus);
    let gain = application.runs.gradient(total, job.epoch).gain(limits.first, total);
    let seconds = mix.at(f64::from(cut.local)).with_accumulation(cut.accumulation);
    Some(gain / seconds / slowdown(application, view.rules))
}

/// Who keeps its count stays; the rest is placed biggest first.
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
    open.sort_by_key(|at| std::cmp::Reverse(given[*at].map_or(0, |given| given.1)));
    for at in open {
        plan[at] = given[at].and_then(|(kind, gpus)| free.in_order(kind, gpus, view.cluster.kinds[kind].gpus_per_node));
    }
    plan
}
