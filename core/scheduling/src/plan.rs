//! What a cycle decides: one decision for every job of the snapshot.

use jiff::Timestamp;
use plimsoll_menu::{Batch, Candidate, Shape};
use serde::{Deserialize, Serialize};

use crate::{JobKey, Reason, Sizes};

/// One decision per job, in order of job key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What happens to each job.
    pub decisions: Vec<Decision>,
    /// What is kept for jobs that wait, in order of their turns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reservations: Vec<Reservation>,
    /// The size that each job should have. The next snapshot carries them on, so that they stay for a whole round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sizes: Option<Sizes>,
}

/// What is kept for a job that waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reservation {
    /// For whom.
    pub job: JobKey,
    /// Its devices.
    pub shape: Shape,
    /// On which nodes, by name.
    pub nodes: Vec<String>,
    /// From when on, as far as ends can be predicted; `None` once those who hold them are giving them back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Timestamp>,
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
    /// It gives its devices back after a checkpoint, for another job, and waits again.
    Preempt {
        /// Who gets them.
        for_job: JobKey,
        /// One sentence: why this job, and what it loses.
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
    /// What it gives back lets another job run that is entitled to it.
    Reclaimed,
    /// On other nodes it leaves room in one piece that another job needs.
    Consolidated,
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
    /// The most of those nodes that stand in one domain of the level that the job requires; `None` where it requires none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes_together: Option<u32>,
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
    /// When it is expected to start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<StartEstimate>,
    /// The largest size of its menu that would fit now, if it were its turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fits_now: Option<Shape>,
    /// One sentence: what would make it run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would_run: Option<String>,
}

/// When a job is expected to start, in seconds from now.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartEstimate {
    /// If those ahead end as much sooner as ends are known to come.
    pub earliest_seconds: f64,
    /// If they end when predicted.
    pub likely_seconds: f64,
    /// If they end as much later.
    pub latest_seconds: f64,
}
