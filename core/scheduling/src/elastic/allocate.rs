//! From prices to sizes.

use super::knapsack::{Column, states};
use super::reduced::Reduced;
use super::search::search;
use super::{Job, Offer, Settings, prices};

/// The least share of its value that a change is believed to keep.
const LEAST_SHARE: f64 = 0.02;

/// States up to which knapsacks are solved exactly, whatever is left of them.
const EXACT_STATES: usize = 100_000;

/// Sums up to which what is left of a larger one is.
const EXACT_SUMS: usize = 2_000_000;

/// What the planner answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The offer of each job, or nothing.
    pub choices: Vec<Option<usize>>,
    /// Worth of a unit of each job's progress.
    pub prices: Vec<f64>,
    /// Worth per second of a GPU of each class, beyond its charge: what the bound is from.
    pub gpu_prices: Vec<f64>,
    /// What the choices are worth at these prices, changes and charges taken off and pinned jobs left out.
    pub worth: f64,
    /// What no choice is worth more than; the worth itself where the answer is exact.
    pub bound: f64,
}

/// Which offer each job gets within the GPUs of each class; `speeds` are the classes' nominal speeds, for what is still to come.
///
/// A pinned job keeps what it holds. A job whose holding is among its offers may keep it; whatever else it gets is a change. The order
/// of jobs decides nothing but between equals.
pub fn allocate(capacity: &[u32], speeds: &[f64], jobs: &[Job], settings: &Settings) -> Answer {
    allocate_charged(capacity, speeds, &vec![0.0; capacity.len()], jobs, settings)
}

/// The same where a GPU of each class costs something while a job has it: `charges` are in the unit of [`Job::weight`], that is, in
/// seconds of completion time for each second of a GPU; not below 0. Nobody gets GPUs whose seconds saved are worth less.
pub fn allocate_charged(
    capacity: &[u32],
    speeds: &[f64],
    charges: &[f64],
    jobs: &[Job],
    settings: &Settings,
) -> Answer {
    let order = prices::order(jobs, settings);
    let priced = if states(capacity) <= EXACT_STATES { prices::exact } else { prices::searched };
    let prices = priced(capacity, speeds, charges, jobs, &order, settings);
    let mut free = capacity.to_vec();
    let mut choices = vec![None; jobs.len()];
    let mut open = Vec::with_capacity(jobs.len());
    for at in order {
        match jobs[at].running.filter(|running| running.pinned) {
            Some(running) => {
                free[running.class] = free[running.class].saturating_sub(running.gpus);
                choices[at] = jobs[at].offers.iter().position(|offer| jobs[at].holds(offer));
            }
            None => open.push(at),
        }
    }
    let columns: Vec<Vec<Column>> = open.iter().map(|at| columns(&jobs[*at], prices[*at], charges, settings)).collect();
    let Chosen { choices: chosen, worth, bound, gpu_prices } = choose(&free, &columns);
    for (at, choice) in open.into_iter().zip(chosen) {
        choices[at] = choice;
    }
    Answer { choices, prices, gpu_prices, worth, bound }
}

/// A knapsack's answer.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    pub choices: Vec<Option<usize>>,
    pub worth: f64,
    pub bound: f64,
    pub gpu_prices: Vec<f64>,
}

/// By prices of GPUs, and exactly where what they leave open is small enough.
pub(super) fn choose(capacity: &[u32], columns: &[Vec<Column>]) -> Chosen {
    let found = search(capacity, columns, &[]);
    let reduced = Reduced::of(capacity, columns, &found);
    if states(capacity) > EXACT_STATES && reduced.sums() > EXACT_SUMS {
        return Chosen { choices: found.choices, worth: found.worth, bound: found.bound, gpu_prices: found.prices };
    }
    let choices = reduced.solve();
    let worth = columns.iter().zip(&choices).filter_map(|(columns, choice)| Some(columns[(*choice)?].worth)).sum();
    Chosen { choices, worth, bound: worth, gpu_prices: found.prices }
}

