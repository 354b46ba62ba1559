//! What can happen to a job.

use crate::{FailureReason, Outcome};

/// What can happen to a job. An observer may say the same thing again: it changes nothing the second time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The planner starts it.
    StartDecided,
    /// The planner moves it to other devices, or to another cut of its batch that needs a restart.
    MoveDecided {
        /// Before, after and evidence.
        message: String,
    },
    /// The planner gives its devices to another job.
    PreemptDecided {
        /// Why this one.
        message: String,
    },
    /// Its user wants it suspended.
    SuspendAsked,
    /// Its user wants it to go on.
    ResumeAsked,
    /// It is given up: the menu is exhausted, or its time is over.
    GiveUp {
        /// Why, in a word.
        reason: FailureReason,
        /// One sentence with the numbers behind it.
        message: String,
    },
    /// Time has passed.
    Tick {
        /// What keeps a pod of the revision from running, as far as it is known.
        held_up: Option<String>,
    },
    /// A node of the revision takes no pods any more: somebody wants it empty.
    NodeCordoned {
        /// Which revision.
        revision: u32,
        /// Which node.
        message: String,
    },
    /// The apiserver refused a pod of the revision.
    PodsRejected {
        /// Which revision.
        revision: u32,
        /// The apiserver's sentence.
        message: String,
    },
    /// A pod of the revision cannot be bound: somebody else holds the devices that the plan gave it.
    NodeTaken {
        /// Which revision.
        revision: u32,
        /// Which node, and who holds its devices.
        message: String,
    },
    /// All pods of the revision are bound to their nodes.
    AllPodsBound {
        /// Which revision.
        revision: u32,
    },
    /// All containers of the revision have started.
    AllPodsRunning {
        /// Which revision.
        revision: u32,
    },
    /// A checkpoint that was asked for is complete.
    CheckpointWritten {
        /// Which revision.
        revision: u32,
    },
    /// Trainer containers have ended in some pods.
    TrainersEnded {
        /// Which revision.
        revision: u32,
        /// Pods of the revision, ended or not.
        pods: u32,
        /// How it ended in those that have ended. A pod that vanished counts as [`Outcome::Disrupted`].
        outcomes: Vec<Outcome>,
    },
    /// No pod of the revision can run or write any more: each is gone, or in a final phase. Say how trainers ended
    /// first: afterwards nobody listens.
    PodsGone {
        /// Which revision.
        revision: u32,
    },
}

impl Event {
    /// The revision that this is about, if it is about one.
    pub fn revision(&self) -> Option<u32> {
        match self {
            Self::StartDecided
            | Self::MoveDecided { .. }
            | Self::PreemptDecided { .. }
            | Self::SuspendAsked
            | Self::ResumeAsked
            | Self::GiveUp { .. }
            | Self::Tick { .. } => None,
            Self::PodsRejected { revision, .. }
            | Self::NodeTaken { revision, .. }
            | Self::NodeCordoned { revision, .. }
            | Self::AllPodsBound { revision }
            | Self::AllPodsRunning { revision }
            | Self::CheckpointWritten { revision }
            | Self::TrainersEnded { revision, .. }
            | Self::PodsGone { revision } => Some(*revision),
        }
    }
}
