//! How far from the lower bound each policy is.

use std::error::Error;

use plimsoll_simulator::average_completion_bound;
use plimsoll_simulator::policy::by_name;
use plimsoll_simulator::{Knowledge, Rules, simulate};

use crate::sets::Set;

const POLICIES: [&str; 4] = ["sia", "plimsoll-a", "plimsoll-b", "plimsoll-c"];

/// Sets whose rules are those of the simulators that others used.
const SETS: [&str; 3] = ["pollux", "mixed", "uniform"];

/// Prints the bound, each job alone on the whole cluster, and the policies with true throughput, for every trace at hand.
pub(crate) fn print(sets: &[Set]) -> Result<(), Box<dyn Error>> {
    println!("average completion times in hours with true throughput, beside the lower bound of any policy");
    println!(
        "{:<9} {:<9} {:>6} {:>6} {}",
        "set",
        "trace",
        "bound",
        "alone",
        POLICIES.map(|name| format!("{name:>11}")).concat()
    );
    for set in sets.iter().filter(|set| SETS.contains(&set.name)) {
        let rules = Rules { knowledge: Knowledge::Oracle, ..set.rules };
        for (trace, jobs) in &set.workloads {
            let mut averages = Vec::new();
            for name in POLICIES {
                let mut policy = by_name(name, 0.0, 1).ok_or("unknown policy")?;
                let outcome = simulate(jobs, &set.cluster, &set.catalogue, policy.as_mut(), &rules)?;
                averages.push(outcome.figures().average_seconds);
            }
            let reached = averages.iter().copied().fold(f64::INFINITY, f64::min);
            let bound = average_completion_bound(jobs, &set.cluster, &set.catalogue, &rules, reached)
                .ok_or("a job cannot run on the cluster")?;
            let ratios: String = averages
                .iter()
                .map(|average| format!(" {:>6.3} ({:.2})", average / 3600.0, average / bound.average_seconds))
                .collect();
            println!(
                "{:<9} {trace:<9} {:>6.3} {:>6.3} {ratios}",
                set.name,
                bound.average_seconds / 3600.0,
                bound.alone_seconds / 3600.0
            );
        }
    }
    Ok(())
}
