//! What a unit of each job's progress is worth.

use super::knapsack::Column;
use super::ladder::Ladders;
use super::worth::Worth;
use super::{Job, Offer, Settings};

/// Seconds of a job's work at its best rate up to the reference size.
pub(super) fn seconds(job: &Job, settings: &Settings) -> f64 {
    let small = job.offers.iter().filter(|offer| offer.gpus <= settings.reference_gpus);
    let rate = small.map(|offer| offer.rate).fold(0.0, f64::max);
    let rate = if rate > 0.0 { rate } else { job.offers.iter().map(|offer| offer.rate).fold(0.0, f64::max) };
    if rate > 0.0 { job.remaining / rate } else { f64::INFINITY }
}

/// Jobs in the order in which they are expected to end, last first: by seconds of work over weight (Smith 1956, Naval Research
/// Logistics Quarterly 3, 59); unknown jobs after all others, of equals in the order given.
pub(super) fn order(jobs: &[Job], settings: &Settings) -> Vec<usize> {
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    let seconds: Vec<f64> = jobs.iter().map(|job| seconds(job, settings) / job.weight).collect();
    order.sort_by(|a, b| jobs[*b].known.cmp(&jobs[*a].known).then(seconds[*b].total_cmp(&seconds[*a])));
    order
}

/// The price of each job: `λ = min over its offers of (w + F(C) − F(C − offer)) / rate`, where `F` is the best worth of a capacity
/// at the prices of the jobs that end after it, and charges for GPUs in use. 0 for a job without offers.
pub(super) fn exact(
    capacity: &[u32],
    speeds: &[f64],
    charges: &[f64],
    jobs: &[Job],
    order: &[usize],
    settings: &Settings,
) -> Vec<f64> {
    let phantom = settings.phantom;
    let all: f64 = capacity.iter().zip(speeds).map(|(gpus, speed)| f64::from(*gpus) * speed).sum();
    let mut worth = Worth::of(capacity, |counts| {
        let free: f64 = counts.iter().zip(speeds).map(|(gpus, speed)| f64::from(*gpus) * speed).sum();
        let later = if phantom.mass > 0.0 && all > 0.0 { phantom.mass * (free / all).powf(phantom.power) } else { 0.0 };
        let saved: f64 = counts.iter().zip(charges).map(|(gpus, charge)| f64::from(*gpus) * charge).sum();
        later + saved
    });
    let mut prices = vec![0.0; jobs.len()];
    for at in order.iter().copied() {
        let job = &jobs[at];
        let losses: Vec<Option<f64>> = job.offers.iter().map(|offer| worth.loss(offer.class, offer.gpus)).collect();
        let asked =
            job.offers.iter().zip(&losses).filter_map(|(offer, loss)| Some((job.weight + (*loss)?) / offer.rate));
        let price = asked.fold(f64::INFINITY, f64::min);
        if !price.is_finite() {
            continue;
        }
        prices[at] = price;
        worth.add(price, useful(job, price, &losses, capacity.len()));
    }
    prices
}

/// The offers of a job that are worth a look wherever a class has at most as many GPUs free as now. GPUs are worth no less where fewer
/// are free: what a smaller offer of the class beats now, GPUs paid for, it beats there.
fn useful<'a>(job: &'a Job, price: f64, losses: &[Option<f64>], classes: usize) -> impl Iterator<Item = &'a Offer> {
    let mut best = vec![(f64::NEG_INFINITY, 0); classes];
    for (offer, loss) in job.offers.iter().zip(losses) {
        let net = loss.map_or(f64::NEG_INFINITY, |loss| price * offer.rate - loss);
        let best = &mut best[offer.class];
        if net > best.0 || net == best.0 && offer.gpus < best.1 {
            *best = (net, offer.gpus);
        }
    }
    job.offers.iter().filter(move |offer| offer.gpus <= best[offer.class].1)
}

/// Rounds of a search for prices of GPUs.
const ROUNDS: usize = 12;

