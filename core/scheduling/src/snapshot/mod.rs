//! An immutable view of the cluster at one instant: all that a plan may depend on.

mod class;
mod event;
mod job;
mod namespace_quota;
mod needs;
mod node;
mod queue;
mod rules;
mod saved;
mod sizes;
mod standing;
mod table;
mod version;

use serde::{Deserialize, Serialize};

pub use class::Class;
pub use event::Event;
pub use job::{Elasticity, Job, JobKey, Mode, TopologyAsk};
pub use namespace_quota::{Counted, NamespaceQuota, QuotaLimit};
pub use needs::{NodeExpression, PodNeeds, Toleration};
pub use node::{Node, Resources, Taint};
pub use queue::{Budget, BudgetUnit, Preemption, Queue, Reclaims, Share, Takes};
pub use rules::{MoveRules, Rules};
pub use saved::Saved;
pub use sizes::{Size, Sizes, Worth};
pub use standing::{Allocation, Standing, Target};
pub use table::{Keyed, Table};
pub use version::Version;

/// The cluster at one instant. The same snapshot and time give the same plan, byte for byte.
///
/// A clone shares everything with its origin, and an [`Event`] copies only the path to what it changes: trying something out
/// and taking it back cost nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Which form of snapshot it was saved in.
    pub version: Version,
    /// Classes of accelerator.
    pub classes: Table<Class>,
    /// Nodes with accelerators.
    pub nodes: Table<Node>,
    /// Keys of the node labels that say where a node stands, the widest domain first (block, rack, ...). The node itself is the
    /// last and has no key here.
    pub topology: Vec<String>,
    /// Queues.
    pub queues: Table<Queue>,
    /// ResourceQuotas of the namespaces that jobs are in.
    #[serde(default, skip_serializing_if = "Table::is_empty")]
    pub namespace_quotas: Table<NamespaceQuota>,
    /// Jobs that are neither complete nor failed.
    pub jobs: Table<Job>,
    /// What the administrator wants.
    pub rules: Rules,
    /// Sizes that the last plan chose or carried on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sizes: Option<Sizes>,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            version: Version,
            classes: Table::default(),
            nodes: Table::default(),
            topology: vec!["topology.kubernetes.io/zone".to_owned()],
            queues: Table::default(),
            namespace_quotas: Table::default(),
            jobs: Table::default(),
            rules: Rules::default(),
            sizes: None,
        }
    }
}
