//! The GPUs, through NVIDIA's management library.

mod gpm;
mod open;
mod reader;
mod reading;
mod worker;

pub use open::{Driver, Identity, OpenError, open};
pub use reader::ReadError;
pub use reading::{Memory, Reading, SmActivity, Throttle};
pub use worker::{Reply, SpawnError, Worker};