/// The same where the programme has too many states: what an offer takes away is its GPUs at a price for each class, which is
/// searched for again whenever a sixteenth more jobs have come in.
pub(super) fn searched(
    capacity: &[u32],
    speeds: &[f64],
    charges: &[f64],
    jobs: &[Job],
    order: &[usize],
    settings: &Settings,
) -> Vec<f64> {
    let phantom = settings.phantom;
    let all: f64 = capacity.iter().zip(speeds).map(|(gpus, speed)| f64::from(*gpus) * speed).sum();
    let later = |class: usize, gpus: u32| {
        if phantom.mass <= 0.0 {
            return 0.0;
        }
        let share = (f64::from(gpus) * speeds[class] / all.max(f64::MIN_POSITIVE)).min(1.0);
        phantom.mass * (1.0 - (1.0 - share).powf(phantom.power))
    };
    let mut gpu_prices = vec![0.0; capacity.len()];
    let mut ladders = Ladders::default();
    let mut columns: Vec<(usize, Column)> = Vec::new();
    let mut prices = vec![0.0; jobs.len()];
    let mut next = 1;
    for (turn, at) in order.iter().copied().enumerate() {
        if turn >= next {
            next = turn + (turn / 16).max(1);
            // The first search starts from prices that would take all that the jobs are worth.
            let start = if gpu_prices.iter().any(|price| *price > 0.0) { gpu_prices.as_slice() } else { &[] };
            gpu_prices = ladders.dual(capacity, start, ROUNDS).1;
        }
        let job = &jobs[at];
        let fits = job.offers.iter().filter(|offer| offer.gpus <= capacity[offer.class]);
        let asked = fits.map(|offer| {
            let gpus = f64::from(offer.gpus);
            let taken = (gpu_prices[offer.class] * gpus).max(later(offer.class, offer.gpus));
            (job.weight + taken + charges[offer.class] * gpus) / offer.rate
        });
        let price = asked.fold(f64::INFINITY, f64::min);
        if !price.is_finite() {
            continue;
        }
        prices[at] = price;
        columns.clear();
        columns.extend(job.offers.iter().enumerate().map(|(at, offer)| {
            let Offer { class, gpus, rate, .. } = *offer;
            (at, Column { class, gpus, worth: price * rate - charges[class] * f64::from(gpus) })
        }));
        ladders.push(&mut columns);
    }
    prices
}

#[cfg(test)]
mod tests {
    use super::*;

    type Priced = fn(&[u32], &[f64], &[f64], &[Job], &[usize], &Settings) -> Vec<f64>;

    fn priced(by: Priced, gpus: u32, jobs: &[Job]) -> Vec<f64> {
        by(&[gpus], &[1.0], &[0.0], jobs, &order(jobs, &Settings::ALL_HERE), &Settings::ALL_HERE)
    }

    fn job(remaining: f64) -> Job {
        let offers = [1, 2, 4].map(|gpus| Offer { class: 0, gpus, rate: f64::from(gpus), now: true }).to_vec();
        Job { weight: 1.0, remaining, restart_seconds: 0.0, running: None, known: true, offers }
    }

    #[test]
    fn with_rates_in_proportion_to_gpus_the_shortest_job_is_dearest() {
        let prices = priced(exact, 4, &[job(10.0), job(1.0), job(5.0)]);
        // One more job waits before each end: 1, 2, 3 jobs, on a cluster of rate 4.
        assert_eq!(prices, [0.25, 0.75, 0.5]);
    }

    #[test]
    fn a_job_without_offers_has_no_price() {
        let none = Job { offers: Vec::new(), ..job(1.0) };
        assert_eq!(priced(exact, 4, &[none]), [0.0]);
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
        let exactly = priced(exact, 64, &jobs);
        let nearly = priced(searched, 64, &jobs);
        for (nearly, exactly) in nearly.iter().zip(&exactly) {
            assert!((0.5..1.1).contains(&(nearly / exactly)), "{nearly} against {exactly}");
        }
    }

    /// With every offer at every capacity, in double precision.
    fn by_every_offer(gpus: u32, jobs: &[Job]) -> Vec<f64> {
        let mut best = vec![0.0_f64; gpus as usize + 1];
        let mut prices = vec![0.0; jobs.len()];
        for at in order(jobs, &Settings::ALL_HERE) {
            let full = best[gpus as usize];
            let fits: Vec<&Offer> = jobs[at].offers.iter().filter(|offer| offer.gpus <= gpus).collect();
            let asked = fits.iter().map(|o| (jobs[at].weight + full - best[(gpus - o.gpus) as usize]) / o.rate);
            prices[at] = asked.fold(f64::INFINITY, f64::min);
            for free in (0..=gpus as usize).rev() {
                let with = fits.iter().filter(|offer| offer.gpus as usize <= free);
                let with = with.map(|offer| best[free - offer.gpus as usize] + prices[at] * offer.rate);
                best[free] = with.fold(best[free], f64::max);
            }
        }
        prices
    }

    #[test]
    fn offers_that_are_too_large_now_are_too_large_wherever_fewer_gpus_are_free() {
        for power in [0.4, 0.7, 0.95] {
            let rate = |gpus: u32, speed: f64| speed * f64::from(gpus).powf(power);
            let offers = |speed| (1..=24).map(move |gpus| Offer { class: 0, gpus, rate: rate(gpus, speed), now: true });
            let sized = |at: u32| Job {
                offers: offers(1.0 + f64::from(at * 7 % 5)).collect(),
                weight: 0.5 + f64::from(at % 3),
                ..job(f64::from(at * 13 % 17) + 1.0)
            };
            let jobs: Vec<Job> = (1..40).map(sized).collect();
            for (fast, slow) in priced(exact, 24, &jobs).iter().zip(by_every_offer(24, &jobs)) {
                assert!((fast / slow - 1.0).abs() < 1e-4, "{fast} against {slow}");
            }
        }
    }
}
