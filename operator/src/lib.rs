//! The operator of Plimsoll: reads TrainingJobs, plans, builds pods, learns.
//!
//! ```text
//! stores ─▶ world ─▶ job: dereference, validate, size, standing ─▶ plan ─▶ job: build, apply, update_status
//!   ▲                                                                                      │
//!   └───────────── the apiserver ◀── fence ◀── lease ──────────────────────────────────────┘
//! ```
//!
//! [`cycle`] is the one loop that decides; [`job`] is what it does about each job; [`progress`] is where training
//! programs report. Every module says at its top whether it needs a client or is pure.

pub mod accelerator_nodes;
mod accounts;
pub mod args;
pub mod assumed;
pub mod check;
pub mod classes;
pub mod config;
pub mod cycle;
#[cfg(test)]
mod fixtures;
pub mod job;
pub mod lead;
pub mod learning;
pub mod lease;
pub mod metrics;
pub mod notes;
pub mod progress;
pub mod queues;
pub mod sentence;
pub mod settings;
pub mod stores;
pub mod thin;
pub mod world;
