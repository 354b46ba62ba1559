//! The status of a TrainingJob: Plimsoll's.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ComputeOptimality, Degrees, Evidence, Recompute, Sharding};

/// Where a job stands, what it holds, what was predicted and what was seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrainingJobStatus {
    /// Generation of the specification that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions: Valid, Sized, Admitted, Suspended, Running, Reporting, Efficient, ComputeOptimal, Complete,
    /// Failed.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Where the job stands, in a word or two: the State column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub summary: Option<String>,
    /// Why it does not run; absent while it runs and when it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// The revision in force; absent while nothing is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation: Option<Allocation>,
    /// The revision that starts once the one in force is gone; present while the job is being moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Allocation>,
    /// What was predicted for the revision in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted: Option<Predicted>,
    /// What was seen of the revision in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<Observed>,
    /// Whether parameters and data fit each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute_optimality: Option<ComputeOptimality>,
    /// How far training is, as the program reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// When training ends at the pace that was seen, or predicted until there is one; present while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta: Option<Time>,
    /// Alternatives that were looked at and left out.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub rejected: Vec<Rejected>,
    /// What was learned from running the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// What was learned about its host memory, once the kernel has ended a pod of it for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_memory: Option<HostMemory>,
    /// The state machine of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Lifecycle>,
    /// Counts since the job was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counters: Option<Counters>,
}

/// Why a job does not run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// The reason, from a closed list.
    #[schemars(length(max = 63))]
    pub reason: String,
    /// One sentence with the numbers behind it.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// Since when it is this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Its place among the waiting jobs of its queue, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<i32>,
    /// Accelerators that it needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs_gpus: Option<i32>,
    /// Accelerators of the class that are free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_gpus: Option<i32>,
    /// Nodes that could take one of its pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes_that_fit: Option<i32>,
    /// Accelerators that other jobs are giving back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coming_gpus: Option<i32>,
    /// When it is expected to start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<StartEstimate>,
    /// The largest of its sizes that would fit now, if it were its turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fits_now: Option<FitsNow>,
    /// What would make it run, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub would_run: Option<String>,
}

/// When a job is expected to start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct StartEstimate {
    /// If those ahead end as much sooner as ends are known to come.
    pub earliest: Time,
    /// If they end when predicted.
    pub likely: Time,
    /// If they end as much later.
    pub latest: Time,
}

/// A size that would fit now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FitsNow {
    /// Class of its accelerators.
    #[schemars(length(max = 63))]
    pub class: String,
    /// Accelerators in all.
    pub gpus: i32,
    /// Pods, each on a node of its own.
    pub pods: i32,
}

/// A revision of the allocation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Allocation {
    /// Its number, from 1. Pods are named `<job>-r<revision>-<index>`.
    pub revision: i32,
    /// Class of its accelerators.
    #[schemars(length(max = 63))]
    pub class: String,
    /// Accelerators in all.
    pub gpus: i32,
    /// Pods, each on a node of its own.
    pub pods: i32,
    /// Accelerators in each pod.
    pub gpus_per_pod: i32,
    /// Nodes by pod index.
    #[serde(default)]
    #[schemars(length(max = 4096), inner(length(max = 253)))]
    pub nodes: Vec<String>,
    /// Data-parallel ranks.
    pub data_parallel: i32,
    /// Tensor-parallel ranks.
    pub tensor_parallel: i32,
    /// The other degrees and options of its layout.
    #[serde(flatten)]
    pub degrees: Degrees,
    /// What the data-parallel ranks share out.
    pub sharding: Sharding,
    /// What is computed again in the backward pass.
    pub recompute: Recompute,
    /// Micro-batch.
    pub micro_batch: i32,
    /// Gradient accumulation steps.
    pub gradient_accumulation: i32,
    /// Samples per optimizer step.
    pub global_batch: i32,
    /// Micro-batch x accumulation x data-parallel ranks, as text: the Batch column.
    #[schemars(length(max = 63))]
    pub batch: String,
    /// When it was committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed_at: Option<Time>,
    /// When its batch was last changed without a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_batch_at: Option<Time>,
    /// Why it is this one: the evidence behind it in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub because: Option<String>,
}

/// What was predicted for the revision in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Predicted {
    /// Peak device memory on the fullest device, in bytes.
    pub device_memory_bytes: i64,
    /// Wall time of an optimizer step, in milliseconds.
    pub step_milliseconds: i64,
    /// SM activity, in percent.
    pub sm_activity_percent: i32,
    /// Model FLOPs utilization against the dense peak of the class, in thousandths.
    pub mfu_permille: i32,
}

