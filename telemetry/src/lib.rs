//! Tracing set-up, metric registry, admin server and shutdown for every Plimsoll process.

pub mod admin;
pub mod logging;
pub mod readiness;
pub mod registry;
pub mod shutdown;

pub use admin::AdminServer;
pub use readiness::{Condition, Readiness};
pub use registry::Registry;
pub use shutdown::Signal;

/// The metric library, so that every process speaks of the same version of its types.
pub use prometheus;
