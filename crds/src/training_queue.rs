//! TrainingQueue: what a team may hold.

mod preemption;
mod spending;
mod status;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

pub use preemption::{QueuePreemption, Reclaim, WithinQueue};
pub use spending::{BudgetUnit, Period, QueueBudget};
pub use status::{BudgetUse, Cost, DailyUsage, FairShare, HeldClass, PeriodUsage, TrainingQueueStatus};

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
    validation = Rule::new("!has(self.spec.parentName) || self.spec.parentName != self.metadata.name").message("spec.parentName must name another queue: a queue cannot be part of itself"),
    printcolumn = r#"{"name":"Parent","type":"string","jsonPath":".spec.parentName","description":"Queue that it is part of"}"#,
    printcolumn = r#"{"name":"Waiting","type":"integer","jsonPath":".status.waitingJobs","description":"Jobs that wait"}"#,
    printcolumn = r#"{"name":"Running","type":"integer","jsonPath":".status.runningJobs","description":"Jobs that hold accelerators"}"#,
    printcolumn = r#"{"name":"Held","type":"string","jsonPath":".status.summary","description":"Accelerators held of what the queue may hold, per class"}"#,
    printcolumn = r#"{"name":"Borrowed","type":"integer","jsonPath":".status.borrowedGpus","description":"Accelerators held beyond its own quota"}"#,
    printcolumn = r#"{"name":"Weight","type":"integer","jsonPath":".spec.weight","priority":1,"description":"Its part of what is lent, beside its siblings"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp","description":"Age of the object"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.parentName) || !has(self.classes) || self.classes.all(c, !has(c.borrowingLimit) && !has(c.lendingLimit))").message("classes[].borrowingLimit and classes[].lendingLimit need parentName: a queue without a parent borrows from nobody and lends to nobody"))]
pub struct TrainingQueueSpec {
    /// The queue that it is part of: queues of one parent lend each other what they do not use. A queue without a parent
    /// stands alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub parent_name: Option<String>,
    /// Namespaces whose jobs may use the queue, by their labels; absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// What the queue may hold of each class. Absent or empty means no limit on any class; otherwise a class that is
    /// not listed is not allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["class"]))]
    pub classes: Vec<QueueClass>,
    /// Its part of what is lent, beside the other queues of its parent; 1 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub weight: Option<i32>,
    /// Whose accelerators its waiting jobs may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preemption: Option<QueuePreemption>,
    /// What its jobs may spend. Once one is spent, no job of the queue or of those below it starts until the next period; what
    /// runs goes on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 12), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["unit", "period"]))]
    pub budgets: Vec<QueueBudget>,
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
    /// Accelerators of the class that are the queue's own. The queues below it add theirs to what they share.
    #[schemars(range(min = 0, max = 100_000))]
    pub nominal_quota: i32,
    /// Most accelerators that it may hold beyond its own while the queues of its parent do not use theirs; all that they lend
    /// unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub borrowing_limit: Option<i32>,
    /// Most accelerators of its own that it lends while it does not use them; all of them unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub lending_limit: Option<i32>,
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
