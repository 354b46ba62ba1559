//! What the planner is run for, in a simulation.

use plimsoll_scheduling::elastic::{Facts, JobHour, Objective, Toll};

use super::View;
use crate::cluster::{Cluster, Kind};
use crate::job::Job;
use crate::outcome::{Outcome, Round};

/// What an hour of a job's completion time is taken to be worth: 4 dollars, 2 kWh, 800 g. An assumption; the trade is what is shown.
const HOUR: JobHour = JobHour { money: 4.0, kwh: 2.0, grams: 800.0 };

/// Carbon dioxide of a kilowatt-hour, in grams: about the world's mean.
const GRAMS_PER_KWH: f64 = 450.0;

/// Dollars an hour and watts of board power of a GPU, by kind: on-demand prices of a cloud's instances by their GPUs for T4 and A100
/// (g4dn, p4d), an assumption for the others; power of the data sheets.
fn toll(kind: &Kind) -> Toll {
    let (money_per_hour, watts) = match kind.name.as_str() {
        "t4" | "aws" => (0.526, 70.0),
        "rtx" => (0.9, 250.0),
        "quad" => (1.0, 260.0),
        "dgx" | "dgx-ext" => (4.1, 400.0),
        _ => (2.0, 300.0),
    };
    // What the card draws at rest it draws in any case.
    Toll { money_per_hour, watts: 0.85 * watts, grams_per_kwh: GRAMS_PER_KWH }
}

/// Dollars for the GPUs held in a simulation, at assumed on-demand prices.
pub fn dollars(outcome: &Outcome, cluster: &Cluster) -> f64 {
    let prices: Vec<f64> = cluster.kinds.iter().map(|kind| toll(kind).money_per_hour).collect();
    let round = |round: &Round| {
        let an_hour: f64 = round.held.iter().zip(&prices).map(|(gpus, price)| f64::from(*gpus) * price).sum();
        an_hour * round.seconds / 3600.0
    };
    outcome.rounds.iter().map(round).sum()
}

/// What a second of a GPU of each kind costs.
pub(super) fn charges(objective: Objective, kinds: &[Kind]) -> Vec<f64> {
    kinds.iter().map(|kind| objective.charge(&toll(kind), &HOUR)).collect()
}

/// What a second of a job's completion time counts. `rates` are believed, by GPUs.
pub(super) fn weight(
    objective: Objective,
    view: &View<'_>,
    job: &Job,
    remaining: f64,
    rates: impl Iterator<Item = (u32, f64)>,
) -> f64 {
    let share = (f64::from(view.cluster.gpus()) / view.jobs.len().max(1) as f64).max(1.0);
    let own = rates.filter(|(gpus, _)| f64::from(*gpus) <= share).map(|(_, rate)| rate).fold(0.0, f64::max);
    if own <= 0.0 {
        return 1.0;
    }
    let age = view.now - job.submission.at_seconds;
    let facts = Facts {
        weight: 1.0,
        waited_seconds: (age - job.ran_seconds).max(0.0),
        ran_seconds: job.ran_seconds,
        remaining_seconds: remaining / own,
        alone_seconds: (job.progress + remaining) / own,
        to_deadline_seconds: None,
    };
    objective.weight(&facts)
}
