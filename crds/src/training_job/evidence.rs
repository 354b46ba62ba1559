//! What was learned from running a job: raw observations, from which every correction is derived anew.
//!
//! Observations are stored rather than factors, so that a later version can draw better conclusions from them.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Observations of a job's device memory and step time. Host memory never appears here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// Observations of device memory, oldest first.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub memory: Vec<MemoryEvidence>,
    /// Observations of step time and SM activity, oldest first.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub steps: Vec<StepEvidence>,
}

/// One observation of device memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemoryEvidence {
    /// Class of the device.
    #[schemars(length(max = 63))]
    pub class: String,
    /// Pods.
    pub pods: i32,
    /// Accelerators in each pod.
    pub gpus_per_pod: i32,
    /// Tensor-parallel ranks.
    pub tensor: i32,
    /// The other degrees and options of the layout.
    #[serde(flatten)]
    pub degrees: super::Degrees,
    /// What the data-parallel ranks shared out.
    pub sharding: super::Sharding,
    /// What was computed again in the backward pass.
    pub recompute: super::Recompute,
    /// Micro-batch.
    pub micro_batch: i32,
    /// What was seen.
    pub kind: MemoryEvidenceKind,
    /// Peak of device memory in bytes: of the allocator for a Peak, held plus asked for at the end for a RanOut, where
    /// known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
}

/// What was seen of device memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MemoryEvidenceKind {
    /// The program ran out of it.
    RanOut,
    /// The program reported its peak.
    Peak,
}

/// One observation of step time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepEvidence {
    /// Class of the device.
    #[schemars(length(max = 63))]
    pub class: String,
    /// Pods.
    pub pods: i32,
    /// Accelerators in each pod.
    pub gpus_per_pod: i32,
    /// Tensor-parallel ranks.
    pub tensor: i32,
    /// The other degrees and options of the layout.
    #[serde(flatten)]
    pub degrees: super::Degrees,
    /// What the data-parallel ranks shared out.
    pub sharding: super::Sharding,
    /// What was computed again in the backward pass.
    pub recompute: super::Recompute,
    /// Micro-batch.
    pub micro_batch: i32,
    /// Gradient accumulation steps.
    pub accumulation: i32,
    /// Wall time of an optimizer step, in microseconds.
    pub step_microseconds: i64,
    /// SM activity over the same window, in thousandths.
    pub sm_activity_permille: i32,
}
