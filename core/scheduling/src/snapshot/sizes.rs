//! Sizes that were chosen for all jobs together.

use jiff::Timestamp;
use plimsoll_menu::Shape;
use serde::{Deserialize, Serialize};

use super::{JobKey, Keyed, Table};

/// Sizes that were chosen for all jobs together. They stay until the next round; who comes in between is added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sizes {
    /// When the round was.
    pub chosen_at: Timestamp,
    /// Jobs that were given a size, or none.
    pub jobs: Table<Size>,
    /// How good the round's choice is.
    pub worth: Worth,
}

/// The size that one job should have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Which job.
    pub job: JobKey,
    /// Its devices; `None` when others' progress is worth more than its own.
    pub shape: Option<Shape>,
}

impl Keyed for Size {
    type Key = JobKey;

    fn key(&self) -> JobKey {
        self.job.clone()
    }
}

/// How good the sizes that a plan chose are, by the cluster's objective.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Worth {
    /// What they are worth.
    pub value: f64,
    /// What no choice is worth more than.
    pub bound: f64,
}

impl Worth {
    /// By how much a better choice could be better: a share of the bound, 0 to 1.
    pub fn gap(&self) -> f64 {
        if self.bound > 0.0 { ((self.bound - self.value) / self.bound).clamp(0.0, 1.0) } else { 0.0 }
    }
}
