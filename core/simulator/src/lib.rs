//! Training jobs over traces in virtual time, under Plimsoll's planner and under its peers' policies.

#![allow(dead_code)]
mod batch;
mod beliefs;
pub mod builtin;
mod cache;
mod cluster;
mod engine;
pub mod estimate;
mod fairness;
mod free;
mod job;
mod outcome;
pub mod policy;
pub mod profile;
mod random;
mod rules;
mod simplex;
mod table;
pub mod workload;
mod world;

pub use batch::{Cut, Limits};
pub use cluster::{Allocation, Cluster, ClusterError, Kind};
pub use engine::{SimulationError, simulate};
pub use fairness::finish_time_fairness;
pub use free::Free;
pub use job::{Job, Measured};
pub use outcome::{Ended, Figures, Outcome, Round};
pub use rules::{Knowledge, Moves, RestartCost, Rules};
pub use table::ReadError;
pub use world::World;