/// What was seen of the revision in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Observed {
    /// Peak device memory that the program reported, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_memory_bytes: Option<i64>,
    /// Wall time of an optimizer step, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_milliseconds: Option<i64>,
    /// SM activity over the last window, mean over its accelerators, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sm_activity_percent: Option<i32>,
    /// The same as text, such as `72%`: the Use column.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub use_: Option<String>,
    /// Seconds that the window covers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_seconds: Option<i32>,
}

/// How far training is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Optimizer steps done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<i64>,
    /// Optimizer steps in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_steps: Option<i64>,
    /// Percent of all steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<i32>,
    /// Tokens trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<i64>,
    /// Samples trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<i64>,
    /// Training loss, in thousandths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_milli: Option<i64>,
    /// Step of the newest complete checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_step: Option<i64>,
    /// Revision that wrote the newest complete checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_revision: Option<i32>,
    /// When the program last reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported_at: Option<Time>,
}

/// What is known about a job's host memory since the kernel ended a container of it (OOMKilled). Device memory never
/// appears here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostMemory {
    /// Memory of the trainer container that was ended, in bytes: its limit, or its request where it had no limit.
    pub killed_at_bytes: i64,
    /// What a pod of as many accelerators has got since, in bytes.
    pub given_bytes: i64,
    /// Accelerators of that pod.
    pub gpus_per_pod: i32,
    /// Memory that each accelerator brings beyond resourcesPerGPU, in bytes.
    pub extra_bytes_per_gpu: i64,
}

/// An alternative that was left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rejected {
    /// Class looked at.
    #[schemars(length(max = 63))]
    pub class: String,
    /// Accelerators in all.
    pub gpus: i32,
    /// Why not.
    #[schemars(length(max = 63))]
    pub reason: String,
    /// One sentence with the numbers behind it.
    #[schemars(length(max = 512))]
    pub message: String,
}

/// The state machine of a job, as far as it must survive a restart of the operator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lifecycle {
    /// Where it is.
    #[serde(default)]
    pub state: LifecycleState,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Not to be started before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
    /// Why its revision is being stopped, or, while it waits, why its last one ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub stop_cause: Option<String>,
    /// What is known about that cause: the program's or the apiserver's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub stop_message: Option<String>,
    /// Exit code of the program, where that is the cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_exit_code: Option<i32>,
    /// When stopping turns to force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Time>,
    /// The newest revision ever committed.
    #[serde(default)]
    pub last_revision: i32,
    /// Failures of the program in a row; a steady run forgets them.
    #[serde(default)]
    pub failures: i32,
    /// Ends in a row that are no fault of the program; they back off, but never fail the job.
    #[serde(default)]
    pub setbacks: i32,
    /// Pod indices of the live revision whose trainer has exited with code 0.
    #[serde(default)]
    #[schemars(length(max = 4096))]
    pub succeeded_pods: Vec<i32>,
    /// Why it failed, in a word, once it has or is about to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub failure_reason: Option<String>,
    /// Why it failed, in a sentence, once it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub failure: Option<String>,
}

/// States of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LifecycleState {
    /// Holds nothing and waits for devices.
    #[default]
    Waiting,
    /// Holds nothing, because its user suspended it.
    Suspended,
    /// A revision is committed; its pods are being created and bound.
    Committed,
    /// All its pods are bound; containers are starting.
    Starting,
    /// All its pods run.
    Running,
    /// Its revision is being stopped.
    Stopping,
    /// It has ended well.
    Complete,
    /// It has ended badly.
    Failed,
}

/// Counts since a job was created.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Counters {
    /// Failures of the program that count against failurePolicy.
    #[serde(default)]
    pub failures: i32,
    /// Times that it ran out of device memory.
    #[serde(default)]
    pub device_out_of_memory: i32,
    /// Times that it ran out of host memory.
    #[serde(default)]
    pub host_out_of_memory: i32,
    /// Disruptions.
    #[serde(default)]
    pub disruptions: i32,
    /// Moves to another allocation.
    #[serde(default)]
    pub moves: i32,
    /// Changes of the batch without a restart.
    #[serde(default)]
    pub live_batches: i32,
    /// Times of the newest moves, at most an hour old.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub recent_moves: Vec<Time>,
}
