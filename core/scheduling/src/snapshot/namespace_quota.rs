//! ResourceQuotas: what the pods of a namespace may hold together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Keyed;

/// A ResourceQuota: what the pods of a namespace may hold together, whoever made them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceQuota {
    /// The namespace that it limits.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its limits by resource, in its own words: `pods`, `requests.cpu`, `requests.nvidia.com/gpu`, ...
    pub limits: BTreeMap<String, QuotaLimit>,
}

/// What a ResourceQuota says of one resource: thousandths of a CPU for CPU, whole units (bytes, devices, pods) for
/// everything else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaLimit {
    /// The most that pods may hold together.
    pub hard: u64,
    /// What pods outside the plan hold of it.
    pub held_by_others: u64,
}

impl Keyed for NamespaceQuota {
    type Key = (String, String);

    fn key(&self) -> (String, String) {
        (self.namespace.clone(), self.name.clone())
    }
}

/// What a ResourceQuota counts of a pod, in the units of [`QuotaLimit`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Without what grows with devices.
    pub base: u64,
    /// What each device adds.
    pub per_gpu: u64,
}
