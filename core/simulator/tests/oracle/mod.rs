//! Gavel once more, as plainly as its rules can be written: an oracle for the policy. It shares no line with it, and solves the
//! linear programme with another solver.

use std::collections::BTreeMap;

use microlp::{ComparisonOp, OptimizationDirection, Problem};
use plimsoll_simulator::policy::{Policy, View};
use plimsoll_simulator::{Allocation, Job};

const ROUND_SECONDS: f64 = 360.0;

/// What is remembered of a job.
#[derive(Clone, Default)]
struct Record {
    /// Seconds on each kind, half a round of which nobody gave.
    seconds: Vec<f64>,
    /// Its GPUs of the last round, as (kind, number).
    gpus: Vec<(usize, u32)>,
}

/// The policy by its plain rules.
#[derive(Clone, Default)]
pub struct GavelOracle {
    /// By name of the job; nobody is forgotten.
    records: BTreeMap<String, Record>,
}

impl Policy for GavelOracle {
    fn name(&self) -> &str {
        "gavel-oracle"
    }

    fn round_seconds(&self) -> f64 {
        ROUND_SECONDS
    }

    fn elastic(&self) -> bool {
        false
    }

    fn plan(&mut self, view: &View<'_>) -> Vec<Option<Allocation>> {
        let kinds = &view.cluster.kinds;
        for job in &view.jobs {
            let record = self.records.entry(job.submission.name.clone()).or_default();
            record.seconds.resize(kinds.len(), ROUND_SECONDS / 2.0);
        }
        // Every pair of a job and a kind with its urgency, in the order in which equals are served.
        let shares = shares(view);
        let mut order: Vec<usize> = (0..kinds.len()).collect();
        order.sort_by_key(|kind| kinds[*kind].name.clone());
        let mut pairs = Vec::new();
        for kind in order {
            let all: f64 = self.records.values().map(|record| record.seconds[kind]).sum();
            for (at, job) in view.jobs.iter().enumerate() {
                let part = self.records[&job.submission.name].seconds[kind] / all;
                pairs.push((shares[at][kind] / part, shares[at][kind], at, kind));
            }
        }
        let mut served: Vec<(usize, usize)> = Vec::new();
        let mut used = vec![0; kinds.len()];
        while let Some(best) = first_best(&pairs) {
            let (_, _, at, kind) = pairs.remove(best);
            let gpus = view.jobs[at].submission.gpus;
            if used[kind] + gpus <= kinds[kind].gpus() {
                used[kind] += gpus;
                served.push((at, kind));
                pairs.retain(|pair| pair.2 != at);
            }
        }
        // Numbers of GPUs: by size, in each size first who can stay.
        let mut owner: BTreeMap<(usize, u32), usize> = BTreeMap::new();
        for size in (1..=view.cluster.gpus()).rev() {
            let here: Vec<(usize, usize)> =
                served.iter().copied().filter(|(at, _)| view.jobs[*at].submission.gpus == size).collect();
            let mut open = Vec::new();
            for (at, kind) in here {
                let held = &self.records[&view.jobs[at].submission.name].gpus;
                let stays = !held.is_empty() && held.iter().all(|gpu| gpu.0 == kind && !owner.contains_key(gpu));
                if stays {
                    owner.extend(held.iter().map(|gpu| (*gpu, at)));
                } else {
                    open.push((at, kind));
                }
            }
            for (at, kind) in open {
                for _ in 0..size {
                    let number = (0..).find(|number| !owner.contains_key(&(kind, *number))).unwrap_or(0);
                    owner.insert((kind, number), at);
                }
            }
        }
        let mut plan = Vec::new();
        for (at, job) in view.jobs.iter().enumerate() {
            let gpus: Vec<(usize, u32)> =
                owner.iter().filter(|(_, owner)| **owner == at).map(|(gpu, _)| *gpu).collect();
            let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
            for (kind, number) in &gpus {
                *counts.entry(number / kinds[*kind].gpus_per_node).or_default() += 1;
            }
            plan.push(gpus.first().map(|(kind, _)| Allocation { kind: *kind, nodes: counts.into_iter().collect() }));
            let record = self.records.entry(job.submission.name.clone()).or_default();
            if let Some((kind, _)) = gpus.first() {
                record.seconds[*kind] += ROUND_SECONDS;
            }
            record.gpus = gpus;
        }
        plan
    }
}

