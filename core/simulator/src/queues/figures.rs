//! What came out.

/// Waits of one class of workloads.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClassWait {
    /// Mean seconds from creation to the first admission.
    pub mean_seconds: f64,
    /// The longest.
    pub most_seconds: f64,
}

/// Figures of a whole scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueFigures {
    /// Virtual seconds from the first arrival to the last end.
    pub seconds: f64,
    /// Units in use over units of nominal quota, averaged over that time, 0 to 1. Work that was lost counts as use, as it does
    /// in Kueue.
    pub usage: f64,
    /// Waits, in the order of the scenario's sets.
    pub admission: [ClassWait; 3],
    /// Workloads that were preempted.
    pub preemptions: u32,
    /// Plans that were made.
    pub plans: u32,
}