/// A job's offers as columns; those for later are worth nothing now.
pub(super) fn columns(job: &Job, price: f64, charges: &[f64], settings: &Settings) -> Vec<Column> {
    let column = |offer: &Offer| {
        let Offer { class, gpus, rate, now } = *offer;
        let net = price * rate - charges[class] * f64::from(gpus);
        Column { class, gpus, worth: if now { net * kept(job, offer, settings) } else { 0.0 } }
    };
    job.offers.iter().map(column).collect()
}

/// The share of an offer's worth that a change to it leaves: all but a restart's seconds of the horizon over which the change must
/// pay. Who just changed is believed to change again soon; who is about to end is not resized. What the job holds is worth more.
fn kept(job: &Job, offer: &Offer, settings: &Settings) -> f64 {
    if job.holds(offer) {
        return settings.keep;
    }
    let (cost, since) = match job.running {
        Some(running) => (settings.caution * job.restart_seconds, running.since_seconds),
        None => (job.restart_seconds, 0.0),
    };
    let (low, high) = settings.horizon_seconds;
    let horizon = (settings.horizon_share * since).clamp(low, high).min(cost + job.remaining / offer.rate);
    if horizon > 0.0 { ((horizon - cost) / horizon).max(LEAST_SHARE) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elastic::Running;

    fn job(remaining: f64, running: Option<Running>) -> Job {
        let offers = [1, 2, 4].map(|gpus| Offer { class: 0, gpus, rate: f64::from(gpus).sqrt(), now: true }).to_vec();
        Job { weight: 1.0, remaining, restart_seconds: 60.0, running, known: true, offers }
    }

    #[test]
    fn a_job_about_to_end_is_not_resized_and_a_pinned_one_keeps_its_size() {
        let running = |pinned| Some(Running { class: 0, gpus: 1, since_seconds: 5000.0, pinned });
        let alone = |remaining, pinned| {
            let answer = allocate(&[4], &[1.0], &[job(remaining, running(pinned))], &Settings::WORK_KNOWN);
            answer.choices[0]
        };
        assert_eq!(alone(50_000.0, false), Some(2), "a long job takes the whole cluster");
        assert_eq!(alone(50.0, false), Some(0));
        assert_eq!(alone(50_000.0, true), Some(0));
    }

    #[test]
    fn equal_jobs_share_where_rates_fall_off() {
        let answer = allocate(&[4], &[1.0], &[job(9e4, None), job(9e4, None)], &Settings::WORK_KNOWN);
        assert_eq!(answer.choices, [Some(1), Some(1)]);
    }

    #[test]
    fn a_large_cluster_is_filled_lawfully_and_near_its_bound() {
        let jobs: Vec<Job> = (0_u32..300)
            .map(|at| Job { remaining: f64::from(100 + at * 37 % 9000), ..job(1.0, None) })
            .map(|job| Job {
                offers: [(0, 1.0), (1, 2.0)]
                    .iter()
                    .flat_map(|(class, speed)| {
                        [1, 2, 4, 8].map(|gpus: u32| Offer {
                            class: *class,
                            gpus,
                            rate: speed * f64::from(gpus).powf(0.8),
                            now: true,
                        })
                    })
                    .collect(),
                ..job
            })
            .collect();
        let capacity = [512, 512];
        let answer = allocate(&capacity, &[1.0, 2.0], &jobs, &Settings::WORK_KNOWN);
        let mut held = [0; 2];
        for (job, choice) in jobs.iter().zip(&answer.choices) {
            if let Some(at) = choice {
                held[job.offers[*at].class] += job.offers[*at].gpus;
            }
        }
        assert!(held[0] <= capacity[0] && held[1] <= capacity[1], "{held:?}");
        assert!(answer.worth > 0.97 * answer.bound, "{} of {}", answer.worth, answer.bound);
    }
}
