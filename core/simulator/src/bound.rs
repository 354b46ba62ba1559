//! How small the average completion time of a workload can be at best, whatever the policy.

use crate::beliefs::{Size, counts};
use crate::cluster::Cluster;
use crate::engine::full_restart_seconds;
use crate::fairness::run_seconds;
use crate::profile::{Application, Catalogue};
use crate::rules::Rules;
use crate::workload::Submission;

/// Seconds of a round, at whose start a job that came is first seen.
const ROUND_SECONDS: f64 = 60.0;
/// Each time slot is longer than the one before by this share of the time that has gone by since the last job came.
const GROWTH: f64 = 0.02;
/// Steps of the search for prices.
const STEPS: usize = 150;
/// Steps without a better bound after which the next ones are half as far.
const PATIENCE: usize = 10;

/// Lower bounds on the average completion time, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    /// With all jobs sharing the cluster.
    pub average_seconds: f64,
    /// With each job alone on the whole of it.
    pub alone_seconds: f64,
}

/// A way to run: GPUs of a kind, and the share of the whole job that is done in a second.
#[derive(Clone, Copy, Debug)]
struct Way {
    kind: usize,
    gpus: f64,
    rate: f64,
}

/// A job of the relaxation.
struct Task {
    /// When it can make progress first, in seconds, and when it came.
    ready: f64,
    came: f64,
    /// Its ways to run, as index.
    ways: usize,
}

/// A stretch of time with the same prices.
#[derive(Clone, Copy, Debug)]
struct Slot {
    from: f64,
    seconds: f64,
}

/// Lower bounds for a workload; `None` where a job cannot run on the cluster.
///
/// The relaxation of mean busy times (Goemans, Queyranne, Schulz, Skutella and Wang 2002, SIAM J. Discrete Math. 15, 165) for jobs that
/// may run any part of any slot at any mix of sizes. Let `x_j(t)` be the progress of job `j`, as a share of it, in slot `t`. Its mean
/// busy time `M_j = Σ_t t·x_j(t)` lies at least half of its shortest run `p_j` before its end, so `C_j ≥ M_j + p_j/2`. With a price
/// `μ_kt ≥ 0` for a second of a GPU of kind `k` in slot `t` and a worth `λ_j` for the whole job, weak duality gives
///
/// `Σ M_j ≥ Σ_j λ_j − Σ_jt max(0, max_w [r_jw (λ_j − t) − μ_kt g_w]) − Σ_kt μ_kt W_k`
///
/// over sizes `w` of `g_w` GPUs with the rate `r_jw`; slots are weighted by their length and counted by their start. Every price path
/// and every worth gives a bound; worths are the best for the prices, and prices follow the subgradient (used less given GPUs), by
/// Polyak's step towards `reached_seconds`, an average that some policy reached. A start costs what the rules say and waits for the
/// next round of 60 s; restarts cost nothing. Rates are those of whole runs, each epoch at its best batch: where a job gains
/// by many GPUs in some epochs only, a schedule may be a little better than its bound. Jobs of a fixed size have one way to run on
/// each kind.
pub fn average_completion_bound(
    workload: &[Submission],
    cluster: &Cluster,
    catalogue: &Catalogue,
    rules: &Rules,
    reached_seconds: f64,
) -> Option<Bound> {
    let mut ways: Vec<Vec<Way>> = Vec::new();
    let mut known: Vec<(usize, Option<f64>, u32)> = Vec::new();
    let mut tasks = Vec::new();
    for job in workload {
        let index = catalogue.find(&job.application)?;
        let application = &catalogue.applications()[index];
        let key = (index, job.steps, job.steps.map_or(0, |_| job.gpus));
        let at = known.iter().position(|known| *known == key).unwrap_or_else(|| {
            known.push(key);
            ways.push(ways_of(application, job, cluster, rules));
            ways.len() - 1
        });
        if ways[at].is_empty() {
            return None;
        }
        let seen = (job.at_seconds / ROUND_SECONDS).ceil() * ROUND_SECONDS;
        let ready = seen + full_restart_seconds(application, rules);
        tasks.push(Task { ready, came: job.at_seconds, ways: at });
    }
    let shortest = |task: &Task| ways[task.ways].iter().map(|way| 1.0 / way.rate).fold(f64::INFINITY, f64::min);
    let count = tasks.len().max(1) as f64;
    let alone = tasks.iter().map(|task| task.ready - task.came + shortest(task)).sum::<f64>() / count;
    let fixed: f64 = tasks.iter().map(|task| shortest(task) / 2.0 - task.came).sum();
    let slots = slots(&tasks, reached_seconds);
    let target = reached_seconds * count - fixed;
    let best = climb(&tasks, &ways, &slots, cluster, target);
    Some(Bound { average_seconds: ((best + fixed) / count).max(alone), alone_seconds: alone })
}

