//! How fast sizes are chosen: `cargo run --release -p plimsoll-scheduling --example elastic`.
//!
//! Synthetic jobs on three classes, most of them running; wall time of one core, and how far the answer is from its bound.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "an example is no part of the pure core")]

use std::time::Instant;

use plimsoll_scheduling::elastic::{Job, Offer, Running, Settings, allocate};

fn main() {
    for (capacity, jobs) in [([24, 24, 16], 60), ([768, 768, 512], 1000), ([6144, 6144, 4096], 5000)] {
        let mut milliseconds = Vec::new();
        let mut gaps = Vec::new();
        for seed in 0..if jobs > 1000 { 5 } else { 20 } {
            let asked: Vec<Job> = (0..jobs).map(|at| job(seed * 7919 + at)).collect();
            let from = Instant::now();
            let answer = allocate(&capacity, &[1.0, 1.7, 2.4], &asked, &Settings::WORK_KNOWN);
            milliseconds.push(from.elapsed().as_secs_f64() * 1e3);
            gaps.push(100.0 * (1.0 - answer.worth / answer.bound));
        }
        milliseconds.sort_by(f64::total_cmp);
        gaps.sort_by(f64::total_cmp);
        println!(
            "{} GPUs, {jobs} jobs: median {:.1} ms, longest {:.1} ms; gap median {:.2} %, largest {:.2} %",
            capacity.iter().sum::<u32>(),
            milliseconds[milliseconds.len() / 2],
            milliseconds[milliseconds.len() - 1],
            gaps[gaps.len() / 2],
            gaps[gaps.len() - 1]
        );
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
    for (class, speed) in [1.0, 1.7, 2.4].iter().enumerate() {
        let own = speed * (0.8 + 0.4 * unit());
        let offer = |gpus: &u32| Offer { class, gpus: *gpus, rate: own * f64::from(*gpus).powf(power), now: true };
        offers.extend(counts.iter().map(offer));
    }
    let held = (unit() < 0.8).then(|| offers[(unit() * 4.0) as usize]);
    let running =
        held.map(|held| Running { class: held.class, gpus: held.gpus, since_seconds: 4000.0 * unit(), pinned: false });
    Job { weight: 1.0, remaining, restart_seconds: 60.0, running, known: true, offers }
}
