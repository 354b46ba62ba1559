//! Kueue's published performance scenarios through [`plimsoll_scheduling::plan`], in virtual time: the same cohorts, quotas,
//! arrivals and runtimes.
//!
//! Kueue runs them against an apiserver whose client allows 50 requests a second, and admits some 43 workloads a second. Here
//! nothing but quota and order is in the way, so the comparison says what the policy costs, not what the apiserver does; the
//! wall time of the core is reported beside it by whoever runs this.

mod figures;
mod run;
mod scenario;

pub use figures::{ClassWait, QueueFigures};
pub use run::{Step, play};
pub use scenario::{BASELINE, Committed, LARGE_SCALE, Scenario, WorkloadSet};
