//! Which accelerators a job may have, how many, and what comes with each.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Which accelerators, and how many.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.min) || !has(self.max) || self.min <= self.max").message("accelerators.min must not be above accelerators.max"))]
#[x_kube(validation = Rule::new("!has(self.requested) || !has(self.max) || self.requested <= self.max").message("accelerators.requested must not be above accelerators.max"))]
#[x_kube(validation = Rule::new("!has(self.requested) || !has(self.min) || self.requested >= self.min").message("accelerators.requested must not be below accelerators.min"))]
#[x_kube(validation = Rule::new("!has(self.perPod) || !has(self.requested) || self.requested % self.perPod == 0").message("accelerators.requested must be a multiple of accelerators.perPod"))]
#[x_kube(validation = Rule::new("has(self.max) || has(self.requested) || !has(self.min) || self.min <= 8").message("accelerators.max or accelerators.requested is required when accelerators.min is above 8"))]
pub struct Accelerators {
    /// Names of AcceleratorClasses that the job may run on; empty means any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub classes: Vec<String>,
    /// Fewest accelerators; 1 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_536))]
    pub min: Option<i32>,
    /// Most accelerators; `requested` unless given, and 8 without either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_536))]
    pub max: Option<i32>,
    /// The count that the user would have asked for; the count of mode Off, and where mode Auto starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_536))]
    pub requested: Option<i32>,
    /// Accelerators in each pod, where the program needs a certain number; chosen unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 128))]
    pub per_pod: Option<i32>,
    /// Other resources that each accelerator brings to the trainer container.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "resourcesPerGPU")]
    pub resources_per_gpu: Option<ResourcesPerGpu>,
}

/// Resources per accelerator, by resource name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourcesPerGpu {
    /// CPU cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quantity>,
    /// Host memory; /dev/shm counts in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
    /// Ephemeral storage.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "ephemeral-storage")]
    pub ephemeral_storage: Option<Quantity>,
}

impl ResourcesPerGpu {
    /// The amounts by resource name.
    pub fn amounts(&self) -> BTreeMap<&'static str, &Quantity> {
        [("cpu", &self.cpu), ("memory", &self.memory), ("ephemeral-storage", &self.ephemeral_storage)]
            .into_iter()
            .filter_map(|(name, amount)| amount.as_ref().map(|a| (name, a)))
            .collect()
    }
}