/// The first of the most urgent pairs, as index.
fn first_best(pairs: &[(f64, f64, usize, usize)]) -> Option<usize> {
    let mut best: Option<usize> = None;
    for (at, pair) in pairs.iter().enumerate() {
        if best.is_none_or(|best| (pair.0, pair.1) > (pairs[best].0, pairs[best].1)) {
            best = Some(at);
        }
    }
    best
}

/// `max Σ n T x` over groups of `n` jobs that nothing tells apart, each group of which shares one `x` for each kind: the symmetric
/// optimum, which is the one that an interior-point method ends in where only such jobs tie.
fn shares(view: &View<'_>) -> Vec<Vec<f64>> {
    let kinds = &view.cluster.kinds;
    let all = 0..kinds.len();
    let speeds: Vec<Vec<f64>> =
        view.jobs.iter().map(|job| all.clone().map(|kind| speed(view, job, kind)).collect()).collect();
    let alike =
        |a: usize, b: usize| speeds[a] == speeds[b] && view.jobs[a].submission.gpus == view.jobs[b].submission.gpus;
    let first = |at: usize| (0..=at).find(|other| alike(at, *other)).unwrap_or(at);
    let mut problem = Problem::new(OptimizationDirection::Maximize);
    let mut variables = BTreeMap::new();
    let heads: Vec<usize> = (0..view.jobs.len()).filter(|at| first(*at) == *at).collect();
    let count = |head: usize| (0..view.jobs.len()).filter(|at| first(*at) == head).count() as f64;
    for head in &heads {
        for kind in all.clone() {
            let gain = count(*head) * speeds[*head][kind];
            variables.insert((*head, kind), problem.add_var(gain, (0.0, f64::INFINITY)));
        }
        let row: Vec<_> = all.clone().map(|kind| (variables[&(*head, kind)], 1.0)).collect();
        problem.add_constraint(&row, ComparisonOp::Le, 1.0);
    }
    for kind in all.clone() {
        let gpus = |head: usize| count(head) * f64::from(view.jobs[head].submission.gpus);
        let row: Vec<_> = heads.iter().map(|head| (variables[&(*head, kind)], gpus(*head))).collect();
        problem.add_constraint(&row, ComparisonOp::Le, f64::from(kinds[kind].gpus()));
    }
    let solution = problem.solve().expect("a bounded programme").into_solution().expect("a solution");
    let share = |at: usize, kind: usize| {
        let value = solution.var_value(variables[&(first(at), kind)]);
        (value * 1e5).round_ties_even() / 1e5
    };
    (0..view.jobs.len()).map(|at| all.clone().map(|kind| share(at, kind)).collect()).collect()
}

/// Steps per second at the batch that was asked for, on as few nodes as can be; two passes at least on one GPU.
fn speed(view: &View<'_>, job: &Job, kind: usize) -> f64 {
    let application = view.application(job);
    let per_node = view.cluster.kinds[kind].gpus_per_node;
    let Some(steps) = &application.steps[kind] else { return 0.0 };
    let gpus = job.submission.gpus;
    let mut shape = vec![per_node; (gpus / per_node) as usize];
    if !gpus.is_multiple_of(per_node) {
        shape.push(gpus % per_node);
    }
    let Some(times) = steps.at(&shape) else { return 0.0 };
    let each = (f64::from(job.submission.batch) / f64::from(gpus) - 1e-8).ceil();
    let mut passes = (each / steps.most_local(&shape) - 1e-8).ceil().max(1.0);
    if gpus == 1 {
        passes = passes.max(2.0);
    }
    let most = (application.runs.batches().1 / (f64::from(gpus) * passes)).floor();
    let local = (each / passes - 1e-8).ceil().min(most);
    let slowdown = if view.rules.slowdown { application.times.slowdown } else { 1.0 };
    1.0 / times.at(local).with_accumulation((passes - 1.0) as u32) / slowdown
}
