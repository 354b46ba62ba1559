//! What queues may hold, what they have held, and whose turn that makes it.

mod budget;
mod shares;
mod tree;

pub(crate) use budget::exhausted;
pub(crate) use shares::Shares;
pub(crate) use tree::{Column, Place, Tree, Usage};
pub use tree::{QueueFault, queue_faults};
