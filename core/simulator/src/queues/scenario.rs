//! What is played, and what Kueue commits to for it.

/// A scenario: cohorts of equal queues, each with the same workloads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// Cohorts.
    pub cohorts: u32,
    /// Queues in each.
    pub queues: u32,
    /// Units of its own of each queue.
    pub nominal: u32,
    /// Units that it may borrow.
    pub borrowing_limit: u32,
    /// What comes to each queue.
    pub sets: [WorkloadSet; 3],
    /// What Kueue measured.
    pub committed: Committed,
}

/// Equal workloads that come one after the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorkloadSet {
    /// Its class.
    pub class: &'static str,
    /// How many come to each queue.
    pub count: u32,
    /// Milliseconds from one to the next; the first comes at once.
    pub interval_milliseconds: u32,
    /// Milliseconds that each runs.
    pub runtime_milliseconds: u32,
    /// Its priority.
    pub priority: i32,
    /// Units that it needs, in one pod.
    pub request: u32,
}

/// Kueue's own means of a scenario, by which it gates its changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Committed {
    /// Seconds from the first arrival to the last end.
    pub wall_seconds: f64,
    /// Use of nominal quota over that time, 0 to 1.
    pub usage: f64,
    /// Mean seconds to admission, in the order of the sets.
    pub admission_seconds: [f64; 3],
}

/// 15,000 workloads in 30 queues: `test/performance/scheduler/configs/baseline` of kubernetes-sigs/kueue (2026-08).
pub const BASELINE: Scenario = Scenario {
    name: "baseline",
    cohorts: 5,
    queues: 6,
    nominal: 20,
    borrowing_limit: 100,
    sets: [
        set("small", 350, 100, 200, 50, 1),
        set("medium", 100, 500, 500, 100, 5),
        set("large", 50, 1200, 1000, 200, 20),
    ],
    committed: Committed { wall_seconds: 351.1, usage: 0.559, admission_seconds: [215.5, 76.8, 16.5] },
};

/// 50,000 workloads in 1,000 queues: `test/performance/scheduler/configs/large-scale` of the same, in the form of its
/// commit f6517b0c.
pub const LARGE_SCALE: Scenario = Scenario {
    name: "large-scale",
    cohorts: 10,
    queues: 100,
    nominal: 20,
    borrowing_limit: 100,
    sets: [set("small", 35, 60, 150, 50, 1), set("medium", 11, 300, 350, 100, 5), set("large", 4, 700, 700, 200, 20)],
    committed: Committed { wall_seconds: 1179.4, usage: 0.386, admission_seconds: [700.4, 256.4, 105.6] },
};

const fn set(
    class: &'static str,
    count: u32,
    interval_milliseconds: u32,
    runtime_milliseconds: u32,
    priority: i32,
    request: u32,
) -> WorkloadSet {
    WorkloadSet { class, count, interval_milliseconds, runtime_milliseconds, priority, request }
}

impl Scenario {
    /// Workloads in all.
    pub fn workloads(&self) -> u32 {
        self.cohorts * self.queues * self.sets.iter().map(|set| set.count).sum::<u32>()
    }
}
