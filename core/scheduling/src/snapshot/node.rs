//! Nodes, and what they offer.

use std::collections::BTreeMap;

use plimsoll_menu::ClassName;
use serde::{Deserialize, Serialize};

use super::Keyed;

/// Amounts of the resources of a node or a pod, besides accelerators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
    /// Its devices are slices of others (MIG): a pod gets one of them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partitioned: bool,
    /// Free devices in each set of those that are linked with each other (NVLink), where its agent says so; empty when all
    /// are linked alike.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<u32>,
    /// The nodes whose devices are linked with its own as if they were in one (a multi-node NVLink domain).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_domain: Option<String>,
}

impl Keyed for Node {
    type Key = String;

    fn key(&self) -> String {
        self.name.clone()
    }
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
