//! How fast sizes are chosen, and how near the best: `cargo run --release -p plimsoll-scheduling --example elastic`.
//!
//! Synthetic jobs on three classes over many rounds: jobs progress, end, are replaced, and hold what the last round gave them. CPU
//! time of one core, for each round the best of five, beside a yardstick of the same run: additions that depend on one another.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "an example is no part of the pure core")]

use std::hint::black_box;

use plimsoll_scheduling::elastic::{Job, Memory, Offer, Running, Settings, allocate, reallocate};

/// Seconds of a round.
const ROUND_SECONDS: f64 = 60.0;
const SPEEDS: [f64; 3] = [1.0, 1.7, 2.4];

fn main() {
    let yardstick = best_of_five(|| {
        let mut sum = 0.1_f64;
        for _ in 0..10_000_000 {
            sum = black_box(sum) + 1.0;
        }
        black_box(sum);
    });
    println!("yardstick, 10^7 additions: {:.2} ms of CPU\n", yardstick * 1e3);
    for (capacity, jobs, rounds, [bar, event_bar]) in [
        ([24, 24, 16], 60, 300, [3.0, 1.0]),
        ([768, 768, 512], 1000, 60, [40.0, 5.0]),
        ([6144, 6144, 4096], 5000, 20, [400.0, 50.0]),
    ] {
        println!("{} GPUs, {jobs} jobs, {rounds} rounds", capacity.iter().sum::<u32>());
        let mut cluster = Cluster { jobs: (0..jobs).map(job).collect(), drawn: jobs };
        let (mut full, mut gaps, mut events) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..rounds {
            let mut answer = None;
            full.push(
                1e3 * best_of_five(|| {
                    answer = Some(allocate(&capacity, &SPEEDS, &cluster.jobs, &Settings::WORK_KNOWN));
                }),
            );
            let Some(answer) = answer else { return };
            gaps.push(100.0 * (answer.bound - answer.worth) / answer.bound);
            cluster.give(&answer.choices);
            let (after, changed) = cluster.event(round);
            let memory = Memory::from(&answer);
            events.push(
                1e3 * best_of_five(|| {
                    let mut memory = memory.clone();
                    black_box(reallocate(&mut memory, &capacity, &[0.0; 3], &after, &[changed], &Settings::WORK_KNOWN));
                }),
            );
            cluster.pass();
        }
        println!("  full allocation  {}   (bar {bar} ms)", spread(&mut full, "ms"));
        println!("  one event        {}   (bar {event_bar} ms)", spread(&mut events, "ms"));
        println!("  gap              {}", spread(&mut gaps, "%"));
    }
}

/// Median, 95th percentile and largest.
fn spread(values: &mut [f64], unit: &str) -> String {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
    format!("median {:8.3} {unit}, p95 {:8.3} {unit}, most {:8.3} {unit}", at(0.5), at(0.95), at(1.0))
}

/// A cluster that is kept busy.
struct Cluster {
    jobs: Vec<Job>,
    drawn: u64,
}

impl Cluster {
    /// Gives out what was chosen.
    fn give(&mut self, choices: &[Option<usize>]) {
        for (job, choice) in self.jobs.iter_mut().zip(choices) {
            let chosen = choice.map(|at| job.offers[at]);
            let same = |running: &Running| chosen.is_some_and(|c| (c.class, c.gpus) == (running.class, running.gpus));
            let since_seconds = job.running.filter(same).map_or(0.0, |running| running.since_seconds);
            job.running =
                chosen.map(|offer| Running { class: offer.class, gpus: offer.gpus, since_seconds, pinned: false });
        }
    }

    /// The jobs after somebody came, or in every second round somebody ended; and who that is.
    fn event(&self, round: usize) -> (Vec<Job>, usize) {
        let mut jobs = self.jobs.clone();
        if round.is_multiple_of(2) {
            jobs.push(job(self.drawn + 1_000_000));
            return (jobs, self.jobs.len());
        }
        let ended = round * 7919 % jobs.len();
        jobs[ended] = Job { offers: Vec::new(), running: None, ..jobs[ended].clone() };
        (jobs, ended)
    }

    /// Lets a round pass; who ends is replaced by somebody new.
    fn pass(&mut self) {
        for held in &mut self.jobs {
            let Some(running) = &mut held.running else { continue };
            running.since_seconds += ROUND_SECONDS;
            let has = |offer: &&Offer| (offer.class, offer.gpus) == (running.class, running.gpus);
            held.remaining -= held.offers.iter().find(has).map_or(0.0, |offer| offer.rate * ROUND_SECONDS);
            if held.remaining <= 0.0 {
                *held = job(self.drawn);
                self.drawn += 1;
            }
        }
    }
}

/// A job that looks drawn: work over three decades, and speed-ups from poor to near ideal.
fn job(number: u64) -> Job {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d;
    let mut unit = || {
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let (remaining, power) = (10.0_f64.powf(2.5 + 3.0 * unit()), 0.5 + 0.45 * unit());
    let counts = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24];
    let mut offers = Vec::new();
    for (class, speed) in SPEEDS.iter().enumerate() {
        let own = speed * (0.8 + 0.4 * unit());
        let offer = |gpus: &u32| Offer { class, gpus: *gpus, rate: own * f64::from(*gpus).powf(power), now: true };
        offers.extend(counts.iter().map(offer));
    }
    Job { weight: 1.0, remaining, restart_seconds: 60.0, running: None, known: true, offers }
}

/// CPU seconds of a run: the least of five.
fn best_of_five(mut run: impl FnMut()) -> f64 {
    let mut once = || {
        let before = cpu_seconds();
        run();
        cpu_seconds() - before
    };
    (0..5).map(|_| once()).fold(f64::INFINITY, f64::min)
}

/// CPU time of this thread, from the kernel's scheduler statistics, which it brings up to date when a thread yields; not a number
/// where there are none.
fn cpu_seconds() -> f64 {
    std::thread::yield_now();
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = statistics.split_whitespace().next().and_then(|first| first.parse::<f64>().ok());
    nanoseconds.unwrap_or(f64::NAN) / 1e9
}
