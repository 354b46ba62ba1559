//! The story of the demo: what is watched, written down and expected.

mod ending;
mod expect;
mod gpu_seconds;
mod record;
mod refused;

pub use ending::{Act, acts};
pub use expect::{Finding, expectations};
pub use gpu_seconds::{GpuSeconds, STATES};
pub use record::{Record, Sighting};
pub use refused::refused;
