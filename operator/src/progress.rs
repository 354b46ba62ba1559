//! The progress endpoint: training programs report, and the reply carries the plan in force.
//!
//! Only the leader listens. A report never blocks training, and nothing here writes to the apiserver: the cycle does.

pub mod auth;
pub mod endpoint;
pub mod server;
pub mod state;
pub mod tls;
