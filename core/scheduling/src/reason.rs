//! The closed list of reasons why a job does not run, in order of precedence.

use serde::{Deserialize, Serialize};

/// Why a job does not run. Earlier reasons win over later ones; the list is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// Its specification cannot be run.
    Invalid,
    /// Its user suspended it.
    Suspended,
    /// The queue that it names does not exist.
    QueueMissing,
    /// Its queue does not admit its namespace or priority class.
    QueueForbidden,
    /// Its queue has spent its budget of this period.
    BudgetExhausted,
    /// No size within its limits fits the memory of an allowed class.
    NoFeasibleSize,
    /// It needs more than its queue may ever hold.
    ExceedsQuota,
    /// It needs more than the cluster has.
    ExceedsCluster,
    /// The apiserver refused its pods.
    PodsRejected,
    /// A ResourceQuota of its namespace leaves too little for its pods.
    WaitingForNamespaceQuota,
    /// It failed and waits before it starts again.
    BackoffAfterFailure,
    /// Its queue holds all that it may hold now.
    WaitingForQuota,
    /// Other jobs are giving back what it is entitled to.
    WaitingForPreemption,
    /// Devices are free, but not near enough to each other.
    WaitingForTopology,
    /// Devices are free, but not on nodes that its pods may use.
    WaitingForNodes,
    /// Too few devices are free.
    WaitingForCapacity,
    /// It has its devices and its pods are starting.
    Starting,
    /// It was not looked at yet.
    Pending,
}

impl Reason {
    /// All reasons, in order of precedence.
    pub const ALL: [Self; 18] = [
        Self::Invalid,
        Self::Suspended,
        Self::QueueMissing,
        Self::QueueForbidden,
        Self::BudgetExhausted,
        Self::NoFeasibleSize,
        Self::ExceedsQuota,
        Self::ExceedsCluster,
        Self::PodsRejected,
        Self::WaitingForNamespaceQuota,
        Self::BackoffAfterFailure,
        Self::WaitingForQuota,
        Self::WaitingForPreemption,
        Self::WaitingForTopology,
        Self::WaitingForNodes,
        Self::WaitingForCapacity,
        Self::Starting,
        Self::Pending,
    ];

    /// The word as it stands in conditions, events and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "Invalid",
            Self::Suspended => "Suspended",
            Self::QueueMissing => "QueueMissing",
            Self::QueueForbidden => "QueueForbidden",
            Self::BudgetExhausted => "BudgetExhausted",
            Self::NoFeasibleSize => "NoFeasibleSize",
            Self::ExceedsQuota => "ExceedsQuota",
            Self::ExceedsCluster => "ExceedsCluster",
            Self::PodsRejected => "PodsRejected",
            Self::WaitingForNamespaceQuota => "WaitingForNamespaceQuota",
            Self::BackoffAfterFailure => "BackoffAfterFailure",
            Self::WaitingForQuota => "WaitingForQuota",
            Self::WaitingForPreemption => "WaitingForPreemption",
            Self::WaitingForTopology => "WaitingForTopology",
            Self::WaitingForNodes => "WaitingForNodes",
            Self::WaitingForCapacity => "WaitingForCapacity",
            Self::Starting => "Starting",
            Self::Pending => "Pending",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