/// Ways to run of a job, those left out that a mix of two others beats at every price.
fn ways_of(application: &Application, job: &Submission, cluster: &Cluster, rules: &Rules) -> Vec<Way> {
    let mut all = Vec::new();
    for (index, kind) in cluster.kinds.iter().enumerate() {
        let mut hull: Vec<Way> = Vec::new();
        let sizes = job.steps.map_or_else(|| counts(kind), |_| vec![job.gpus]);
        for gpus in sizes.into_iter().filter(|gpus| *gpus <= kind.gpus()) {
            let size = Size { index, kind, gpus };
            let seconds = match job.steps {
                Some(steps) => fixed_seconds(application, size, steps),
                None => run_seconds(application, rules, size),
            };
            let Some(seconds) = seconds.filter(|seconds| *seconds > 0.0) else { continue };
            let way = Way { kind: index, gpus: f64::from(gpus), rate: 1.0 / seconds };
            let slope = |from: Option<&Way>, to: &Way| {
                let (gpus, rate) = from.map_or((0.0, 0.0), |from| (from.gpus, from.rate));
                (to.rate - rate) / (to.gpus - gpus)
            };
            while let Some(last) = hull.last() {
                let before = hull.len().checked_sub(2).and_then(|at| hull.get(at));
                if slope(Some(last), &way) < slope(before, last) {
                    break;
                }
                hull.pop();
            }
            if hull.last().is_none_or(|last| last.rate < way.rate) {
                hull.push(way);
            }
        }
        all.extend(hull);
    }
    all
}

fn fixed_seconds(application: &Application, size: Size<'_>, steps: f64) -> Option<f64> {
    let shape = crate::beliefs::ideal_shape(size.kind, size.gpus);
    Some(steps * application.steps[size.index].as_ref()?.at(&shape)?.at(1.0).step_seconds)
}

/// A minute each while jobs come, longer and longer after that, until all could have run one after another at the average reached.
fn slots(tasks: &[Task], reached_seconds: f64) -> Vec<Slot> {
    let last = tasks.iter().map(|task| task.ready).fold(0.0, f64::max);
    let end = last + reached_seconds * tasks.len() as f64;
    let mut slots = Vec::new();
    let mut from = 0.0;
    while from < end {
        let seconds = ROUND_SECONDS.max(GROWTH * (from - last));
        slots.push(Slot { from, seconds });
        from += seconds;
    }
    slots
}

/// The best lower bound found on the sum of mean busy times.
fn climb(tasks: &[Task], ways: &[Vec<Way>], slots: &[Slot], cluster: &Cluster, target: f64) -> f64 {
    let gpus: Vec<f64> = cluster.kinds.iter().map(|kind| f64::from(kind.gpus())).collect();
    let mut prices = vec![vec![0.0_f64; gpus.len()]; slots.len()];
    let mut worths: Vec<f64> = tasks.iter().map(|task| task.ready).collect();
    let mut best = f64::NEG_INFINITY;
    let mut best_prices = prices.clone();
    let (mut stride, mut since) = (1.0, 0);
    for _ in 0..STEPS {
        let mut used = vec![vec![0.0; gpus.len()]; slots.len()];
        let mut value = 0.0;
        for (task, worth) in tasks.iter().zip(&mut worths) {
            value += solve(task, &ways[task.ways], slots, &prices, worth, &mut used);
        }
        for (slot, prices) in slots.iter().zip(&prices) {
            value -= slot.seconds * prices.iter().zip(&gpus).map(|(price, gpus)| price * gpus).sum::<f64>();
        }
        if value > best {
            (best, since) = (value, 0);
            best_prices.clone_from(&prices);
        } else {
            since += 1;
        }
        if since == PATIENCE {
            (stride, since) = (stride / 2.0, 0);
            prices.clone_from(&best_prices);
            continue;
        }
        // Excess in each slot: a price at 0 cannot fall.
        let excess = |used: f64, gpus: f64, price: f64| if price > 0.0 { used - gpus } else { (used - gpus).max(0.0) };
        let mut norm = 0.0;
        for ((slot, used), prices) in slots.iter().zip(&used).zip(&prices) {
            let of = |kind: usize| excess(used[kind], gpus[kind], prices[kind]).powi(2);
            norm += slot.seconds * (0..gpus.len()).map(of).sum::<f64>();
        }
        if norm <= 0.0 || value >= target {
            break;
        }
        let step = stride * (target - value) / norm;
        for (used, prices) in used.iter().zip(&mut prices) {
            for kind in 0..gpus.len() {
                prices[kind] = (prices[kind] + step * excess(used[kind], gpus[kind], prices[kind])).max(0.0);
            }
        }
    }
    best
}

