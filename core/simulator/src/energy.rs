//! Electric energy of a simulation, in round numbers.

use crate::cluster::Cluster;
use crate::outcome::Outcome;

/// Share of its board power that a GPU draws while it computes nothing.
const IDLE_SHARE: f64 = 0.15;

/// Kilowatt-hours of all GPUs from the first round to the last: board power while a job runs on one, 15 % of it while it is free or
/// its job restores. Hosts are left out. Board power is that of the data sheets; 300 W for a kind that is not known.
pub fn energy_kwh(outcome: &Outcome, cluster: &Cluster) -> f64 {
    let mut joules = 0.0;
    for round in &outcome.rounds {
        let held: u32 = round.held.iter().sum();
        // Which kind restores is not recorded: as many of each as it holds.
        let computing = if held > 0 { 1.0 - f64::from(round.restoring) / f64::from(held) } else { 0.0 };
        for (kind, held) in cluster.kinds.iter().zip(&round.held) {
            let busy = f64::from(*held) * computing;
            let idle = f64::from(kind.gpus()) - busy;
            joules += board_watts(&kind.name) * (busy + IDLE_SHARE * idle) * round.seconds;
        }
    }
    joules / 3.6e6
}

fn board_watts(kind: &str) -> f64 {
    match kind {
        "t4" | "aws" => 70.0,
        "rtx" => 250.0,
        "quad" => 260.0,
        "dgx" | "dgx-ext" => 400.0,
        _ => 300.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Round;

    #[test]
    fn an_hour_of_two_t4_with_one_at_work_is_as_much_as_the_sheet_says() {
        let cluster: Cluster = "t4=1x2".parse().unwrap();
        let round = Round { at_seconds: 0.0, seconds: 3600.0, active: 1, waiting: 0, held: vec![1], restoring: 0 };
        let outcome = Outcome { policy: "any".to_owned(), jobs: Vec::new(), rounds: vec![round] };
        assert!((energy_kwh(&outcome, &cluster) - 0.07 * 1.15).abs() < 1e-12);
    }
}
