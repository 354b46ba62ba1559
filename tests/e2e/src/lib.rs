//! Scenarios on a real control plane: what is brought up for them, and what must hold.

pub mod audit;
pub mod binaries;
pub mod fleet;
pub mod helm;
pub mod kubectl;
pub mod release;
pub mod scenario;
pub mod stage;
pub mod story;
pub mod system;
