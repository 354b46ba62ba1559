//! The words that sizing and scheduling share: class, layout, batch, candidate, menu.
//!
//! Sizing writes a [`Menu`]; scheduling reads it. Neither knows the other: they meet here. Everything is a plain value
//! with serde, so that a menu can stand in a saved snapshot and be read back byte for byte.

mod batch;
mod candidate;
mod class;
mod layout;

pub use batch::{Batch, BatchError};
pub use candidate::{Candidate, Fit, Menu, Prediction, Rejection, RejectionReason};
pub use class::{ClassName, LoadLine};
pub use layout::{Layout, Offload, Recompute, Schedule, Shape, Sharding};
