//! Training jobs over traces in virtual time, under Plimsoll's planner and under its peers' policies.
//!
//! ```text
//! texts ─▶ workload: who comes when          ─┐
//!       ─▶ profile: what jobs truly do        ├▶ simulate: advance, ask the policy, give out ─▶ Outcome ─▶ Figures
//! Rules: what restarts cost, what goes wrong ─┘        policy: Plimsoll, Sia, Pollux, Gavel, ...
//! ```
//!
//! Jobs believe what they measured ([`estimate`]); the truth is in the profiles alone. All of it is pure: texts come in from the
//! caller, time is virtual, chance is seeded, and the same inputs give the same outcome.

mod batch;
mod beliefs;
mod bound;
pub mod builtin;
mod cache;
mod cluster;
mod energy;
mod engine;
pub mod estimate;
mod fairness;
pub mod fgd;
mod free;
mod job;
pub mod openb;
mod outcome;
pub mod policy;
pub mod profile;
pub mod queues;
mod random;
mod rules;
mod sharing;
mod simplex;
mod states;
mod table;
pub mod workload;
mod world;

pub use batch::{Cut, Limits};
pub use bound::{Bound, average_completion_bound};
pub use cluster::{Allocation, Cluster, ClusterError, Kind};
pub use energy::energy_kwh;
pub use engine::{Progress, SimulationError, simulate, simulate_watched};
pub use fairness::finish_time_fairness;
pub use free::Free;
pub use job::{Job, Measured};
pub use outcome::{Ended, Figures, Outcome, Round};
pub use rules::{Knowledge, Moves, RestartCost, Rules};
pub use states::GpuSeconds;
pub use table::ReadError;
pub use world::World;
