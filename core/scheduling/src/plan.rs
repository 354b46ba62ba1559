//! What a cycle decides: one decision for every job of the snapshot.

use plimsoll_menu::{Batch, Candidate};
use serde::{Deserialize, Serialize};

use crate::{JobKey, Reason};

/// One decision per job, in order of job key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What happens to each job.
    pub decisions: Vec<Decision>,
}

/// What happens to one job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Which job.
    pub job: JobKey,
    /// What is to be done.
    pub action: Action,
}

/// What is to be done with a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// It stays as it is.
    Keep,
    /// Its first or next revision starts here.
    Start {
        /// How it runs.
        candidate: Candidate,
        /// Nodes by pod index.
        nodes: Vec<String>,
    },
    /// Its running revision ends after a checkpoint, and another starts in its place once its devices are back.
    Move {
        /// How it will run.
        candidate: Candidate,
        /// Nodes by pod index; may include nodes that it holds now.
        nodes: Vec<String>,
        /// Why.
        cause: Cause,
        /// One sentence: before, after and evidence.
        message: String,
    },
    /// Its running pods are told another cut of the same global batch.
    LiveBatch {
        /// The new cut.
        batch: Batch,
        /// The candidate behind it, for the prediction.
        candidate: Candidate,
        /// One sentence: before, after and evidence.
        message: String,
    },
    /// It waits.
    Wait {
        /// Why, from the closed list.
        reason: Reason,
        /// The numbers behind it.
        numbers: WaitNumbers,
        /// One sentence with those numbers.
        message: String,
    },
}

/// Why a running job is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// Its devices stay below the load line.
    UnderUsed,
    /// Its devices are loaded past the memory line.
    OverLoaded,
    /// Another size or class finishes sooner by more than the move costs.
    Faster,
}

/// The numbers behind a reason to wait. What does not apply is 0 or `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WaitNumbers {
    /// The class that the most preferred candidate wants.
    pub class: Option<String>,
    /// Devices that it needs.
    pub needs_gpus: u32,
    /// Pods that it needs nodes for.
    pub needs_pods: u32,
    /// Devices in each pod.
    pub gpus_per_pod: u32,
    /// Nodes that could take one of its pods now.
    pub nodes_that_fit: u32,
    /// Devices of the class free now, anywhere.
    pub free_gpus: u32,
    /// Devices of the class in all.
    pub cluster_gpus: u32,
    /// Devices of the class that its queue may hold; `None` without a limit.
    pub queue_limit: Option<u32>,
    /// Devices of the class that its queue holds now.
    pub queue_held: u32,
    /// Devices that leaving or moving jobs will give back.
    pub coming_gpus: u32,
    /// The jobs that give them back, in order of their keys.
    pub coming_from: Vec<JobKey>,
    /// Its place among the waiting jobs of its queue, from 1.
    pub position: u32,
    /// Waiting jobs of its queue.
    pub waiting: u32,
}
