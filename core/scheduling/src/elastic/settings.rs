//! What the planner weighs, by how much it is told.

/// Work that is still to arrive, as a value of what is free: `mass · share^power`, where the share is that of the cluster's speed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Phantom {
    /// Value of the whole cluster, in jobs; 0 for none.
    pub mass: f64,
    /// Power of the share, above 0 and at most 1.
    pub power: f64,
}

/// Settings of the planner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// GPUs up to which a job's best rate says how long its work is.
    pub reference_gpus: u32,
    /// Work that is still to arrive.
    pub phantom: Phantom,
    /// Factor on the value of what a job holds; at least 1.
    pub keep: f64,
    /// Factor on the restart's seconds for a running job.
    pub caution: f64,
    /// Seconds over which a change must pay, for each second since the last one.
    pub horizon_share: f64,
    /// Bounds of that, in seconds.
    pub horizon_seconds: (f64, f64),
}

impl Settings {
    /// For jobs whose total work is not known.
    pub const WORK_UNKNOWN: Self = Self {
        reference_gpus: 16,
        phantom: Phantom { mass: 8.0, power: 0.5 },
        keep: 1.2,
        caution: 1.0,
        horizon_share: 1.0,
        horizon_seconds: (700.0, 1800.0),
    };

    /// For jobs that declare their total work.
    pub const WORK_KNOWN: Self = Self {
        reference_gpus: 16,
        phantom: Phantom { mass: 0.6, power: 0.5 },
        keep: 1.1,
        caution: 1.5,
        horizon_share: 0.7,
        horizon_seconds: (1000.0, 7200.0),
    };

    /// For jobs whose speed was predicted too: their first size is a good one, so there is less reason to leave it.
    pub const SPEED_KNOWN: Self = Self { keep: 1.2, ..Self::WORK_KNOWN };

    /// Where all jobs that will ever come are there: laws of prices are exact then.
    #[cfg(test)]
    pub(super) const ALL_HERE: Self = Self { phantom: Phantom { mass: 0.0, power: 0.5 }, ..Self::WORK_KNOWN };
}
