//! What is remembered between full allocations, and one event planned by it.

use super::allocate::{Chosen, choose, columns};
use super::knapsack::Column;
use super::{Answer, Job, Settings};

/// What a full allocation leaves for events until the next one. Jobs are known by their places in the list.
#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    /// Worth of a unit of each job's progress.
    pub prices: Vec<f64>,
    /// Worth per second of a GPU of each class, beyond its charge.
    pub gpu_prices: Vec<f64>,
    /// The offer of each job, or nothing.
    pub choices: Vec<Option<usize>>,
}

impl From<&Answer> for Memory {
    fn from(answer: &Answer) -> Self {
        Self { prices: answer.prices.clone(), gpu_prices: answer.gpu_prices.clone(), choices: answer.choices.clone() }
    }
}

/// Plans one event: only the `changed` jobs, and those that hold nothing, choose anew within what the others leave.
///
/// Until the next full allocation jobs keep their places in the list: a new one comes at its end, and one that ended stays without
/// offers and holds nothing. Both are changed jobs, and so is one that learned something of its rates. A changed job is priced by the
/// remembered prices of GPUs: `λ = min over its offers of (w + GPUs at their prices and charges) / rate`; who waits keeps its price.
/// All else is as in [`allocate_charged`](super::allocate_charged); worth and bound are those of the jobs that chose. The memory
/// takes in what was decided. Choices of jobs beyond the list are forgotten.
pub fn reallocate(
    memory: &mut Memory,
    capacity: &[u32],
    charges: &[f64],
    jobs: &[Job],
    changed: &[usize],
    settings: &Settings,
) -> Answer {
    memory.prices.resize(jobs.len(), 0.0);
    memory.choices.resize(jobs.len(), None);
    let mut chooses = vec![false; jobs.len()];
    for at in changed.iter().copied().filter(|at| *at < jobs.len()) {
        chooses[at] = true;
        memory.prices[at] = price(&jobs[at], capacity, charges, &memory.gpu_prices);
    }
    let mut free = capacity.to_vec();
    let mut open = Vec::new();
    for (at, job) in jobs.iter().enumerate() {
        match job.running {
            Some(running) if running.pinned || !chooses[at] => {
                free[running.class] = free[running.class].saturating_sub(running.gpus);
                let same = memory.choices[at].filter(|choice| job.offers.get(*choice).is_some_and(|o| job.holds(o)));
                memory.choices[at] = same.or_else(|| job.offers.iter().position(|offer| job.holds(offer)));
            }
            _ => open.push(at),
        }
    }
    let asked: Vec<Vec<Column>> =
        open.iter().map(|at| columns(&jobs[*at], memory.prices[*at], charges, settings)).collect();
    let Chosen { choices, worth, bound, .. } = choose(&free, &asked);
    for (at, choice) in open.into_iter().zip(choices) {
        memory.choices[at] = choice;
    }
    let Memory { prices, gpu_prices, choices } = memory.clone();
    Answer { choices, prices, gpu_prices, worth, bound }
}

fn price(job: &Job, capacity: &[u32], charges: &[f64], gpu_prices: &[f64]) -> f64 {
    let fits = job.offers.iter().filter(|offer| offer.gpus <= capacity[offer.class]);
    let asked = fits.map(|offer| {
        let gpu = gpu_prices[offer.class] + charges[offer.class];
        (job.weight + gpu * f64::from(offer.gpus)) / offer.rate
    });
    let least = asked.fold(f64::INFINITY, f64::min);
    if least.is_finite() { least } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::elastic::{Offer, Running, allocate};

    fn job(remaining: f64, speed: f64) -> Job {
        let offer = |gpus: u32| Offer { class: 0, gpus, rate: speed * f64::from(gpus).powf(0.7), now: true };
        let offers = [1, 2, 3, 4, 6, 8].map(offer).to_vec();
        Job { weight: 1.0, remaining, restart_seconds: 60.0, running: None, known: true, offers }
    }

    /// Jobs that hold what a full allocation gave them.
    fn settled(capacity: u32, sizes: &[f64]) -> (Vec<Job>, Memory) {
        let mut jobs: Vec<Job> = sizes.iter().map(|size| job(*size, 1.0)).collect();
        let answer = allocate(&[capacity], &[1.0], &jobs, &Settings::WORK_KNOWN);
        for (job, choice) in jobs.iter_mut().zip(&answer.choices) {
            let held = choice.map(|at| job.offers[at]);
            job.running = held.map(|held| Running { class: 0, gpus: held.gpus, since_seconds: 900.0, pinned: false });
        }
        (jobs, Memory::from(&answer))
    }

    #[test]
    fn who_waits_gets_what_an_ended_job_leaves_and_the_others_keep_theirs() {
        let (mut jobs, mut memory) = settled(2, &[1e4, 2e4, 3e4]);
        let waits = memory.choices.iter().position(Option::is_none).unwrap();
        let ended = (waits + 1) % 3;
        jobs[ended] = Job { offers: Vec::new(), running: None, ..jobs[ended].clone() };
        let answer = reallocate(&mut memory, &[2], &[0.0], &jobs, &[ended], &Settings::WORK_KNOWN);
        assert_eq!((answer.choices[ended], answer.choices[waits]), (None, Some(0)));
        assert_eq!(answer.choices[3 - waits - ended], Some(0));
    }

    proptest! {
        #[test]
        fn a_newcomer_takes_nothing_from_who_runs_and_no_more_than_there_is(
            capacity in 1..24_u32,
            sizes in proptest::collection::vec(100.0..1e5_f64, 1..12),
            new in 100.0..1e5_f64,
        ) {
            let (mut jobs, mut memory) = settled(capacity, &sizes);
            let before = memory.choices.clone();
            jobs.push(job(new, 2.0));
            let answer = reallocate(&mut memory, &[capacity], &[0.0], &jobs, &[sizes.len()], &Settings::WORK_KNOWN);
            for (at, job) in jobs.iter().enumerate().filter(|(_, job)| job.running.is_some()) {
                prop_assert_eq!(answer.choices[at], before[at], "job {} of {:?}", at, job);
            }
            let held = jobs.iter().zip(&answer.choices).filter_map(|(job, at)| Some(job.offers[(*at)?].gpus));
            prop_assert!(held.sum::<u32>() <= capacity);
            prop_assert_eq!(&memory.choices, &answer.choices);
        }
    }
}
