//! How far ahead of its peers the planner is: `cargo run --release -p plimsoll-simulator --example policy`, or
//! `cargo xtask bench policy`.
//!
//! Every policy runs on every trace of a set, with the same truth and the same rules; ratios are to Sia on the same trace, and
//! their mean and range over the traces are printed. The workloads of Pollux are built in; `--traces DIR` adds those of Sia.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example is no part of the pure core"
)]

mod bound;
mod golden;
#[path = "../../tests/oracle/mod.rs"]
mod oracle;
mod packing;
mod sets;
mod table;
mod timed;

use std::path::PathBuf;
use std::process::ExitCode;

use plimsoll_simulator::policy::{by_name, dollars};
use plimsoll_simulator::{Figures, Knowledge, SimulationError, energy_kwh, finish_time_fairness, simulate};

use sets::Set;
use timed::Timed;

/// A run of one policy on one trace.
struct Run {
    figures: Figures,
    worst_rho: f64,
    unfair: f64,
    kwh: f64,
    dollars: f64,
    milliseconds: [f64; 2],
}

fn main() -> ExitCode {
    let mut traces = None;
    let mut only = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--traces" => traces = arguments.next().map(PathBuf::from),
            "--only" => only = arguments.next(),
            other => {
                eprintln!(
                    "error: `{other}` is unknown: give --traces DIR to add the traces of a folder, --only SET for one set, golden, bound or packing"
                );
                return ExitCode::from(2);
            }
        }
    }
    let sets = match sets::all(traces.as_deref()) {
        Ok(sets) => sets,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let printed = match only.as_deref() {
        Some("golden") => Some(golden::print(&sets, traces.as_deref())),
        Some("bound") => Some(bound::print(&sets)),
        Some("packing") => Some(packing::print(&sets)),
        _ => None,
    };
    if let Some(printed) = printed {
        return match printed {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        };
    }
    for set in sets.iter().filter(|set| only.as_ref().is_none_or(|only| set.name.starts_with(only.as_str()))) {
        println!("\n{}: {} traces on {}", set.name, set.workloads.len(), set.cluster);
        for knowledge in set.knowledge {
            let rows: Vec<(String, Vec<Option<Run>>)> =
                set.policies.iter().map(|policy| ((*policy).to_owned(), over(set, policy, *knowledge))).collect();
            let told = match knowledge {
                Knowledge::Refit => "throughput refitted from what jobs measured, predictions off by up to 20 %",
                Knowledge::Oracle => "oracle throughput, predictions exact",
            };
            println!("{told}\n{}", table::text(&rows, set.workloads.len()));
            // What the bars of the uniform cluster come from.
            if set.name.ends_with("uniform") {
                println!("the first two of them\n{}", table::text(&rows, 2));
            }
        }
    }
    ExitCode::SUCCESS
}

/// A policy on all traces of a set; nothing where it cannot be run to its end.
fn over(set: &Set, policy: &str, knowledge: Knowledge) -> Vec<Option<Run>> {
    let mut runs = Vec::new();
    for (name, workload) in &set.workloads {
        eprint!("\r\x1b[K{} {policy} {name}", set.name);
        runs.push(match run(set, policy, knowledge, workload) {
            Ok(run) => Some(run),
            Err(error) => {
                println!("{policy} on {name}: {error}");
                None
            }
        });
    }
    eprint!("\r\x1b[K");
    runs
}

fn run(
    set: &Set,
    policy: &str,
    knowledge: Knowledge,
    workload: &[plimsoll_simulator::workload::Submission],
) -> Result<Run, SimulationError> {
    let mut rules = plimsoll_simulator::Rules { knowledge, ..set.rules };
    // "+30" after a name: a running job's change costs 30 % of a restart.
    let name = policy.strip_suffix("+30").unwrap_or(policy);
    if name != policy {
        rules.resize_share = 0.3;
    }
    let error = if knowledge == Knowledge::Oracle { 0.0 } else { 0.2 };
    let inner = by_name(name, error, 1).unwrap_or_else(|| unreachable!("the sets name known policies"));
    let mut timed = Timed::new(inner);
    let asked = rules.world.distort(workload);
    let outcome = simulate(&asked, &set.cluster, &set.catalogue, &mut timed, &rules)?;
    let rho: Vec<f64> =
        finish_time_fairness(&outcome, &set.cluster, &set.catalogue, &rules).into_iter().flatten().collect();
    Ok(Run {
        figures: outcome.figures(),
        worst_rho: rho.iter().copied().fold(0.0, f64::max),
        unfair: rho.iter().filter(|rho| **rho > 1.0).count() as f64 / rho.len().max(1) as f64,
        kwh: energy_kwh(&outcome, &set.cluster),
        dollars: dollars(&outcome, &set.cluster),
        milliseconds: timed.mean_and_p95(),
    })
}
