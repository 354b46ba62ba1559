//! Policies by name.

use plimsoll_scheduling::elastic::Objective;

use super::{Gavel, GavelPacked, Information, Lucid, Optimus, Order, Plimsoll, Policy, Pollux, Rigid, Sia, Tiresias};

/// Names of all policies.
pub const NAMES: [&str; 21] = [
    "plimsoll-a",
    "plimsoll-b",
    "plimsoll-c",
    "plimsoll-b-incremental",
    "plimsoll-b-fairness",
    "plimsoll-b-cost",
    "plimsoll-b-energy",
    "sia",
    "sia-uncapped",
    "sia-sticky",
    "pollux",
    "gavel",
    "gavel-packed",
    "tiresias",
    "optimus",
    "srtf",
    "lucid",
    "shortest-first",
    "quota",
    "easy",
    "fifo",
];

/// The policy of a name; `None` for a name that is not in [`NAMES`]. Predicted step times of `plimsoll-c` are off by up to
/// `1 ± error`; `seed` is for what a policy draws.
pub fn by_name(name: &str, error: f64, seed: u64) -> Option<Box<dyn Policy>> {
    let aiming = |objective| Plimsoll::new(Information::Work, error, seed).aiming_at(objective);
    Some(match name {
        "plimsoll-a" => Box::new(Plimsoll::new(Information::Measured, error, seed)),
        "plimsoll-b" => Box::new(Plimsoll::new(Information::Work, error, seed)),
        "plimsoll-c" => Box::new(Plimsoll::new(Information::Speed, error, seed)),
        "plimsoll-b-incremental" => Box::new(Plimsoll::new(Information::Work, error, seed).incremental()),
        "plimsoll-b-fairness" => Box::new(aiming(Objective::Fairness)),
        "plimsoll-b-cost" => Box::new(aiming(Objective::Cost)),
        "plimsoll-b-energy" => Box::new(aiming(Objective::Energy)),
        "sia" => Box::new(Sia::new()),
        "sia-sticky" => Box::new(Sia::sticky()),
        "sia-uncapped" => Box::new(Sia::without_batch_cap()),
        "pollux" => Box::new(Pollux::new(seed)),
        "gavel" => Box::new(Gavel::default()),
        "gavel-packed" => Box::new(GavelPacked::default()),
        "tiresias" => Box::new(Tiresias::default()),
        "optimus" => Box::new(Optimus),
        "srtf" => Box::new(Rigid::new(Order::Srtf)),
        "lucid" => Box::new(Lucid::default()),
        "shortest-first" => Box::new(Rigid::new(Order::ShortestFirst)),
        "quota" => Box::new(Rigid::new(Order::Quota)),
        "easy" => Box::new(Rigid::new(Order::Easy)),
        "fifo" => Box::new(Rigid::new(Order::Arrival)),
        _ => return None,
    })
}
