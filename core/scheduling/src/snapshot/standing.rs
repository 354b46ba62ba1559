//! Where a job stands, and what it holds there.

use jiff::Timestamp;
use plimsoll_menu::{Batch, Layout, Shape};
use serde::{Deserialize, Serialize};

use crate::Reason;

/// Where a job stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Standing {
    /// Not to be planned, because of the job itself: invalid, suspended, backing off, ... The planner repeats the reason.
    Held {
        /// Why.
        reason: Reason,
        /// One sentence with the numbers behind it.
        message: String,
    },
    /// Waits for devices.
    Waiting,
    /// Holds devices: committed, starting or running.
    Placed(Allocation),
    /// Is giving its devices back (a revision is being stopped); they are not free yet. Plans around it and leaves it.
    Leaving(Allocation),
    /// Is giving its devices back and starts again on others, as an earlier plan decided. Both are kept for it, so that
    /// nobody takes the target while it writes its checkpoint.
    Moving {
        /// What it holds until its pods are gone.
        from: Allocation,
        /// What it will hold.
        to: Target,
    },
}

/// Where a job that is being moved goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its devices.
    pub shape: Shape,
    /// Nodes by pod index.
    pub nodes: Vec<String>,
}

/// The devices that a job holds and how it uses them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Allocation {
    /// Which revision.
    pub revision: u32,
    /// Its devices.
    pub shape: Shape,
    /// Its parallel layout.
    pub layout: Layout,
    /// How its batch is cut.
    pub batch: Batch,
    /// Nodes by pod index.
    pub nodes: Vec<String>,
    /// When this revision was committed.
    pub since: Timestamp,
    /// Whether all its pods run. One that still starts is never moved.
    pub running: bool,
    /// Evidence behind the menu is of this very revision and covers a whole window. Without it nothing moves.
    pub observed: bool,
    /// Observed seconds per step; `None` without evidence.
    pub step_seconds: Option<f64>,
    /// The program re-reads its batch in its loop, so that micro-batch and accumulation may change without a restart.
    pub live_batch: bool,
    /// Moves of this job in the last hour.
    pub moves_last_hour: u32,
    /// When it was last moved or its batch last changed.
    pub last_move: Option<Timestamp>,
    /// Seconds of work that it would train again if it stopped now; 0 where it writes a checkpoint when it is asked to.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub checkpoint_age_seconds: f64,
}

fn is_zero(seconds: &f64) -> bool {
    *seconds == 0.0
}
