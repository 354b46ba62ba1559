//! The settings of a cluster (plimsoll.yaml): how patient, how eager, and the switch that stops all moves. Pure.

mod planner;

use plimsoll_lifecycle::Policy;
use plimsoll_observe::Settings;
use plimsoll_scheduling::{MoveRules, Rules};
use serde::Deserialize;

use crate::accounts::Rates;

pub use planner::Planner;

/// Key of the settings in their ConfigMap.
pub const KEY: &str = "plimsoll.yaml";

/// Settings that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// They are not YAML of the expected shape.
    #[error("failed to read the settings: {0}")]
    Parse(String),
    /// A value makes no sense.
    #[error("failed to accept the settings: {0}")]
    Value(&'static str),
}

/// All settings. Every field has a default, so that an empty file is valid.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// When running jobs may be moved.
    pub moves: Moves,
    /// What the planner is to aim at.
    pub planner: Planner,
    /// How the use of devices is observed.
    pub observation: Observation,
    /// How long a revision may take to start.
    pub timeouts: Timeouts,
    /// How long a failed job waits.
    pub backoff: Backoff,
    /// How often the cluster is planned.
    pub cycle: Cycle,
    /// What pods of training jobs get.
    pub pods: Pods,
    /// The progress endpoint.
    pub progress: Progress,
}

/// When running jobs may be moved.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Moves {
    /// False stops all moves, and all changes of batches, at once.
    pub enabled: bool,
    /// Seconds after a start or a move in which a job is left alone.
    pub cool_down_seconds: u32,
    /// Least gain of a move, in percent of what the job costs now.
    pub least_gain_percent: u32,
    /// Seconds ahead over which a gain counts.
    pub horizon_seconds: u32,
    /// Moves that one job may make in an hour.
    pub per_job_hour: u32,
    /// Seconds that a restart takes besides the checkpoint: image, start-up, first step.
    pub restart_seconds: u32,
}

/// How the use of devices is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Observation {
    /// Seconds that a window must cover before it says anything about a revision.
    pub window_seconds: u32,
    /// Seconds after the start of a revision's last container that no window may reach into.
    pub settle_seconds: u32,
}

/// How long a revision may take to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Timeouts {
    /// Seconds for all pods to be bound.
    pub bind_seconds: u32,
    /// Seconds for all containers to start, once bound.
    pub start_seconds: u32,
}

/// How long a failed job waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Backoff {
    /// Seconds after the first failure; doubles with each one after it.
    pub base_seconds: u32,
    /// Most seconds.
    pub max_seconds: u32,
    /// A run of this many seconds forgets earlier failures.
    pub steady_seconds: u32,
}

/// How often the cluster is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Cycle {
    /// Milliseconds that a change waits for others before a cycle begins.
    pub debounce_milliseconds: u32,
    /// Most seconds between two cycles.
    pub tick_seconds: u32,
}

/// What pods of training jobs get.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Pods {
    /// PriorityClass of all pods; it must have `preemptionPolicy: Never`.
    pub priority_class_name: String,
}

/// The progress endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Progress {
    /// URL under which training pods reach it, without a path.
    pub url: String,
    /// Seconds without a report after which a running job counts as silent.
    pub silent_seconds: u32,
    /// Least seconds between two status writes that only bring numbers up to date.
    pub flush_seconds: u32,
}

impl Default for Moves {
    fn default() -> Self {
        Self {
            enabled: true,
            cool_down_seconds: 300,
            least_gain_percent: 10,
            horizon_seconds: 3600,
            per_job_hour: 4,
            restart_seconds: 60,
        }
    }
}

impl Default for Observation {
    fn default() -> Self {
        Self { window_seconds: 60, settle_seconds: 0 }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { bind_seconds: 300, start_seconds: 3600 }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base_seconds: 10, max_seconds: 600, steady_seconds: 3600 }
    }
}

impl Default for Cycle {
    fn default() -> Self {
        Self { debounce_milliseconds: 150, tick_seconds: 5 }
    }
}

