//! What a training program and Plimsoll say to each other: environment, progress report, reply, termination message.
//!
//! The report is Kubeflow's status protocol (`trainerStatus`) with an optional `plimsoll` object beside it, so that a
//! program that speaks the one already speaks the other. Every type reads unknown fields past: a newer program may
//! talk to an older operator.

pub mod env;
mod report;
mod termination;

pub use report::{CheckpointAsk, CheckpointDone, Metric, PlanReply, Reply, Report, TrainerStatus, TrainingReport};
pub use termination::TerminationMessage;
