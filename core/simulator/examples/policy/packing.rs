//! What two jobs on a GPU are worth.

use std::error::Error;

use plimsoll_simulator::policy::by_name;
use plimsoll_simulator::simulate;

use crate::sets::Set;

/// Each policy beside the same with packing.
const PAIRS: [[&str; 2]; 2] = [["gavel", "gavel-packed"], ["shortest-first", "lucid"]];

/// Prints average completion times with and without, for every trace at hand.
pub(crate) fn print(sets: &[Set]) -> Result<(), Box<dyn Error>> {
    println!("average completion times in hours, one job on a GPU and up to two");
    for set in sets.iter().filter(|set| ["pollux", "mixed"].contains(&set.name)) {
        for (trace, jobs) in &set.workloads {
            let mut line = format!("{:<9} {trace:<9}", set.name);
            for pair in PAIRS {
                let average = |name: &str| -> Result<f64, Box<dyn Error>> {
                    let mut policy = by_name(name, 0.0, 1).ok_or("unknown policy")?;
                    let outcome = simulate(jobs, &set.cluster, &set.catalogue, policy.as_mut(), &set.rules)?;
                    Ok(outcome.figures().average_seconds / 3600.0)
                };
                let (without, with) = (average(pair[0])?, average(pair[1])?);
                line += &format!("  {} {without:.3}, {} {with:.3} ({:.2})", pair[0], pair[1], with / without);
            }
            println!("{line}");
        }
    }
    Ok(())
}