impl Default for Pods {
    fn default() -> Self {
        Self { priority_class_name: "plimsoll-training".into() }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            url: "https://plimsoll-progress.plimsoll-system.svc:8443".into(),
            silent_seconds: 300,
            flush_seconds: 30,
        }
    }
}

impl Config {
    /// Reads settings.
    ///
    /// # Errors
    /// When they are not YAML of the expected shape, or a value makes no sense.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let config: Self = serde_yaml::from_str(text).map_err(|e| ConfigError::Parse(e.to_string()))?;
        if config.cycle.tick_seconds == 0 {
            return Err(ConfigError::Value("cycle.tickSeconds must be 1 or more"));
        }
        if config.observation.window_seconds == 0 {
            return Err(ConfigError::Value("observation.windowSeconds must be 1 or more"));
        }
        config.planner.validate()?;
        if !config.progress.url.starts_with("https://") {
            return Err(ConfigError::Value("progress.url must begin with https://"));
        }
        Ok(config)
    }

    /// The planner's rules.
    pub fn rules(&self) -> Rules {
        let Moves { enabled, cool_down_seconds, least_gain_percent, horizon_seconds, per_job_hour, restart_seconds: _ } =
            self.moves;
        let moves = MoveRules {
            enabled,
            cool_down_seconds: cool_down_seconds.into(),
            least_gain: f64::from(least_gain_percent) / 100.0,
            horizon_seconds: horizon_seconds.into(),
            per_job_hour,
        };
        Rules { moves, ..self.planner.rules() }
    }

    /// What the administrator has set, as it stands in snapshots.
    pub fn planning(&self) -> Settings {
        Settings { rules: self.rules(), topology: self.planner.topology.clone() }
    }

    /// By what the use of queues is turned into its figures.
    pub(crate) fn rates(&self) -> Rates {
        Rates {
            half_life_seconds: self.planner.usage_half_life_seconds.into(),
            carbon_grams_per_kilowatt_hour: self.planner.carbon_grams_per_kilowatt_hour.into(),
        }
    }

    /// The cluster's part of a job's patience; the job adds its own.
    pub fn policy(&self) -> Policy {
        Policy {
            backoff_base_seconds: self.backoff.base_seconds.into(),
            backoff_max_seconds: self.backoff.max_seconds.into(),
            bind_timeout_seconds: self.timeouts.bind_seconds.into(),
            start_timeout_seconds: self.timeouts.start_seconds.into(),
            steady_seconds: self.backoff.steady_seconds.into(),
            ..Policy::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_given_means_the_defaults() {
        assert_eq!(Config::parse("").unwrap(), Config::default());
        assert_eq!(Config::parse("moves: {}").unwrap(), Config::default());
        let (config, rules) = (Config::default(), Rules::default());
        assert_eq!(config.rules(), rules, "the chart's defaults are the planner's own");
        assert_eq!(config.planning(), Settings::default());
        assert_eq!(config.policy(), Policy::default());
    }

    #[test]
    fn the_charts_settings_are_the_defaults() {
        let values = include_str!("../../charts/plimsoll/values.yaml");
        let values: serde_json::Value = serde_yaml::from_str(values).unwrap();
        let text = values["config"].to_string();
        assert_eq!(Config::parse(&text).unwrap(), Config::default());
        assert!(text.contains("settleSeconds"), "{text}");
    }

    #[test]
    fn the_switch_stops_moves() {
        let config = Config::parse("moves: {enabled: false, coolDownSeconds: 5}").unwrap();
        assert!(!config.rules().moves.enabled);
        assert_eq!(config.rules().moves.cool_down_seconds, 5.0);
    }

    #[test]
    fn a_misspelt_setting_is_told_not_ignored() {
        let error = Config::parse("moves: {enable: false}").unwrap_err();
        assert!(error.to_string().contains("enable"), "{error}");
        assert!(Config::parse("cycle: {tickSeconds: 0}").is_err());
        assert!(Config::parse("planner: {objective: Profit}").is_err());
        assert!(Config::parse("planner: {topology: [kubernetes.io/hostname]}").is_err());
        assert!(Config::parse("planner: {topology: [rack, rack]}").is_err());
        assert!(Config::parse("progress: {url: 'http://x'}").is_err());
    }
}
