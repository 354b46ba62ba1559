//! GPU nodes that behave: what kubelet, device plugin, driver and training program would do.
//!
//! kwok keeps the nodes alive; what runs on them is played here, against a real apiserver. Plimsoll's own pods become real
//! processes of this machine (`system`); pods of training jobs hold devices, train in sped-up time and report like a
//! program would (`training`); every node has a driver and a kubelet socket for its agent to look at ([`node`]). What
//! really happens is decided by a ground truth that never sees what Plimsoll thinks ([`truth`]).

mod access;
mod children;
mod cluster;
mod files;
pub mod fleet;
pub mod node;
mod pod;
pub mod record;
mod system;
mod training;
pub mod truth;
mod world;

pub use fleet::{Binaries, Fleet, FleetError, FleetSpec};
