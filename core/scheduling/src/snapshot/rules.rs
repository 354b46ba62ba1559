//! What the cluster's administrator wants of every plan.

use serde::{Deserialize, Serialize};

use crate::elastic::{JobHour, Objective};

/// Rules of the whole cluster. A saved snapshot that does not have one of them yet has its default.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// Limits on moving running jobs.
    pub moves: MoveRules,
    /// What sizes are chosen for.
    pub objective: Objective,
    /// What an hour of a job is worth to those who choose for money, energy or carbon.
    pub job_hour: JobHour,
    /// Grams of carbon dioxide of a kilowatt-hour.
    pub grams_per_kwh: f64,
    /// Seconds between two times at which the sizes of all jobs are chosen together.
    pub round_seconds: f64,
    /// Seconds of waiting after which a job goes before all others of its queue.
    pub starvation_bound_seconds: f64,
    /// Seconds that a job gets to give devices back that another takes.
    pub grace_seconds: f64,
    /// Seconds after which a queue's past use counts half; 0 means that only what is held now counts.
    pub usage_half_life_seconds: f64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            moves: MoveRules::default(),
            objective: Objective::default(),
            // About a GPU's price, energy and carbon in an hour: a GPU more must save its own hour.
            job_hour: JobHour { money: 2.0, kwh: 0.5, grams: 200.0 },
            grams_per_kwh: 400.0,
            round_seconds: 60.0,
            starvation_bound_seconds: 86_400.0,
            grace_seconds: 60.0,
            usage_half_life_seconds: 7.0 * 86_400.0,
        }
    }
}

/// Limits on moving running jobs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MoveRules {
    /// False stops all moves at once (the cluster's switch).
    pub enabled: bool,
    /// Seconds after a start or a move in which a job is left alone.
    pub cool_down_seconds: f64,
    /// A move must gain at least this share of what the job costs now.
    pub least_gain: f64,
    /// Seconds ahead over which a gain counts, where the job's end is not nearer.
    pub horizon_seconds: f64,
    /// Moves that one job may make in an hour.
    pub per_job_hour: u32,
}

impl Default for MoveRules {
    fn default() -> Self {
        Self { enabled: true, cool_down_seconds: 300.0, least_gain: 0.10, horizon_seconds: 3600.0, per_job_hour: 4 }
    }
}
