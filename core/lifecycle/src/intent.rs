//! What is to be done about an event.

/// What is to be done about an event, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Create the pods of the revision; one that exists already is a success.
    CreatePods {
        /// Which revision.
        revision: u32,
    },
    /// Ask the program for a checkpoint. It goes on training until its pods are deleted.
    AskCheckpoint {
        /// Which revision.
        revision: u32,
    },
    /// Delete the pods of the revision that have not ended; those that have may stay for their logs.
    DeletePods {
        /// Which revision.
        revision: u32,
        /// Seconds between the signal and the kill.
        grace_seconds: u64,
    },
    /// Remember that the revision's size ran out of memory. Said once for each ledger.
    RecordMemoryEvidence {
        /// Which revision.
        revision: u32,
        /// Which memory.
        ledger: Ledger,
        /// The peak that the program reported, in bytes.
        peak_bytes: Option<u64>,
    },
    /// Tell the user.
    ReportEvent {
        /// What happened, in a word.
        reason: EventReason,
        /// What happened, in a sentence.
        message: String,
    },
}

/// Which memory ran out. Evidence in one ledger never says anything about the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ledger {
    /// Memory of an accelerator: smaller micro-batches or stronger sharding.
    Device,
    /// Memory of the host: more per device, fewer loader workers, less offload.
    Host,
}

/// What happened to a job, as the reason of a Kubernetes Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventReason {
    /// A revision was decided.
    Committed,
    /// All its pods run.
    Running,
    /// It is being moved.
    Moving,
    /// Another job gets its devices.
    Preempted,
    /// It is being suspended.
    Suspending,
    /// It goes on after a suspension.
    Resumed,
    /// A device or a container ran out of memory.
    OutOfMemory,
    /// The cluster took a pod or a node away.
    Disrupted,
    /// The program failed, or did not start.
    ProgramFailed,
    /// Its pods were not bound in time, or were refused.
    TakenBack,
    /// Somebody else holds devices that the plan gave it.
    NodeTaken,
    /// A node refused one of its pods.
    RefusedByNode,
    /// It leaves a node that somebody wants empty.
    NodeCordoned,
    /// The program ended well.
    Completed,
    /// It was given up.
    Failed,
}

impl EventReason {
    /// The word as it stands in the Event.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "Committed",
            Self::Running => "Running",
            Self::Moving => "Moving",
            Self::Preempted => "Preempted",
            Self::Suspending => "Suspending",
            Self::Resumed => "Resumed",
            Self::OutOfMemory => "OutOfMemory",
            Self::Disrupted => "Disrupted",
            Self::ProgramFailed => "ProgramFailed",
            Self::TakenBack => "TakenBack",
            Self::NodeTaken => "NodeTaken",
            Self::RefusedByNode => "RefusedByNode",
            Self::NodeCordoned => "NodeCordoned",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
        }
    }

    /// Whether the Event is of type Warning.
    pub fn is_warning(self) -> bool {
        match self {
            Self::OutOfMemory | Self::Disrupted | Self::ProgramFailed | Self::Failed => true,
            Self::TakenBack | Self::NodeTaken | Self::RefusedByNode => true,
            Self::Committed | Self::Running | Self::Moving | Self::NodeCordoned => false,
            Self::Preempted | Self::Suspending | Self::Resumed | Self::Completed => false,
        }
    }
}
