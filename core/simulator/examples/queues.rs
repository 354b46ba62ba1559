//! Kueue's published scenarios through the planner: `cargo xtask bench queues`.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "an example is no part of the pure core")]

use plimsoll_scheduling::{check, plan};
use plimsoll_simulator::queues::{BASELINE, LARGE_SCALE, Scenario, play};

fn main() {
    let (mut names, mut inspected) = (Vec::new(), false);
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--check" => inspected = true,
            _ => names.push(argument),
        }
    }
    for scenario in [BASELINE, LARGE_SCALE] {
        if names.is_empty() || names.iter().any(|name| name == scenario.name) {
            report(&scenario, inspected);
        }
    }
}

fn report(scenario: &Scenario, inspected: bool) {
    let mut milliseconds = Vec::new();
    let mut unlawful = 0;
    let figures = play(scenario, |step| {
        let from = cpu_seconds();
        let planned = plan(step.snapshot, step.now);
        milliseconds.push((cpu_seconds() - from) * 1e3);
        if inspected {
            unlawful += check::check(step.snapshot, &planned, step.now).len();
        }
        planned
    });
    let committed = &scenario.committed;
    println!("{}: {} workloads in {} queues", scenario.name, scenario.workloads(), scenario.cohorts * scenario.queues);
    println!("{:28}{:>12}{:>12}", "", "plimsoll", "kueue");
    println!("{:28}{:>12.1}{:>12.1}", "virtual seconds", figures.seconds, committed.wall_seconds);
    println!("{:28}{:>11.1}%{:>11.1}%", "use of nominal quota", 100.0 * figures.usage, 100.0 * committed.usage);
    for (index, set) in scenario.sets.iter().enumerate() {
        let row = format!("seconds to admit {}", set.class);
        println!("{row:28}{:>12.2}{:>12.1}", figures.admission[index].mean_seconds, committed.admission_seconds[index]);
    }
    let all: f64 = milliseconds.iter().sum();
    milliseconds.sort_by(f64::total_cmp);
    println!(
        "{} plans, {} preemptions; CPU time of the core {:.1} s: {:.0} workloads a second; a plan takes {:.1} ms in the \
         median, {:.1} ms at most",
        figures.plans,
        figures.preemptions,
        all / 1e3,
        f64::from(scenario.workloads()) / (all / 1e3),
        milliseconds[milliseconds.len() / 2],
        milliseconds[milliseconds.len() - 1],
    );
    if inspected {
        println!("{unlawful} violations of any law");
    }
}

/// CPU time of this thread, from the kernel's scheduler statistics, which it brings up to date when a thread yields; not a number
/// where there are none.
fn cpu_seconds() -> f64 {
    std::thread::yield_now();
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = statistics.split_whitespace().next().and_then(|first| first.parse::<f64>().ok());
    nanoseconds.unwrap_or(f64::NAN) / 1e9
}
