//! What sizing offers: candidates in order of preference, and what it left out and why.

use serde::{Deserialize, Serialize};

use crate::{Batch, ClassName, Layout, Shape};

/// Whether a prediction lies within the device's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Fit {
    /// Below the memory line of the class.
    Fits,
    /// Between the memory line and what the device holds.
    Tight,
}

/// What sizing expects of a candidate, after learned corrections.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Peak device memory on the fullest device, in bytes.
    pub device_memory_bytes: u64,
    /// Wall time of one optimizer step, in seconds.
    pub step_seconds: f64,
    /// Share of a step in which the streaming multiprocessors work, 0 to 1.
    pub sm_activity: f64,
    /// Model FLOPs utilization against the dense peak of the class, 0 to 1.
    pub mfu: f64,
}

/// One way to run a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Which devices.
    pub shape: Shape,
    /// How the job is spread over them.
    pub layout: Layout,
    /// How the global batch is cut.
    pub batch: Batch,
    /// What is expected of it.
    pub predicted: Prediction,
    /// How near the memory line it is.
    pub fit: Fit,
    /// Whether the predicted activity is at or above the load line of the class.
    pub in_band: bool,
    /// Whether no other candidate of the menu is at least as good in time, device-hours, energy and money (where every
    /// class has a price) and better in one of them. One that is not may still be what is free.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub efficient: bool,
}

/// Why an alternative is not on the menu.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RejectionReason {
    /// Predicted device memory is above what the class holds.
    DeviceMemory,
    /// This size, or a smaller one, ran out of device memory before.
    RanOutOfMemory,
    /// The global batch does not divide over the ranks.
    BatchDoesNotDivide,
    /// The count is outside the job's own limits.
    OutsideLimits,
    /// Fewer devices of the class take no longer.
    Dominated,
    /// Its step would take too long compared with what was observed.
    TooSlow,
    /// The class cannot compute the job's precision.
    Precision,
}

/// An alternative that was looked at and left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rejection {
    /// The class looked at.
    pub class: ClassName,
    /// Devices in all.
    pub gpus: u32,
    /// Why it is not offered.
    pub reason: RejectionReason,
    /// One sentence with the numbers behind it.
    pub message: String,
}

/// All ways to run a job, the most preferred first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Menu {
    /// Candidates in order of preference; empty when nothing is feasible.
    pub candidates: Vec<Candidate>,
    /// What was left out, at most a handful per class.
    pub rejected: Vec<Rejection>,
}
