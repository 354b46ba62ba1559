//! Gavel (Narayanan et al., OSDI 2020): shares of time by a linear programme, handed out in rounds.

use std::collections::BTreeMap;

use super::rigid::rigid_steps_per_second;
use super::{Policy, View};
use crate::cluster::Allocation;
use crate::free::Free;
use crate::simplex::maximise;

/// Seconds of a round.
const ROUND_SECONDS: f64 = 360.0;

/// What a job is worth a round ahead of all that had some time already.
const NOT_YET: f64 = 1e9;

/// Gavel's largest sum of throughput: `max Σ T_jg x_jg` with `Σ_j s_j x_jg ≤ W_g`, `Σ_g x_jg ≤ 1`, `x ≥ 0`, where `x_jg` is the share of
/// time of job `j` on kind `g`, `s_j` its GPUs and `T_jg` its steps per second there. Each round goes to the highest `x_jg` over the
/// time received there. GPUs and batches are as asked for.
#[derive(Clone, Debug, Default)]
pub struct Gavel {
    /// Seconds on each kind, by job.
    received: BTreeMap<usize, Vec<f64>>,
    shares: Vec<Vec<f64>>,
    jobs: Vec<usize>,
}

impl Policy for Gavel {
    fn name(&self) -> &str {
        "gavel"
    }

    fn round_seconds(&self) -> f64 {
        ROUND_SECONDS
    }

    fn elastic(&self) -> bool {
        false
    }

    fn plan(&mut self, view: &View<'_>) -> Vec<Option<Allocation>> {
        let kinds = view.cluster.kinds.len();
        for job in &view.jobs {
            let received = self.received.entry(job.id).or_insert_with(|| vec![0.0; kinds]);
            if let Some(held) = &job.allocation {
                received[held.kind] += ROUND_SECONDS;
            }
        }
        let jobs: Vec<usize> = view.jobs.iter().map(|job| job.id).collect();
        if jobs != self.jobs {
            self.shares = shares(view);
            self.jobs = jobs;
        }
        let mut queue = Vec::new();
        for (at, job) in view.jobs.iter().enumerate() {
            for kind in 0..kinds {
                let received = self.received.get(&job.id).map_or(0.0, |received| received[kind]);
                let share = self.shares[at][kind];
                let priority = if received > 0.0 { share / received } else { share * NOT_YET };
                queue.push((priority, share, at, kind));
            }
        }
        queue.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1)).then(a.2.cmp(&b.2)));
        let mut rooms: Vec<u32> = view.cluster.kinds.iter().map(|kind| kind.gpus()).collect();
        let mut chosen: Vec<Option<usize>> = vec![None; view.jobs.len()];
        for (_, _, at, kind) in queue {
            let gpus = view.jobs[at].submission.gpus;
            let runs = rigid_steps_per_second(view, view.jobs[at], kind).is_some();
            if chosen[at].is_none() && runs && gpus <= rooms[kind] {
                rooms[kind] -= gpus;
                chosen[at] = Some(kind);
            }
        }
        on_nodes(view, &chosen)
    }
}

/// The linear programme.
fn shares(view: &View<'_>) -> Vec<Vec<f64>> {
    let (jobs, kinds) = (view.jobs.len(), view.cluster.kinds.len());
    let mut gain = vec![0.0; jobs * kinds];
    let mut rows = vec![vec![0.0; jobs * kinds]; jobs + kinds];
    let mut limits = vec![1.0; jobs + kinds];
    for (kind, nodes) in view.cluster.kinds.iter().enumerate() {
        limits[jobs + kind] = f64::from(nodes.gpus());
    }
    for (at, job) in view.jobs.iter().enumerate() {
        for kind in 0..kinds {
            let Some(steps) = rigid_steps_per_second(view, job, kind) else { continue };
            let variable = at * kinds + kind;
            gain[variable] = steps;
            rows[at][variable] = 1.0;
            rows[jobs + kind][variable] = f64::from(job.submission.gpus);
        }
    }
    let found = maximise(&gain, &rows, &limits).unwrap_or_else(|| vec![0.0; jobs * kinds]);
    let found: Vec<&[f64]> = found.chunks(kinds.max(1)).collect();
    // Among equal optima that which treats like jobs alike, as an interior-point method finds it: a mean of optima is optimal.
    let alike = |a: usize, b: usize| {
        let gains = |at: usize| &gain[at * kinds..(at + 1) * kinds];
        gains(a) == gains(b) && view.jobs[a].submission.gpus == view.jobs[b].submission.gpus
    };
    let mean = |at: usize| {
        let like: Vec<usize> = (0..jobs).filter(|other| alike(at, *other)).collect();
        let sum = |kind: usize| like.iter().map(|other| found[*other][kind]).sum::<f64>();
        (0..kinds).map(|kind| sum(kind) / like.len() as f64).collect()
    };
    (0..jobs).map(mean).collect()
}

/// Who stays on its kind stays on its nodes; the rest is placed biggest first.
fn on_nodes(view: &View<'_>, chosen: &[Option<usize>]) -> Vec<Option<Allocation>> {
    let mut free = Free::of(view.cluster);
    let mut plan = vec![None; chosen.len()];
    for (at, job) in view.jobs.iter().enumerate() {
        if let Some(held) = job.allocation.as_ref().filter(|held| chosen[at] == Some(held.kind)) {
            free.take(held);
            plan[at] = Some(held.clone());
        }
    }
    let mut open: Vec<usize> = (0..plan.len()).filter(|at| plan[*at].is_none()).collect();
    open.sort_by_key(|at| std::cmp::Reverse(view.jobs[*at].submission.gpus));
    for at in open {
        plan[at] = chosen[at].and_then(|kind| {
            free.in_order(kind, view.jobs[at].submission.gpus, view.cluster.kinds[kind].gpus_per_node)
        });
    }
    plan
}
