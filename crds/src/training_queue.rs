//! TrainingQueue: what a team may hold.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the jobs of a queue may hold, and who may use it.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "plimsoll.dev",
    version = "v1alpha1",
    kind = "TrainingQueue",
    plural = "trainingqueues",
    shortname = "tq",
    category = "plimsoll",
    status = "TrainingQueueStatus",
    doc = "A queue of training jobs: who may use it and how many accelerators of each class its jobs may hold.",
    derive = "PartialEq",
    derive = "Default",
    validation = Rule::new("self.metadata.name.size() <= 63").message("metadata.name must be at most 63 characters long: jobs name it"),
    printcolumn = r#"{"name":"Waiting","type":"integer","jsonPath":".status.waitingJobs","description":"Jobs that wait"}"#,
    printcolumn = r#"{"name":"Running","type":"integer","jsonPath":".status.runningJobs","description":"Jobs that hold accelerators"}"#,
    printcolumn = r#"{"name":"Held","type":"string","jsonPath":".status.summary","description":"Accelerators held of what the queue may hold, per class"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp","description":"Age of the object"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct TrainingQueueSpec {
    /// Namespaces whose jobs may use the queue, by their labels; absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// What the queue may hold of each class. Absent or empty means no limit on any class; otherwise a class that is
    /// not listed is not allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["class"]))]
    pub classes: Vec<QueueClass>,
    /// Priority classes that jobs of the queue may name; absent or empty means none but the default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub allowed_priority_classes: Vec<String>,
    /// Limits on moving the running jobs of the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rightsizing: Option<QueueRightsizing>,
}

/// What a queue may hold of one class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueClass {
    /// Name of an AcceleratorClass.
    #[schemars(length(min = 1, max = 63))]
    pub class: String,
    /// Accelerators of the class that the queue's jobs may hold at once.
    #[schemars(range(min = 0, max = 100_000))]
    pub nominal_quota: i32,
}

/// Limits on moving running jobs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueRightsizing {
    /// Moves that one job may make in an hour; 0 stops all moves in this queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 60))]
    pub moves_per_job_hour: Option<i32>,
}

/// What a queue holds now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrainingQueueStatus {
    /// Conditions: Ready.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Jobs that wait.
    #[serde(default)]
    pub waiting_jobs: i32,
    /// Jobs that hold accelerators.
    #[serde(default)]
    pub running_jobs: i32,
    /// Held of what it may hold, per class, such as `h100-sxm5-80gb 8/16`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub summary: Option<String>,
    /// What the queue holds of each class.
    #[serde(default)]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["class"]))]
    pub held: Vec<HeldClass>,
}

/// What a queue holds of one class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeldClass {
    /// Name of the class.
    #[schemars(length(max = 63))]
    pub class: String,
    /// Accelerators held.
    pub gpus: i32,
}
