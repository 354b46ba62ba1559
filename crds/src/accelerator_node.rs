//! AcceleratorNode: what the devices of one node do. Made by the operator, owned by the Node; its status is written by
//! that node's agent alone.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// Nothing is asked of a node yet: the operator makes the object, the agent fills its status.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "plimsoll.dev",
    version = "v1alpha1",
    kind = "AcceleratorNode",
    plural = "acceleratornodes",
    shortname = "an",
    category = "plimsoll",
    status = "AcceleratorNodeStatus",
    doc = "What the accelerators of one node do, as its agent sees them through the driver.",
    derive = "PartialEq",
    derive = "Default",
    printcolumn = r#"{"name":"GPUs","type":"integer","jsonPath":".status.deviceCount","description":"Devices that the agent sees"}"#,
    printcolumn = r#"{"name":"Held","type":"integer","jsonPath":".status.heldCount","description":"Devices held by pods"}"#,
    printcolumn = r#"{"name":"SM","type":"integer","jsonPath":".status.smActivityPercent","description":"Mean SM activity of the held devices over the window, in percent"}"#,
    printcolumn = r#"{"name":"Product","type":"string","jsonPath":".status.product","description":"Product of the first device"}"#,
    printcolumn = r#"{"name":"Driver","type":"string","jsonPath":".status.driverVersion","priority":1,"description":"Driver version"}"#,
    printcolumn = r#"{"name":"Observed","type":"date","jsonPath":".status.observedAt","description":"Time since the agent's last word"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp","description":"Age of the object"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct AcceleratorNodeSpec {}

/// What the agent saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AcceleratorNodeStatus {
    /// When the agent last looked. Older than three minutes means unknown, never free or idle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Time>,
    /// Version of the agent that wrote this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub agent_version: Option<String>,
    /// Driver version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub driver_version: Option<String>,
    /// Product of the first device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub product: Option<String>,
    /// Devices that the agent sees.
    #[serde(default)]
    pub device_count: i32,
    /// Devices held by pods.
    #[serde(default)]
    pub held_count: i32,
    /// Mean SM activity of the held devices over the window, in percent; absent when none is held or none could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sm_activity_percent: Option<i32>,
    /// Every device, by index.
    #[serde(default)]
    #[schemars(length(max = 128))]
    pub devices: Vec<Device>,
}

/// One device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// UUID as the driver gives it.
    #[schemars(length(max = 96))]
    pub uuid: String,
    /// Index as the driver gives it; not stable across reboots.
    pub index: i32,
    /// Whether it works.
    pub health: Health,
    /// Memory of the device, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_total_bytes: Option<i64>,
    /// Who holds it; absent when nobody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
    /// What it did over the last window; absent while nothing could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
}

/// Whether a device works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Health {
    /// Readings arrive.
    #[default]
    Healthy,
    /// It is lost or needs a reset.
    Failed,
    /// The driver does not answer in time.
    Unresponsive,
}

/// The container that holds a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// Namespace of the pod.
    #[schemars(length(max = 63))]
    pub namespace: String,
    /// Name of the pod.
    #[schemars(length(max = 253))]
    pub pod: String,
    /// Name of the container.
    #[schemars(length(max = 63))]
    pub container: String,
}

/// Readings over a window in which the holder did not change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// When it began: the holder's start or the window's length ago, whichever is later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Time>,
    /// Seconds that it covers.
    pub seconds: i32,
    /// Readings in it.
    pub samples: i32,
    /// Share of time in which a kernel was resident (duty cycle), in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy_percent: Option<i32>,
    /// SM activity, in thousandths; absent where the device cannot tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sm_activity_permille: Option<i32>,
    /// Which signal SM activity is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sm_signal: Option<SmSignal>,
    /// Tensor core activity, in thousandths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensor_activity_permille: Option<i32>,
    /// Highest memory in use, in bytes: what the allocator keeps, an upper bound of need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_used_bytes: Option<i64>,
    /// Mean power, in watts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_watts: Option<i32>,
    /// Energy, in joules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_joules: Option<i64>,
    /// Highest temperature, in degrees Celsius.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature_celsius: Option<i32>,
}

/// Where SM activity is from, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum SmSignal {
    /// GPU performance monitoring (Hopper and later).
    Gpm,
    /// Process SM samples of the driver (Maxwell and later, without MIG).
    ProcessSm,
}
