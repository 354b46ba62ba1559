//! What others published or measured, beside what comes out here.

use std::error::Error;
use std::path::Path;

use plimsoll_simulator::policy::{Gavel, Policy, by_name};
use plimsoll_simulator::workload::Submission;
use plimsoll_simulator::{Knowledge, Rules, simulate};

use crate::oracle::GavelOracle;
use crate::sets::{Set, named};

/// Set, workload, policy and average completion time in seconds. Tiresias, Optimus and Pollux are their authors' own results; Sia's
/// are measured runs of its artifact, to three places of an hour.
const GOLDEN: [(&str, &str, &str, f64); 7] = [
    ("pollux", "pollux-6", "tiresias", 3469.69375),
    ("pollux", "pollux-6", "optimus", 5301.9),
    ("pollux", "pollux-6", "pollux", 2446.1),
    ("mixed", "saturn-1", "sia", 0.581 * 3600.0),
    ("mixed", "saturn-2", "sia", 0.715 * 3600.0),
    ("mixed", "philly-1", "sia", 0.542 * 3600.0),
    ("uniform", "philly-1", "sia", 1.679 * 3600.0),
];

/// Set, workload and average completion time in seconds under Gavel: runs of the Sia artifact (commit aaf7a0d, its Gavel with ECOS 2.0.14,
/// rounds of 360 s). The average over the ten saturn traces of the same runs is the one that its README has: 2.548240277777778 h.
const GAVEL: [(&str, &str, f64); 13] = [
    ("mixed", "saturn-1", 6474.2125),
    ("mixed", "saturn-2", 6182.00625),
    ("mixed", "saturn-3", 9347.31875),
    ("mixed", "saturn-4", 9205.48125),
    ("mixed", "saturn-5", 7324.65),
    ("mixed", "philly-1", 6016.4625),
    ("mixed", "philly-2", 7572.3625),
    ("mixed", "philly-3", 4781.43125),
    ("mixed", "philly-4", 6550.70625),
    ("uniform", "philly-1", 12026.2875),
    ("uniform", "philly-2", 14300.4625),
    ("uniform", "philly-3", 15683.36875),
    ("uniform", "philly-4", 12135.66875),
];

/// Prints the comparison, for those traces that are at hand.
pub(crate) fn print(sets: &[Set], folder: Option<&Path>) -> Result<(), Box<dyn Error>> {
    println!(
        "average completion times, published or measured by others, and here with refitted and with true throughput"
    );
    for (set, trace, name, seconds) in GOLDEN {
        let Some((set, jobs)) = named(sets, set, trace) else { continue };
        let here = |knowledge| {
            let mut policy = by_name(name, 0.0, 1).ok_or("unknown policy")?;
            average_seconds(set, jobs, policy.as_mut(), knowledge)
        };
        let (refit, oracle) = (here(Knowledge::Refit)?, here(Knowledge::Oracle)?);
        let off = 100.0 * (refit / seconds - 1.0);
        println!(
            "{:<9} {trace:<9} {name:<9} {:.4} h  {:.4} h ({off:+.1} %)  {:.4} h",
            set.name,
            seconds / 3600.0,
            refit / 3600.0,
            oracle / 3600.0
        );
    }
    println!("\nGavel, average completion times in seconds: published, here, and by the oracle of the tests");
    for (set, trace, seconds) in GAVEL {
        let Some((set, jobs)) = named(sets, set, trace) else { continue };
        let fast = average_seconds(set, jobs, &mut Gavel::default(), Knowledge::Refit)?;
        let plain = average_seconds(set, jobs, &mut GavelOracle::default(), Knowledge::Refit)?;
        let off = 100.0 * (fast / seconds - 1.0);
        println!("{:<9} {trace:<9} {seconds:>11.5}  {fast:>11.5} ({off:+.3} %)  {plain:>11.5}", set.name);
    }
    if folder.is_none() {
        println!("give --traces for those of Sia and Gavel");
    }
    Ok(())
}

fn average_seconds(
    set: &Set,
    jobs: &[Submission],
    policy: &mut dyn Policy,
    knowledge: Knowledge,
) -> Result<f64, Box<dyn Error>> {
    let rules = Rules { knowledge, ..set.rules };
    Ok(simulate(jobs, &set.cluster, &set.catalogue, policy, &rules)?.figures().average_seconds)
}
