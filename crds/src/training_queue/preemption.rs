//! Whose accelerators the waiting jobs of a queue may take.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whose accelerators the waiting jobs of a queue may take. What is taken is given back after a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueuePreemption {
    /// Of jobs of the same queue.
    #[serde(default)]
    pub within_queue: WithinQueue,
    /// Of jobs of queues that hold more than is their own, up to what is its own.
    #[serde(default)]
    pub reclaim: Reclaim,
}

/// Whom a waiting job may take accelerators from, within its queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WithinQueue {
    /// Nobody.
    Never,
    /// Jobs of lower priority.
    #[default]
    LowerPriority,
}

/// Whom a waiting job may take accelerators from that its queue has lent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Reclaim {
    /// Nobody.
    Never,
    /// Jobs of lower priority.
    LowerPriority,
    /// Any job.
    #[default]
    Any,
}
