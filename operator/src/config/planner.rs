//! What the planner is to aim at, and how long it lets anybody wait.

use plimsoll_scheduling::{Objective, Rules};
use serde::Deserialize;

use super::ConfigError;

/// Levels that may be given.
const LEVELS: usize = 8;

/// What the planner is to aim at.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Planner {
    /// What sizes are chosen for.
    pub objective: Objective,
    /// Keys of the node labels that say where a node stands, the widest domain first; the node itself is the last and is not
    /// named.
    pub topology: Vec<String>,
    /// Seconds of waiting after which a job goes before all others of its queue.
    pub starvation_bound_seconds: u32,
    /// Seconds that a job gets to give devices back that another takes.
    pub grace_seconds: u32,
    /// Seconds after which a queue's past use counts half; 0 means that only what is held now counts.
    pub usage_half_life_seconds: u32,
    /// Grams of CO2 equivalent for each kWh of electricity.
    pub carbon_grams_per_kilowatt_hour: u32,
}

impl Default for Planner {
    fn default() -> Self {
        Self {
            objective: Objective::Goodput,
            topology: vec!["topology.kubernetes.io/zone".into()],
            starvation_bound_seconds: 86_400,
            grace_seconds: 60,
            usage_half_life_seconds: 7 * 86_400,
            carbon_grams_per_kilowatt_hour: 400,
        }
    }
}

impl Planner {
    /// Whether it makes sense.
    ///
    /// # Errors
    /// When a value makes none.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        if self.topology.len() > LEVELS {
            return Err(ConfigError::Value("planner.topology must have 8 levels or fewer"));
        }
        if self.topology.iter().any(|level| level.is_empty() || level == HOSTNAME) {
            return Err(ConfigError::Value(
                "planner.topology must name labels of domains wider than a node; the node itself, kubernetes.io/hostname, is always its last level",
            ));
        }
        let twice = |(at, level): (usize, &String)| self.topology.iter().take(at).any(|before| before == level);
        if self.topology.iter().enumerate().any(twice) {
            return Err(ConfigError::Value("planner.topology must not name a label twice"));
        }
        Ok(())
    }

    /// Its part of the planner's rules.
    pub(super) fn rules(&self) -> Rules {
        Rules {
            objective: self.objective,
            grams_per_kwh: self.carbon_grams_per_kilowatt_hour.into(),
            starvation_bound_seconds: self.starvation_bound_seconds.into(),
            grace_seconds: self.grace_seconds.into(),
            usage_half_life_seconds: self.usage_half_life_seconds.into(),
            ..Rules::default()
        }
    }

    /// The levels that a job can ask for, the widest first.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.topology.iter().map(String::as_str).chain([HOSTNAME])
    }

    /// Whether a job can ask for a level.
    pub fn knows_level(&self, level: &str) -> bool {
        self.levels().any(|known| known == level)
    }
}

/// The level of the node itself.
const HOSTNAME: &str = "kubernetes.io/hostname";