/// The part of a job in the bound, at its best worth; adds the GPUs that it uses there.
fn solve(
    task: &Task,
    ways: &[Way],
    slots: &[Slot],
    prices: &[Vec<f64>],
    worth: &mut f64,
    used: &mut [Vec<f64>],
) -> f64 {
    let first = slots.partition_point(|slot| slot.from + slot.seconds <= task.ready);
    // The best way in a slot at a worth, its gain for each second, and the seconds that there are.
    let best = |at: usize, worth: f64| {
        let slot = slots[at];
        let from = slot.from.max(task.ready);
        let gain = |way: &Way| way.rate * (worth - from) - prices[at][way.kind] * way.gpus;
        let best = ways.iter().map(|way| (gain(way), way)).max_by(|a, b| a.0.total_cmp(&b.0));
        best.filter(|best| best.0 > 0.0).map(|(gain, way)| (gain, way, slot.from + slot.seconds - from))
    };
    let until = |worth: f64| slots.partition_point(|slot| slot.from < worth).max(first);
    let done = |worth: f64| -> f64 {
        (first..until(worth)).filter_map(|at| best(at, worth)).map(|(_, way, seconds)| way.rate * seconds).sum()
    };
    // The worth at which the job is just done: that of the last step is near.
    let (mut low, mut high) = (task.ready, *worth + 60.0);
    while done(high) < 1.0 && high < 1e9 {
        low = high;
        high = task.ready + 2.0 * (high - task.ready);
    }
    while high - low > 1.0 {
        let middle = f64::midpoint(low, high);
        if done(middle) < 1.0 { low = middle } else { high = middle }
    }
    *worth = low;
    let mut lost = 0.0;
    for at in first..until(low) {
        if let Some((gain, way, seconds)) = best(at, low) {
            lost += gain * seconds;
            used[at][way.kind] += way.gpus * seconds / slots[at].seconds;
        }
    }
    low - lost
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::by_name;
    use crate::{builtin, simulate, workload};

    fn world(gpus: &str) -> (Vec<Submission>, Cluster, Catalogue) {
        let cluster: Cluster = gpus.parse().unwrap();
        let catalogue = Catalogue::read(&builtin::profiles(), &["t4".to_owned()]).unwrap();
        let (name, text) = builtin::WORKLOADS[1];
        let jobs = workload::read_csv(name, text).unwrap();
        let small = jobs.into_iter().filter(|job| job.application == "cifar10").take(8);
        (small.collect(), cluster, catalogue)
    }

    fn bound(jobs: &[Submission], cluster: &Cluster, catalogue: &Catalogue) -> Bound {
        average_completion_bound(jobs, cluster, catalogue, &Rules::POLLUX, 7200.0).unwrap()
    }

    #[test]
    fn no_policy_is_below_the_bound() {
        let (jobs, cluster, catalogue) = world("t4=4x4");
        let bound = bound(&jobs, &cluster, &catalogue);
        assert!(bound.average_seconds >= bound.alone_seconds);
        for name in ["plimsoll-b", "plimsoll-c", "sia", "tiresias"] {
            let mut policy = by_name(name, 0.0, 1).unwrap();
            let outcome = simulate(&jobs, &cluster, &catalogue, policy.as_mut(), &Rules::POLLUX).unwrap();
            let average = outcome.figures().average_seconds;
            assert!(average > bound.average_seconds, "{name}: {average} and {bound:?}");
        }
    }

    #[test]
    fn jobs_that_share_are_bounded_above_jobs_alone_and_more_gpus_lower_the_bound() {
        let (mut jobs, cluster, catalogue) = world("t4=2x4");
        jobs.iter_mut().for_each(|job| job.at_seconds = 0.0);
        let together = bound(&jobs, &cluster, &catalogue);
        assert!(together.average_seconds > 1.5 * together.alone_seconds, "{together:?}");
        let wide = bound(&jobs, &"t4=8x4".parse().unwrap(), &catalogue);
        assert!(wide.average_seconds < together.average_seconds, "{wide:?} and {together:?}");
    }
}
