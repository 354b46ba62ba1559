//! What the node's AcceleratorNode shall say, and when that is worth a write.

mod content;
mod publisher;
mod writes;

pub use content::status;
pub use publisher::Publisher;
pub use writes::{Cause, Pace, Written, should_write};
