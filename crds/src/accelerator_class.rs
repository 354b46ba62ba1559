//! AcceleratorClass: a kind of accelerator that the cluster has, and how full its devices should be.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::Condition};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Figures of a class. The operator fills them from its catalogue for products that are present, field by field and
/// without force, so that an administrator's value wins.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "plimsoll.dev",
    version = "v1alpha1",
    kind = "AcceleratorClass",
    plural = "acceleratorclasses",
    shortname = "ac",
    category = "plimsoll",
    status = "AcceleratorClassStatus",
    doc = "A class of accelerator: which nodes have it, by what resource it is requested, and its figures.",
    derive = "PartialEq",
    derive = "Default",
    validation = Rule::new("self.metadata.name.size() <= 63").message("metadata.name must be at most 63 characters long: it is named in jobs, queues and labels"),
    printcolumn = r#"{"name":"Resource","type":"string","jsonPath":".spec.resourceName","description":"Extended resource that its devices are requested by"}"#,
    printcolumn = r#"{"name":"Memory","type":"string","jsonPath":".spec.memory","description":"Usable memory of a device"}"#,
    printcolumn = r#"{"name":"Nodes","type":"integer","jsonPath":".status.nodes","description":"Nodes that have it"}"#,
    printcolumn = r#"{"name":"GPUs","type":"integer","jsonPath":".status.gpus","description":"Devices that the kubelets offer"}"#,
    printcolumn = r#"{"name":"Held","type":"integer","jsonPath":".status.heldGpus","description":"Devices held by TrainingJobs"}"#,
    printcolumn = r#"{"name":"Signal","type":"string","jsonPath":".spec.signal","description":"Best signal of SM activity"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp","description":"Age of the object"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct AcceleratorClassSpec {
    /// Labels that a node of the class has, all of them.
    #[x_kube(validation = Rule::new("self.size() >= 1").message("nodeSelector must name at least one label"))]
    #[schemars(extend("maxProperties" = 16))]
    pub node_selector: BTreeMap<String, String>,
    /// Extended resource that its devices are requested by, such as `nvidia.com/gpu`.
    #[schemars(length(min = 3, max = 253))]
    #[x_kube(validation = Rule::new("self.contains('/')").message("resourceName must be a qualified name such as nvidia.com/gpu"))]
    pub resource_name: String,
    /// Its devices are slices of others (MIG), of which a pod gets one; so where the resource's name begins with mig-, unless
    /// given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitioned: Option<bool>,
    /// Usable memory of a device.
    pub memory: Quantity,
    /// Memory bandwidth in bytes per second.
    pub bandwidth_bytes_per_second: Quantity,
    /// Dense peak of arithmetic per precision, in FLOP per second.
    pub peak_flops: PeakFlops,
    /// Bandwidth between devices of a node, one direction, in bytes per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_bytes_per_second: Option<Quantity>,
    /// Bandwidth between nodes per device, one direction, in bytes per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_bytes_per_second: Option<Quantity>,
    /// Board power limit in watts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub watts: Option<i32>,
    /// What one device costs an hour, in the money of whoever runs the cluster; jobs are compared by it where all classes
    /// have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("quantity(string(self)).isGreaterThan(quantity('0'))").message("pricePerHour must be above 0; leave it out where nobody said"))]
    pub price_per_hour: Option<Quantity>,
    /// How full its devices should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_line: Option<ClassLoadLine>,
    /// Best signal of SM activity that its devices have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<ClassSignal>,
}

impl AcceleratorClassSpec {
    /// Whether its devices are slices of others: as given, else by the name of the resource.
    pub fn is_partitioned(&self) -> bool {
        let slices = || self.resource_name.split_once('/').is_some_and(|(_, name)| name.starts_with("mig-"));
        self.partitioned.unwrap_or_else(slices)
    }
}

/// Dense peak of arithmetic per precision, without sparsity. A precision that is absent cannot be computed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.fp32) || has(self.tf32) || has(self.fp16) || has(self.bf16) || has(self.fp8)").message("peakFlops must have at least one precision"))]
pub struct PeakFlops {
    /// 32-bit floating point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fp32: Option<Quantity>,
    /// TF32 on tensor cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tf32: Option<Quantity>,
    /// 16-bit floating point on tensor cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fp16: Option<Quantity>,
    /// bfloat16 on tensor cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bf16: Option<Quantity>,
    /// 8-bit floating point on tensor cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fp8: Option<Quantity>,
}

/// The load line of a class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClassLoadLine {
    /// SM activity below which a job counts as under-used, in percent; 60 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 99))]
    pub low_activity_percent: Option<i32>,
    /// Share of usable memory that a plan may fill, in percent; 92 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 98))]
    pub memory_percent: Option<i32>,
}

/// The best signal of SM activity that a class has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClassSignal {
    /// GPU performance monitoring (Hopper and later).
    Gpm,
    /// Process SM samples of the driver.
    ProcessSM,
    /// None: only duty cycle and power.
    None,
}

/// Where a class is present.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AcceleratorClassStatus {
    /// Conditions: Ready, Conflicting.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Nodes that have it.
    #[serde(default)]
    pub nodes: i32,
    /// Devices that the kubelets offer.
    #[serde(default)]
    pub gpus: i32,
    /// Devices held by TrainingJobs.
    #[serde(default)]
    pub held_gpus: i32,
}
