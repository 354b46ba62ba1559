//! What a unit of each job's progress is worth.

use super::knapsack::{Column, Worth};
use super::search::dual;
use super::{Job, Offer, Settings};

/// Seconds of a job's work at its best rate up to the reference size.
pub(super) fn seconds(job: &Job, settings: &Settings) -> f64 {
    let small = job.offers.iter().filter(|offer| offer.gpus <= settings.reference_gpus);
    let rate = small.map(|offer| offer.rate).fold(0.0, f64::max);
    let rate = if rate > 0.0 { rate } else { job.offers.iter().map(|offer| offer.rate).fold(0.0, f64::max) };
    if rate > 0.0 { job.remaining / rate } else { f64::INFINITY }
}

/// Jobs in the order in which they are expected to end, last first; unknown jobs after all others, of equals in the order given.
pub(super) fn order(jobs: &[Job], settings: &Settings) -> Vec<usize> {
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    let seconds: Vec<f64> = jobs.iter().map(|job| seconds(job, settings)).collect();
    order.sort_by(|a, b| jobs[*b].known.cmp(&jobs[*a].known).then(seconds[*b].total_cmp(&seconds[*a])));
    order
}

/// The price of each job: `λ = min over its offers of (w + F(C) − F(C − offer)) / rate`, where `F` is the best worth of a capacity
/// at the prices of the jobs that end after it. 0 for a job without offers.
pub(super) fn exact(capacity: &[u32], speeds: &[f64], jobs: &[Job], settings: &Settings) -> Vec<f64> {
    let phantom = settings.phantom;
    let all: f64 = capacity.iter().zip(speeds).map(|(gpus, speed)| f64::from(*gpus) * speed).sum();
    let mut worth = Worth::of(capacity, |counts| {
        let free: f64 = counts.iter().zip(speeds).map(|(gpus, speed)| f64::from(*gpus) * speed).sum();
        if phantom.mass > 0.0 && all > 0.0 { phantom.mass * (free / all).powf(phantom.power) } else { 0.0 }
    });
    let mut prices = vec![0.0; jobs.len()];
    for at in order(jobs, settings) {
        let job = &jobs[at];
        let asked = job.offers.iter().filter_map(|offer| {
            let without = worth.without(offer.class, offer.gpus)?;
            Some((job.weight + worth.full() - without) / offer.rate)
        });
        let price = asked.fold(f64::INFINITY, f64::min);
        if !price.is_finite() {
            continue;
        }
        prices[at] = price;
        worth = worth.with(job.offers.iter().map(|offer| Column {
            class: offer.class,
            gpus: offer.gpus,
            worth: price * offer.rate,
        }));
    }
    prices
}

/// How often prices of GPUs are worked out anew, and in how many rounds.
const REFRESHES: usize = 24;
const ROUNDS: usize = 12;

/// The same where the programme has too many states: what an offer takes away is its GPUs at a price for each class, which is
/// searched for again after every 24th of the jobs.
pub(super) fn searched(capacity: &[u32], speeds: &[f64], jobs: &[Job], settings: &Settings) -> Vec<f64> {
    let phantom = settings.phantom;
    let all: f64 = capacity.iter().zip(speeds).map(|(gpus, speed)| f64::from(*gpus) * speed).sum();
    let later = |class: usize, gpus: u32| {
        let share = (f64::from(gpus) * speeds[class] / all.max(f64::MIN_POSITIVE)).min(1.0);
        phantom.mass * (1.0 - (1.0 - share).powf(phantom.power))
    };
    let mut gpu_prices = vec![0.0; capacity.len()];
    let mut columns: Vec<Vec<Column>> = Vec::with_capacity(jobs.len());
    let mut prices = vec![0.0; jobs.len()];
    let every = jobs.len().div_ceil(REFRESHES).max(1);
    for (turn, at) in order(jobs, settings).into_iter().enumerate() {
        if turn > 0 && turn % every == 0 {
            // The first search starts from prices that would take all that the jobs are worth.
            let start = if gpu_prices.iter().any(|price| *price > 0.0) { gpu_prices.as_slice() } else { &[] };
            gpu_prices = dual(capacity, &columns, start, ROUNDS).1;
        }
        let job = &jobs[at];
        let fits = job.offers.iter().filter(|offer| offer.gpus <= capacity[offer.class]);
        let asked = fits.map(|offer| {
            let taken = (gpu_prices[offer.class] * f64::from(offer.gpus)).max(later(offer.class, offer.gpus));
            (job.weight + taken) / offer.rate
        });
        let price = asked.fold(f64::INFINITY, f64::min);
        if !price.is_finite() {
            continue;
        }
        prices[at] = price;
        let column = |offer: &Offer| Column { class: offer.class, gpus: offer.gpus, worth: price * offer.rate };
        columns.push(job.offers.iter().map(column).collect());
    }
    prices
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(remaining: f64) -> Job {
        let offers = [1, 2, 4].map(|gpus| Offer { class: 0, gpus, rate: f64::from(gpus), now: true }).to_vec();
        Job { weight: 1.0, remaining, restart_seconds: 0.0, running: None, known: true, offers }
    }

    #[test]
    fn with_rates_in_proportion_to_gpus_the_shortest_job_is_dearest() {
        let prices = exact(&[4], &[1.0], &[job(10.0), job(1.0), job(5.0)], &Settings::WORK_KNOWN);
        // One more job waits before each end: 1, 2, 3 jobs, on a cluster of rate 4.
        assert_eq!(prices, [0.25, 0.75, 0.5]);
    }

    #[test]
    fn a_job_without_offers_has_no_price() {
        let none = Job { offers: Vec::new(), ..job(1.0) };
        assert_eq!(exact(&[4], &[1.0], &[none], &Settings::WORK_KNOWN), [0.0]);
    }

    /// A price per GPU knows the last GPU's worth, and an offer of many takes dearer ones: searched prices are low, and
    /// in much the same ratio for all.
    #[test]
    fn searched_prices_are_near_the_exact_ones() {
        let offers = |speed: f64| {
            let rate = |gpus: u32| speed * f64::from(gpus).powf(0.8);
            [1, 2, 3, 4, 6, 8, 12, 16].map(|gpus| Offer { class: 0, gpus, rate: rate(gpus), now: true }).to_vec()
        };
        let sized = |at: u32| Job { offers: offers(1.0 + f64::from(at * 7 % 5)), ..job(f64::from(at)) };
        let jobs: Vec<Job> = (1..40).map(sized).collect();
        let exactly = exact(&[64], &[1.0], &jobs, &Settings::WORK_KNOWN);
        let nearly = searched(&[64], &[1.0], &jobs, &Settings::WORK_KNOWN);
        for (nearly, exactly) in nearly.iter().zip(&exactly) {
            assert!((0.5..1.1).contains(&(nearly / exactly)), "{nearly} against {exactly}");
        }
    }
}
