//! What the planner weighs, by how much it is told.

/// Work that is still to arrive, as a value of what is free: `mass · share^power`, where the share is that of the cluster's speed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Phantom {
    /// Value of the whole cluster, in jobs; 0 for none.
    pub mass: f64,
    /// Power of the share, above 0 and at most 1.
    pub power: f64,
}

/// What the planner maximises.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Objective {
    /// Progress at prices worked out backwards from the job that ends last: for jobs whose remaining work is known.
    Prices(Phantom),
    /// A share for everybody, for jobs of which nobody knows when they end: `Σ wᵢ·bᵢ·(u − (rᵢ/sᵢ)^p)`, where `sᵢ` is the least of a
    /// job's rates, `p < 0` (Sia's measure of fairness, Jayaram Subramanya et al., SOSP 2023, section 3.4, with `p = −½` and
    /// `u = 1.1`), and `bᵢ` favours who has done little.
    Shares {
        /// `p`, below 0.
        power: f64,
        /// `u`, above 1: how much worse no GPUs are than the least rate.
        unallocated: f64,
        /// `b = (h/(h + T))^bias`, where `T` is the seconds of work that is believed left.
        bias: f64,
        /// `h`, in seconds, above 0.
        half_seconds: f64,
    },
}

/// Settings of the planner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// GPUs up to which a job's best rate says how long its work is.
    pub reference_gpus: u32,
    /// What is maximised.
    pub objective: Objective,
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
        objective: Objective::Prices(Phantom { mass: 8.0, power: 0.5 }),
        keep: 1.2,
        caution: 1.0,
        horizon_share: 1.0,
        horizon_seconds: (700.0, 1800.0),
    };

    /// For jobs that declare their total work.
    pub const WORK_KNOWN: Self = Self {
        reference_gpus: 16,
        objective: Objective::Prices(Phantom { mass: 0.0, power: 0.5 }),
        keep: 1.12,
        caution: 1.5,
        horizon_share: 0.7,
        horizon_seconds: (1000.0, 7200.0),
    };

    /// For jobs whose speed was predicted too: their first size is a good one, so there is less reason to leave it.
    pub const SPEED_KNOWN: Self = Self { keep: 1.2, ..Self::WORK_KNOWN };
}
