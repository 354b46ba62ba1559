//! A job as the planner sees it.

/// One size that a job may have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Offer {
    /// The class, as index into the capacity.
    pub class: usize,
    /// GPUs; above 0.
    pub gpus: u32,
    /// Progress per second, in the unit of [`Job::remaining`]; above 0.
    pub rate: f64,
    /// Whether the job may have it now; an offer for later bears on prices alone.
    pub now: bool,
}

/// What a running job holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Running {
    /// The class.
    pub class: usize,
    /// GPUs.
    pub gpus: u32,
    /// Seconds since its size last changed.
    pub since_seconds: f64,
    /// Whether it must keep what it holds, such as while it restores.
    pub pinned: bool,
}

/// A job that waits or runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// What one second of its completion time counts; 1 for plain average completion time, above 0.
    pub weight: f64,
    /// Progress that is left, in any unit; above 0.
    pub remaining: f64,
    /// Seconds that a start or a change of size holds GPUs without progress.
    pub restart_seconds: f64,
    /// What it holds.
    pub running: Option<Running>,
    /// Whether its rates rest on something known of it: the others are ordered last, since how long they take is a guess.
    pub known: bool,
    /// The sizes it may have.
    pub offers: Vec<Offer>,
}

impl Job {
    /// Whether an offer is what it holds.
    pub(super) fn holds(&self, offer: &Offer) -> bool {
        self.running.is_some_and(|running| (running.class, running.gpus) == (offer.class, offer.gpus))
    }
}
