//! Finish-time fairness: how much longer a job took than on its share alone.

use crate::beliefs::{Size, ideal_shape, slowdown};
use crate::cluster::Cluster;
use crate::job::limits;
use crate::outcome::{Ended, Outcome, Round};
use crate::profile::{Application, Catalogue};
use crate::rules::Rules;

/// `ρ` of each job, in the order of the outcome: its completion time over that alone on `1/N` of the cluster from the start, where
/// `N` is the mean of active jobs over its life (Themis, Mahajan et al., NSDI 2020, section 3.1). On several kinds of GPU the time
/// alone is the mean over kinds, weighted by their GPUs. A job of a fixed size has its share in turns. A job whose application is not in the catalogue has none.
pub fn finish_time_fairness(
    outcome: &Outcome,
    cluster: &Cluster,
    catalogue: &Catalogue,
    rules: &Rules,
) -> Vec<Option<f64>> {
    let rho = |job: &Ended| {
        let application = &catalogue.applications()[catalogue.find(&job.application)?];
        let jobs = contention(&outcome.rounds, job);
        let alone = match job.steps {
            Some(steps) => fixed_seconds(application, cluster, job.gpus, steps, jobs)?,
            None => alone_seconds(application, cluster, rules, jobs)?,
        };
        Some(job.completion_seconds() / alone)
    };
    outcome.jobs.iter().map(rho).collect()
}

/// Mean of active jobs while a job was in the system; at least 1.
fn contention(rounds: &[Round], job: &Ended) -> f64 {
    let from = rounds.partition_point(|round| round.at_seconds < job.submitted_at);
    let to = rounds.partition_point(|round| round.at_seconds <= job.completed_at).max(from + 1).min(rounds.len());
    let lived = rounds.get(from..to).unwrap_or_default();
    let sum: f64 = lived.iter().map(|round| round.active as f64).sum();
    (sum / lived.len().max(1) as f64).max(1.0)
}

/// Seconds of a job of a fixed size that has the cluster's `1/N` in turns: what is more than its share it has for less of the time.
fn fixed_seconds(application: &Application, cluster: &Cluster, gpus: u32, steps: f64, jobs: f64) -> Option<f64> {
    let (mut sum, mut weight) = (0.0, 0.0);
    for (kind, times) in cluster.kinds.iter().zip(&application.steps) {
        let Some(curve) = times.as_ref().and_then(|times| times.at(&ideal_shape(kind, gpus))) else { continue };
        sum += steps * curve.at(1.0).step_seconds * f64::from(kind.gpus());
        weight += f64::from(kind.gpus());
    }
    let turns = (f64::from(gpus) * jobs / f64::from(cluster.gpus())).max(1.0);
    (weight > 0.0).then(|| turns * sum / weight)
}

/// Seconds of a whole run on an equal share of the cluster.
fn alone_seconds(application: &Application, cluster: &Cluster, rules: &Rules, jobs: f64) -> Option<f64> {
    let share = ((f64::from(cluster.gpus()) / jobs).floor() as u32).max(1);
    let (mut sum, mut weight) = (0.0, 0.0);
    for (index, kind) in cluster.kinds.iter().enumerate() {
        let mut seconds = None;
        // Where the whole share is more than the application can use, the most that it can.
        for gpus in (1..=share.min(kind.gpus())).rev() {
            seconds = run_seconds(application, rules, Size { index, kind, gpus });
            if seconds.is_some() {
                break;
            }
        }
        if let Some(seconds) = seconds {
            sum += seconds * f64::from(kind.gpus());
            weight += f64::from(kind.gpus());
        }
    }
    (weight > 0.0).then(|| sum / weight)
}

/// Seconds of all epochs at a size, each at its best batch.
pub(crate) fn run_seconds(application: &Application, rules: &Rules, size: Size<'_>) -> Option<f64> {
    let steps = application.steps[size.index].as_ref()?;
    let shape = ideal_shape(size.kind, size.gpus);
    let curve = steps.at(&shape)?;
    let limits = limits(application, steps, rules, Some(&shape));
    let mut seconds = 0.0;
    let mut before = 0.0;
    for epoch in 0..application.runs.epochs() {
        let rate = |cut: crate::batch::Cut| {
            let total = cut.total(size.gpus);
            let gain = application.runs.gradient(total, epoch).gain(limits.first, total);
            gain / curve.at(f64::from(cut.local)).with_accumulation(cut.accumulation)
        };
        let (_, best) = limits.best(size.gpus, rate)?;
        let end = application.runs.end_of(epoch);
        seconds += (end - before) / best;
        before = end;
    }
    Some(seconds * slowdown(application, rules))
}
