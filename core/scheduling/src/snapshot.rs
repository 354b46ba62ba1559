//! An immutable view of the cluster at one instant: all that a plan may depend on.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use plimsoll_menu::{Batch, ClassName, Layout, LoadLine, Menu, Shape};
use serde::{Deserialize, Serialize};

/// The cluster at one instant. The same snapshot and time give the same plan, byte for byte; the order of its lists
/// does not matter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Classes of accelerator.
    pub classes: Vec<Class>,
    /// Nodes with accelerators.
    pub nodes: Vec<Node>,
    /// Queues.
    pub queues: Vec<Queue>,
    /// ResourceQuotas of the namespaces that jobs are in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespace_quotas: Vec<NamespaceQuota>,
    /// Jobs that are neither complete nor failed.
    pub jobs: Vec<Job>,
    /// Limits on how often running jobs may be moved.
    pub moves: MoveRules,
}

/// A class of accelerator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Class {
    /// Its name.
    pub name: ClassName,
    /// Extended resource that its devices are requested by, such as `nvidia.com/gpu`.
    pub resource: String,
    /// How full its devices should be.
    pub line: LoadLine,
}

/// Amounts of the resources of a node or a pod, besides accelerators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Thousandths of a CPU.
    pub cpu_milli: u64,
    /// Host memory in bytes.
    pub memory_bytes: u64,
    /// Ephemeral storage in bytes.
    pub ephemeral_bytes: u64,
    /// Pods.
    pub pods: u64,
}

/// A node with accelerators of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// The class of its devices.
    pub class: ClassName,
    /// Devices that the kubelet offers (allocatable).
    pub gpus: u32,
    /// Devices held by pods outside the plan: pods of no TrainingJob.
    pub gpus_held_by_others: u32,
    /// What the kubelet offers of everything else.
    pub allocatable: Resources,
    /// What pods outside the plan request of everything else.
    pub held_by_others: Resources,
    /// Ready, not cordoned, no device that a fresh word of its agent calls failed: open to new gangs.
    pub open: bool,
    /// Why it is not open, in a few words; empty when it is.
    pub closed_because: String,
    /// Labels, for selectors.
    pub labels: BTreeMap<String, String>,
    /// Taints with effect NoSchedule or NoExecute.
    pub taints: Vec<Taint>,
}

/// A taint that keeps pods away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value; empty for none.
    pub value: String,
    /// `NoSchedule` or `NoExecute`.
    pub effect: String,
}

/// A queue and what it may hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Devices that its jobs may hold at once, per class; a class that is not named is not allowed.
    /// `None` means no limit on any class.
    pub nominal: Option<BTreeMap<ClassName, u32>>,
    /// Namespaces whose jobs may use it; `None` means all.
    pub namespaces: Option<Vec<String>>,
    /// Moves that one job may make in an hour; `None` means the cluster's limit alone.
    pub moves_per_job_hour: Option<u32>,
}

/// A ResourceQuota: what the pods of a namespace may hold together, whoever made them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceQuota {
    /// The namespace that it limits.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its limits by resource, in its own words: `pods`, `requests.cpu`, `requests.nvidia.com/gpu`, ...
    pub limits: BTreeMap<String, QuotaLimit>,
}

/// What a ResourceQuota says of one resource: thousandths of a CPU for CPU, whole units (bytes, devices, pods) for
/// everything else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaLimit {
    /// The most that pods may hold together.
    pub hard: u64,
    /// What pods outside the plan hold of it.
    pub held_by_others: u64,
}

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
    /// Seconds that a restart costs it: checkpoint, start-up and what is trained again.
    pub restart_seconds: f64,
    /// Optimizer steps still to go, where known.
    pub remaining_steps: Option<u64>,
}

impl Job {
    /// What a ResourceQuota counts of one of its pods with so many devices, each requested as `accelerator`.
    pub(crate) fn counts(&self, resource: &str, accelerator: Option<&str>, gpus: u32) -> u64 {
        let Counted { base, per_gpu } = self.counted.get(resource).copied().unwrap_or_default();
        let is_accelerator = accelerator.is_some_and(|name| resource.strip_prefix("requests.") == Some(name));
        base.saturating_add(per_gpu.saturating_add(is_accelerator.into()).saturating_mul(gpus.into()))
    }
}

/// Where a job stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Standing {
    /// Not to be planned, because of the job itself: invalid, suspended, backing off, ... The planner repeats the reason.
    Held {
        /// Why.
        reason: crate::Reason,
        /// One sentence with the numbers behind it.
        message: String,
    },
    /// Waits for devices.
    Waiting,
    /// Holds devices: committed, starting or running.
    Placed(Allocation),
    /// Is giving its devices back (a revision is being stopped); they are not free yet. Plans around it and leaves it.
    Leaving(Allocation),
    /// Is giving its devices back and starts again on others, as an earlier plan decided. Both are kept for it, so that
    /// nobody takes the target while it writes its checkpoint.
    Moving {
        /// What it holds until its pods are gone.
        from: Allocation,
        /// What it will hold.
        to: Target,
    },
}

/// Where a job that is being moved goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its devices.
    pub shape: Shape,
    /// Nodes by pod index.
    pub nodes: Vec<String>,
}

/// The devices that a job holds and how it uses them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Allocation {
    /// Which revision.
    pub revision: u32,
    /// Its devices.
    pub shape: Shape,
    /// Its parallel layout.
    pub layout: Layout,
    /// How its batch is cut.
    pub batch: Batch,
    /// Nodes by pod index.
    pub nodes: Vec<String>,
    /// When this revision was committed.
    pub since: Timestamp,
    /// Whether all its pods run. One that still starts is never moved.
    pub running: bool,
    /// Evidence behind the menu is of this very revision and covers a whole window. Without it nothing moves.
    pub observed: bool,
    /// Observed seconds per step; `None` without evidence.
    pub step_seconds: Option<f64>,
    /// The program re-reads its batch in its loop, so that micro-batch and accumulation may change without a restart.
    pub live_batch: bool,
    /// Moves of this job in the last hour.
    pub moves_last_hour: u32,
    /// When it was last moved or its batch last changed.
    pub last_move: Option<Timestamp>,
}

/// What a ResourceQuota counts of a pod, in the units of [`QuotaLimit`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Without what grows with devices.
    pub base: u64,
    /// What each device adds.
    pub per_gpu: u64,
}

/// What a pod of a job needs of a node, besides devices. The operator's additions are in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PodNeeds {
    /// Requests of all containers and the pod's overhead, without what grows with devices. `pods` counts as 1 at least.
    pub base: Resources,
    /// What each device adds (resourcesPerGPU, /dev/shm).
    pub per_gpu: Resources,
    /// `nodeSelector`.
    pub node_selector: BTreeMap<String, String>,
    /// Required node affinity: terms are alternatives; within a term all expressions must hold. Empty means any node.
    pub node_terms: Vec<Vec<NodeExpression>>,
    /// Tolerations.
    pub tolerations: Vec<Toleration>,
}

/// One expression over a node's labels, or over its name when `field` is true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeExpression {
    /// Label key.
    pub key: String,
    /// True for `matchFields` (`metadata.name`).
    pub field: bool,
    /// In, NotIn, Exists, DoesNotExist, Gt or Lt.
    pub operator: String,
    /// Values to compare with.
    pub values: Vec<String>,
}

/// What a pod tolerates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toleration {
    /// Taint key; empty with `Exists` tolerates everything.
    pub key: String,
    /// `Equal` or `Exists`.
    pub operator: String,
    /// Value for `Equal`.
    pub value: String,
    /// Effect; empty means all.
    pub effect: String,
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
