//! Where one job stands.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where one job stands. Stored in its status; the default is a new job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The last revision that was committed; 0 before the first.
    pub revision: u32,
    /// Failures of the program in a row. A steady run forgets them.
    pub failures: u32,
    /// Ends in a row that are no fault of the program, or that another size cures: they back off, but never fail the
    /// job. A steady run forgets them.
    pub setbacks: u32,
    /// What it does now.
    pub phase: Phase,
}

/// What a job does now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase")]
pub enum Phase {
    /// Waits for the planner, after `not_before`.
    Waiting {
        /// The end of its backoff, if it backs off.
        not_before: Option<Timestamp>,
        /// Why its last revision ended, if there was one.
        after: Option<StopCause>,
    },
    /// Its user suspended it, and it holds nothing.
    Suspended,
    /// Its revision is decided; its pods are being created and bound.
    Committed {
        /// Since when.
        since: Timestamp,
    },
    /// All its pods are bound; containers are starting.
    Starting {
        /// Since when.
        since: Timestamp,
    },
    /// All its pods run.
    Running {
        /// Since when.
        since: Timestamp,
    },
    /// Its revision is ending, and its devices are not free yet.
    Stopping {
        /// Why.
        why: StopCause,
        /// Since when.
        since: Timestamp,
        /// Until when a requested checkpoint is waited for; `None` once its pods are deleted.
        checkpoint_until: Option<Timestamp>,
    },
    /// The program ended well in all pods. Final.
    Complete,
    /// It was given up. Final.
    Failed {
        /// Why, in a word.
        reason: FailureReason,
        /// One sentence with the numbers behind it.
        message: String,
    },
}

impl Default for Phase {
    fn default() -> Self {
        Self::Waiting { not_before: None, after: None }
    }
}

impl Phase {
    /// Nothing leaves this phase.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Complete | Self::Failed { .. })
    }

    /// The job holds devices, or may hold them.
    pub fn holds_devices(&self) -> bool {
        matches!(self, Self::Committed { .. } | Self::Starting { .. } | Self::Running { .. } | Self::Stopping { .. })
    }
}

/// Why a revision ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase")]
pub enum StopCause {
    /// The planner moves it: the next revision starts as soon as this one is gone.
    Move,
    /// Its user suspended it.
    Suspend,
    /// The trainer ended well in all pods.
    Succeeded,
    /// A device ran out of memory.
    DeviceOutOfMemory,
    /// A container ran out of host memory.
    HostOutOfMemory,
    /// The cluster took a pod or a node away.
    Disrupted,
    /// The program failed.
    ProgramFailed {
        /// Exit code of the trainer container.
        exit_code: i32,
        /// What it left behind, shortened.
        message: String,
    },
    /// An init container failed.
    InitFailed {
        /// Which one, its exit code and its last words.
        message: String,
    },
    /// Somebody wants one of its nodes empty.
    NodeCordoned {
        /// Which node.
        message: String,
    },
    /// Another job gets its devices.
    Preempted {
        /// Why.
        message: String,
    },
    /// Not all pods were bound in time.
    BindTimeout {
        /// What kept one of them, as far as that is known.
        message: String,
    },
    /// Not all containers started in time.
    StartTimeout {
        /// What kept one of them, as far as that is known.
        message: String,
    },
    /// The apiserver refused a pod.
    PodsRejected {
        /// Its sentence.
        message: String,
    },
    /// Somebody else holds devices that the plan gave it.
    NodeTaken {
        /// Which node, and who holds its devices.
        message: String,
    },
    /// A node refused a pod before any of its containers ran.
    RefusedByNode {
        /// The kubelet's word and sentence.
        message: String,
    },
    /// The job is given up.
    GiveUp {
        /// Why, in a word.
        reason: FailureReason,
        /// One sentence with the numbers behind it.
        message: String,
    },
}

impl StopCause {
    /// The cause in a few words, with what is known about it.
    pub fn sentence(&self) -> String {
        match self {
            Self::Move => "it is being moved".into(),
            Self::Suspend => "its user suspended it".into(),
            Self::Succeeded => "the program ended well in all pods".into(),
            Self::DeviceOutOfMemory => "a device ran out of memory".into(),
            Self::HostOutOfMemory => "a container ran out of host memory".into(),
            Self::Disrupted => "the cluster took a pod or a node away".into(),
            Self::ProgramFailed { exit_code, message } if message.is_empty() => {
                format!("the program failed with exit code {exit_code}")
            }
            Self::ProgramFailed { exit_code, message } => {
                format!("the program failed with exit code {exit_code}: {message}")
            }
            Self::BindTimeout { message } => because("not all of its pods were bound in time", message),
            Self::StartTimeout { message } => because("not all of its containers started in time", message),
            Self::PodsRejected { message } => format!("the apiserver refused a pod: {message}"),
            Self::RefusedByNode { message } => format!("its node refused a pod: {message}"),
            Self::InitFailed { message } | Self::NodeCordoned { message } => message.clone(),
            Self::Preempted { message } => because("another job got its devices", message),
            Self::NodeTaken { message } | Self::GiveUp { message, .. } => message.clone(),
        }
    }
}

fn because(what: &str, message: &str) -> String {
    if message.is_empty() { what.to_owned() } else { format!("{what}: {message}") }
}

/// Why a job was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureReason {
    /// It failed more often than its policy allows.
    TooManyFailures,
    /// No size is left that was not seen to run out of memory.
    NoFeasibleSize,
    /// It was active for longer than it may be.
    DeadlineExceeded,
}

impl FailureReason {
    /// The word as it stands in conditions, events and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooManyFailures => "TooManyFailures",
            Self::NoFeasibleSize => "NoFeasibleSize",
            Self::DeadlineExceeded => "DeadlineExceeded",
        }
    }
}
