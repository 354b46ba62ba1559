//! How a job checkpoints, and what may change between two revisions that hand one over.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a job checkpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    /// Folder under which each revision writes a folder of its own.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new("self.startsWith('/')").message("checkpoint.path must be an absolute path"))]
    pub path: String,
    /// Seconds between the program's own checkpoints.
    #[serde(default = "default_interval")]
    #[schemars(range(min = 1, max = 604_800))]
    pub interval_seconds: i32,
    /// Seconds that writing one takes.
    #[serde(default = "default_seconds")]
    #[schemars(range(min = 0, max = 86_400))]
    pub seconds: i32,
    /// SIGTERM makes the program write a checkpoint and end.
    #[serde(default)]
    pub on_signal: bool,
    /// The reply to a progress report can ask for a checkpoint.
    #[serde(default)]
    pub on_request: bool,
    /// What may change between writing and reading one: a running job is moved along these degrees alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "set"))]
    pub portable_across: Vec<Portable>,
}

fn default_interval() -> i32 {
    1800
}

fn default_seconds() -> i32 {
    60
}

/// What may change between writing and reading a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Portable {
    /// The count of data-parallel ranks.
    Data,
    /// The count of tensor-parallel ranks.
    Tensor,
    /// The count of pipeline stages.
    Pipeline,
    /// The count of context-parallel ranks.
    Context,
    /// The count of expert-parallel ranks.
    Expert,
}
