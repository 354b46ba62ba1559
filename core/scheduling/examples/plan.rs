//! How fast a whole plan is made: `cargo xtask bench plan`.
//!
//! Clusters of three sizes, of three classes, live through rounds in which jobs end, come, start, grow and shrink. CPU time of
//! one thread, beside that of a yardstick, because the machine may be shared.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::expect_used,
    reason = "an example is no part of the pure core"
)]

#[path = "plan/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use nix::sys::time::TimeValLike as _;
use nix::time::{ClockId, clock_gettime};
use plimsoll_scheduling::check::check;
use plimsoll_scheduling::{Event, Reason, Snapshot, plan};

use world::World;

/// A cluster, and what is to hold of it: milliseconds of a full plan and of one after an event.
struct Size {
    nodes: u32,
    jobs: u32,
    rounds: u32,
    full: f64,
    after_event: f64,
}

const SIZES: [Size; 3] = [
    Size { nodes: 8, jobs: 60, rounds: 120, full: 3.0, after_event: 1.0 },
    Size { nodes: 256, jobs: 1000, rounds: 40, full: 50.0, after_event: 5.0 },
    Size { nodes: 2048, jobs: 5000, rounds: 12, full: 500.0, after_event: 50.0 },
];

/// Rounds before anything is measured: the cluster fills.
const WARM: u32 = 6;

fn main() {
    println!("yardstick: {:.1} ms for a million square roots and a sort", yardstick());
    println!("CPU milliseconds: median, 95th percentile (bar)");
    let only: Option<usize> = std::env::args().nth(1).and_then(|at| at.parse().ok());
    for (_, size) in SIZES.iter().enumerate().filter(|(at, _)| only.is_none_or(|only| only == *at)) {
        live(size);
    }
    if std::env::args().len() < 2 {
        refused();
    }
    println!("at most {} MiB held", peak_mebibytes());
}

fn live(size: &Size) {
    let mut world = World::new(size.nodes, size.jobs);
    let mut took: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut gaps = Vec::new();
    let mut reasons: BTreeMap<String, u32> = BTreeMap::new();
    let mut unlawful = 0_u32;
    for round in 0..size.rounds + WARM {
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_000_000 + 60 * i64::from(round));
        for event in world.live(now) {
            let (_, ms) = timed(|| world.snapshot.apply(event));
            if round >= WARM {
                took.entry("event (us)").or_default().push(ms * 1e3);
            }
        }
        let (planned, ms) = timed(|| plan(&world.snapshot, now));
        let (violations, checked) = timed(|| check(&world.snapshot, &planned, now));
        if let Some(first) = violations.first() {
            unlawful += 1;
            println!("  round {round}: {first}");
        }
        if round < WARM {
            world.carry_out(planned, now);
            continue;
        }
        took.entry("full").or_default().push(ms);
        took.entry("check").or_default().push(checked);
        let sizes = planned.sizes.clone().expect("sizes were chosen");
        gaps.push(100.0 * sizes.worth.gap());
        world.carry_out(planned, now);
        // A job comes within the round.
        world.snapshot.apply(Event::Sizes(sizes));
        let soon = now + SignedDuration::from_secs(10);
        let came = world.job(soon);
        world.snapshot.apply(Event::Job(Arc::new(came)));
        let (planned, ms) = timed(|| plan(&world.snapshot, soon));
        took.entry("after an event").or_default().push(ms);
        for decision in &planned.decisions {
            if let plimsoll_scheduling::Action::Wait { reason, .. } = &decision.action {
                *reasons.entry(reason.to_string()).or_default() += 1;
            }
        }
        world.carry_out(planned, soon);
    }
    println!("\n{} GPUs on {} nodes, {} jobs", size.nodes * 8, size.nodes, size.jobs);
    let bars = [("event (us)", 10.0), ("full", size.full), ("after an event", size.after_event), ("check", f64::NAN)];
    for (what, bar) in bars {
        let figures = took.get_mut(what).expect("it was measured");
        let bar = if bar.is_nan() { String::new() } else { format!(" ({bar})") };
        println!("  {what}: {:.2}, {:.2}{bar}", quantile(figures, 0.5), quantile(figures, 0.95));
    }
    println!("  gap: {:.2} % (0.3), {:.2} % (2)", quantile(&mut gaps, 0.5), quantile(&mut gaps, 0.95));
    println!("  {unlawful} unlawful plans; waits by reason: {reasons:?}");
}

/// A gang that no cluster of 100 nodes can hold.
fn refused() {
    let mut world = World::new(100, 0);
    let now = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_000_000);
    let mut job = world.job(now);
    job.menu.candidates.truncate(1);
    job.menu.candidates[0].shape.pods = 101;
    job.menu.candidates[0].shape.gpus_per_pod = 8;
    job.queue = "free".into();
    world.snapshot.queues.put(plimsoll_scheduling::Queue::unlimited("free"));
    world.snapshot.apply(Event::Job(Arc::new(job)));
    let mut took: Vec<f64> = Vec::new();
    for _ in 0..50 {
        let (planned, ms) = timed(|| plan(&world.snapshot, now));
        let wait = planned.decisions.first().map(|decision| &decision.action);
        let refused = matches!(wait, Some(plimsoll_scheduling::Action::Wait { reason: Reason::ExceedsCluster, .. }));
        assert!(refused, "{wait:?}");
        took.push(ms);
    }
    println!(
        "\na gang of 101 nodes on 100: refused in {:.2}, {:.2} (1)",
        quantile(&mut took, 0.5),
        quantile(&mut took, 0.95)
    );
    let _: &Snapshot = black_box(&world.snapshot);
}

/// What something gives, and the CPU milliseconds that this thread spends on it.
fn timed<T>(what: impl FnOnce() -> T) -> (T, f64) {
    let from = cpu_nanoseconds();
    let result = black_box(what());
    (result, (cpu_nanoseconds() - from) as f64 / 1e6)
}

/// Nanoseconds that this thread has been on a CPU.
fn cpu_nanoseconds() -> i64 {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux says how long a thread ran");
    time.num_nanoseconds()
}

/// The most memory that was resident.
fn peak_mebibytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("Linux says how much memory a process holds");
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number of kilobytes") / 1024
}

fn yardstick() -> f64 {
    let best = (0..5).map(|_| {
        timed(|| {
            let mut values: Vec<f64> =
                (0..1_000_000_u32).map(|n| f64::from(n.wrapping_mul(2_654_435_761)).sqrt()).collect();
            values.sort_unstable_by(f64::total_cmp);
            values
        })
        .1
    });
    best.fold(f64::INFINITY, f64::min)
}

fn quantile(figures: &mut [f64], share: f64) -> f64 {
    figures.sort_by(f64::total_cmp);
    let at = (share * (figures.len() - 1) as f64).round() as usize;
    figures.get(at).copied().unwrap_or(f64::NAN)
}
