//! Jobs that want devices or hold them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use plimsoll_menu::Menu;
use serde::{Deserialize, Serialize};

use super::{Counted, Keyed, PodNeeds, Standing};

/// Identifies a job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for JobKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// How much Plimsoll may decide for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Runs exactly what it requested.
    Off,
    /// Chosen once, before the first start.
    Initial,
    /// Chosen, watched and corrected.
    Auto,
}

/// When a job's device count may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Elasticity {
    /// Never.
    Fixed,
    /// Before the first revision, or after a failure.
    Moldable,
    /// Also while it runs, through a checkpoint.
    Elastic,
}

/// A job that wants devices or holds them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Which job.
    pub key: JobKey,
    /// Its UID; breaks ties.
    pub uid: String,
    /// The queue it names.
    pub queue: String,
    /// The value of its priority class; higher goes first.
    pub priority: i32,
    /// When it was created.
    pub arrival: Timestamp,
    /// How much may be decided for it.
    pub mode: Mode,
    /// When its count may change.
    pub elasticity: Elasticity,
    /// Ways to run it, most preferred first, after learned corrections.
    pub menu: Menu,
    /// What each of its pods needs of a node.
    pub needs: PodNeeds,
    /// Names of the ResourceQuotas of its namespace that count its pods.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub namespace_quotas: BTreeSet<String>,
    /// What those count of each pod, by their word for it: requests and limits, without the accelerators.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counted: BTreeMap<String, Counted>,
    /// Where it stands.
    pub standing: Standing,
    /// Since when it has held nothing, if not since its arrival.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<Timestamp>,
    /// What a second of its completion time counts beside others'; above 0.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: f64,
    /// When it should be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// How near each other its pods are to be.
    #[serde(default, skip_serializing_if = "is_default")]
    pub topology: TopologyAsk,
    /// Its devices may be taken for another job's sake.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub preemptible: bool,
    /// Seconds that a restart costs it: checkpoint, start-up and what is trained again.
    pub restart_seconds: f64,
    /// Optimizer steps still to go, where known.
    pub remaining_steps: Option<u64>,
}

impl Job {
    /// Since when it waits, if it does.
    pub fn waits_since(&self) -> Timestamp {
        self.waiting_since.unwrap_or(self.arrival)
    }

    /// What a ResourceQuota counts of one of its pods with so many devices, each requested as `accelerator`.
    pub(crate) fn counts(&self, resource: &str, accelerator: Option<&str>, gpus: u32) -> u64 {
        let Counted { base, per_gpu } = self.counted.get(resource).copied().unwrap_or_default();
        let is_accelerator = accelerator.is_some_and(|name| resource.strip_prefix("requests.") == Some(name));
        base.saturating_add(per_gpu.saturating_add(is_accelerator.into()).saturating_mul(gpus.into()))
    }
}

impl Keyed for Job {
    type Key = JobKey;

    fn key(&self) -> JobKey {
        self.key.clone()
    }
}

/// How near each other the pods of a job are to be: keys of node labels that stand in the snapshot's topology, or
/// `kubernetes.io/hostname`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TopologyAsk {
    /// All in one domain of this level, or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<String>,
    /// In one domain of this level wherever one has room, else in one of the next wider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred: Option<String>,
}

fn one() -> f64 {
    1.0
}

fn is_one(weight: &f64) -> bool {
    *weight == 1.0
}

fn yes() -> bool {
    true
}

fn is_true(flag: &bool) -> bool {
    *flag
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
