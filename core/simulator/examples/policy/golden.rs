//! What others published or measured, beside what comes out here.

use std::error::Error;
use std::path::Path;

use plimsoll_simulator::policy::by_name;
use plimsoll_simulator::{Knowledge, Rules, simulate};

use crate::sets::{Set, named};

/// Set, workload, policy and average completion time in hours: of Pollux's authors, and runs of the Sia artifact.
const GOLDEN: [(&str, &str, &str, f64); 11] = [
    ("pollux", "pollux-6", "tiresias", 3469.69375 / 3600.0),
    ("pollux", "pollux-6", "optimus", 5301.9 / 3600.0),
    ("pollux", "pollux-6", "pollux", 2446.1 / 3600.0),
    ("mixed", "saturn-1", "sia", 0.581),
    ("mixed", "saturn-2", "sia", 0.715),
    ("mixed", "philly-1", "sia", 0.542),
    ("uniform", "philly-1", "sia", 1.679),
    ("mixed", "saturn-1", "gavel", 1.798),
    ("mixed", "saturn-2", "gavel", 1.717),
    ("mixed", "philly-1", "gavel", 1.671),
    ("uniform", "philly-1", "gavel", 3.341),
];

/// Prints the comparison, for those traces that are at hand.
pub(crate) fn print(sets: &[Set], folder: Option<&Path>) -> Result<(), Box<dyn Error>> {
    println!(
        "average completion times, published or measured by others, and here with refitted and with true throughput"
    );
    for (set, trace, policy, hours) in GOLDEN {
        let Some((set, jobs)) = named(sets, set, trace) else { continue };
        let here = |knowledge| -> Result<f64, Box<dyn Error>> {
            let rules = Rules { knowledge, ..set.rules };
            let mut policy = by_name(policy, 0.0, 1).ok_or("unknown policy")?;
            let outcome = simulate(jobs, &set.cluster, &set.catalogue, policy.as_mut(), &rules)?;
            Ok(outcome.figures().average_seconds / 3600.0)
        };
        let (refit, oracle) = (here(Knowledge::Refit)?, here(Knowledge::Oracle)?);
        let off = 100.0 * (refit / hours - 1.0);
        println!("{:<9} {trace:<9} {policy:<9} {hours:.4} h  {refit:.4} h ({off:+.1} %)  {oracle:.4} h", set.name);
    }
    if folder.is_none() {
        println!("give --traces for those of Sia and Gavel");
    }
    Ok(())
}
