//! What queues may hold, what they have held, and whose turn that makes it.

mod budget;
mod shares;
mod tree;

pub(crate) use budget::exhausted;
pub(crate) use shares::Shares;
pub use tree::QueueFault;
pub(crate) use tree::{Column, Place, Tree, Usage};
