//! Gavel (Narayanan et al., OSDI 2020): shares of time by a linear programme, handed out in rounds.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::rigid::believed_steps_per_second;
use super::{Policy, View};
use crate::beliefs::Size;
use crate::cluster::{Allocation, Cluster};
use crate::job::Job;
use crate::simplex::maximise;

/// Seconds of a round.
pub(super) const ROUND_SECONDS: f64 = 360.0;

/// Seconds that a job counts as having had on every kind when it comes: half a round, so that a share over the time received is
/// finite from the start.
pub(super) const HEAD_START_SECONDS: f64 = ROUND_SECONDS / 2.0;

/// A share of time is rounded to a whole number of these parts.
const SHARES: f64 = 1e5;

/// Kind and numbers of the GPUs of each job, by its place in the workload.
pub(super) type Numbers = BTreeMap<usize, (usize, Vec<u32>)>;

/// Gavel's largest sum of throughput: `max Σ T_jg x_jg` with `Σ_j s_j x_jg ≤ W_g`, `Σ_g x_jg ≤ 1`, `x ≥ 0`, where `x_jg` is the share of
/// time of job `j` on kind `g`, `s_j` its GPUs and `T_jg` its steps per second there. Each round goes to the highest `x_jg/f_jg`, where
/// `f_jg` is the part that the job had of all time given on the kind, to jobs that ended too; GPUs that are left go to whoever fits.
/// GPUs and batches are as asked for.
///
/// Rules that the published runs follow and the paper does not spell out: kinds are looked at by name, where priorities are equal by
/// kind and then by arrival; every job starts with [`HEAD_START_SECONDS`] on each kind; shares are rounded to five places, which hides
/// what an interior-point method leaves of a zero; GPUs have numbers, and a job that keeps its kind keeps them unless one that asks
/// for more took one.
#[derive(Clone, Debug, Default)]
pub struct Gavel {
    /// Seconds on each kind, by job.
    received: BTreeMap<usize, Vec<f64>>,
    /// Seconds given on each kind, to jobs that ended too.
    given: Vec<f64>,
    shares: Vec<Vec<f64>>,
    jobs: Vec<usize>,
    /// Kind and numbers of the GPUs that each job was given last.
    held: Numbers,
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
        self.given.resize(kinds, 0.0);
        let jobs: Vec<usize> = view.jobs.iter().map(|job| job.id).collect();
        for job in &jobs {
            let given = &mut self.given;
            self.received.entry(*job).or_insert_with(|| {
                given.iter_mut().for_each(|seconds| *seconds += HEAD_START_SECONDS);
                vec![HEAD_START_SECONDS; kinds]
            });
        }
        if jobs != self.jobs {
            self.shares = shares(view);
            self.jobs.clone_from(&jobs);
        }
        let chosen = self.choose(view);
        for (at, kind) in &chosen {
            if let Some(received) = self.received.get_mut(&jobs[*at]) {
                received[*kind] += ROUND_SECONDS;
                self.given[*kind] += ROUND_SECONDS;
            }
        }
        self.held = number(view, &self.held, chosen);
        jobs.iter().map(|job| self.held.get(job).map(|(kind, gpus)| on_nodes(view.cluster, *kind, gpus))).collect()
    }
}

impl Gavel {
    /// Jobs of the view that run in the next round, as indices, and the kind that each runs on; the most urgent first.
    fn choose(&self, view: &View<'_>) -> Vec<(usize, usize)> {
        let mut queue = Vec::new();
        for kind in by_name(view.cluster) {
            for (at, job) in view.jobs.iter().enumerate() {
                let received = self.received.get(&job.id).map_or(HEAD_START_SECONDS, |received| received[kind]);
                let share = self.shares[at][kind];
                queue.push((share / (received / self.given[kind]), share, at, kind));
            }
        }
        queue.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1)));
        let mut rooms: Vec<u32> = view.cluster.kinds.iter().map(|kind| kind.gpus()).collect();
        let mut open = vec![true; view.jobs.len()];
        let mut chosen = Vec::new();
        for (_, _, at, kind) in queue {
            let gpus = view.jobs[at].submission.gpus;
            if open[at] && gpus <= rooms[kind] && runs(view, view.jobs[at], kind).is_some() {
                open[at] = false;
                rooms[kind] -= gpus;
                chosen.push((at, kind));
            }
        }
        chosen
    }
}

/// The numbers of the GPUs that each job gets: who asks for most first, of equals the most urgent; its old ones where it stays
/// on its kind and they are free, else the lowest that are.
pub(super) fn number(view: &View<'_>, before: &Numbers, mut chosen: Vec<(usize, usize)>) -> Numbers {
    let gpus_of = |at: usize| view.jobs[at].submission.gpus;
    let mut taken: Vec<Vec<bool>> = view.cluster.kinds.iter().map(|kind| vec![false; kind.gpus() as usize]).collect();
    let mut numbers = BTreeMap::new();
    chosen.sort_by_key(|(at, _)| Reverse(gpus_of(*at)));
    for alike in chosen.chunk_by(|a, b| gpus_of(a.0) == gpus_of(b.0)) {
        let mut moves = Vec::new();
        for (at, kind) in alike {
            let job = view.jobs[*at].id;
            let held = before.get(&job).filter(|held| held.0 == *kind);
            match held.filter(|held| held.1.iter().all(|gpu| !taken[*kind][*gpu as usize])) {
                Some(held) => {
                    held.1.iter().for_each(|gpu| taken[*kind][*gpu as usize] = true);
                    numbers.insert(job, held.clone());
                }
                None => moves.push((*at, *kind)),
            }
        }
        for (at, kind) in moves {
            let free = (0_u32..).zip(&taken[kind]).filter(|(_, taken)| !**taken);
            let gpus: Vec<u32> = free.map(|(gpu, _)| gpu).take(gpus_of(at) as usize).collect();
            gpus.iter().for_each(|gpu| taken[kind][*gpu as usize] = true);
            numbers.insert(view.jobs[at].id, (kind, gpus));
        }
    }
    numbers
}

/// Indices of the kinds, by name.
pub(super) fn by_name(cluster: &Cluster) -> Vec<usize> {
    let mut kinds: Vec<usize> = (0..cluster.kinds.len()).collect();
    kinds.sort_by(|a, b| cluster.kinds[*a].name.cmp(&cluster.kinds[*b].name));
    kinds
}

/// Believed steps per second of a job on a kind; `None` where it cannot run.
pub(super) fn runs(view: &View<'_>, job: &Job, index: usize) -> Option<f64> {
    let kind = &view.cluster.kinds[index];
    let gpus = job.submission.gpus;
    (gpus <= kind.gpus()).then(|| believed_steps_per_second(view, job, Size { index, kind, gpus })).flatten()
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
            let Some(steps) = runs(view, job, kind) else { continue };
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
        (0..kinds).map(|kind| (sum(kind) / like.len() as f64 * SHARES).round_ties_even() / SHARES).collect()
    };
    (0..jobs).map(mean).collect()
}

/// Numbered GPUs as counts on nodes, in the order of the numbers.
pub(super) fn on_nodes(cluster: &Cluster, kind: usize, gpus: &[u32]) -> Allocation {
    let mut nodes: Vec<(u32, u32)> = Vec::new();
    for gpu in gpus {
        let node = gpu / cluster.kinds[kind].gpus_per_node;
        match nodes.last_mut().filter(|last| last.0 == node) {
            Some(last) => last.1 += 1,
            None => nodes.push((node, 1)),
        }
    }
    Allocation { kind, nodes }
}
