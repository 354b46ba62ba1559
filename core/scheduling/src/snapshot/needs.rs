//! What the pods of a job need of a node.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Resources;

/// What a pod of a job needs of a node, besides devices. The operator's additions are in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PodNeeds {
    /// Requests of all containers and the pod's overhead, without what grows with devices. `pods` counts as 1 at least.
    pub base: Resources,
    /// What each device adds (resourcesPerGPU, /dev/shm).
    pub per_gpu: Resources,
    /// `nodeSelector`.
    pub node_selector: BTreeMap<String, String>,
    /// Required node affinity: terms are alternatives; within a term all expressions must hold. Empty means any node.
    pub node_terms: Vec<Vec<NodeExpression>>,
    /// Tolerations.
    pub tolerations: Vec<Toleration>,
}

/// One expression over a node's labels, or over its name when `field` is true.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeExpression {
    /// Label key.
    pub key: String,
    /// True for `matchFields` (`metadata.name`).
    pub field: bool,
    /// In, NotIn, Exists, DoesNotExist, Gt or Lt.
    pub operator: String,
    /// Values to compare with.
    pub values: Vec<String>,
}

/// What a pod tolerates.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Toleration {
    /// Taint key; empty with `Exists` tolerates everything.
    pub key: String,
    /// `Equal` or `Exists`.
    pub operator: String,
    /// Value for `Equal`.
    pub value: String,
    /// Effect; empty means all.
    pub effect: String,
}
