//! GPU nodes that behave: what kubelet, device plugin, driver and training program would do.
//!
//! kwok keeps the nodes alive; what runs on them is played here, against a real apiserver. Plimsoll's own pods become real
//! processes of this machine (`system`); pods of training jobs hold devices, train in sped-up time and report like a
//! program would (`training`); every node has a driver and a kubelet socket for its agent to look at ([`node`]). What
//! really happens is decided by a ground truth that never sees what Plimsoll thinks ([`truth`]).
//!
//! A real node has a kubelet and containers of its own. Only the hardware below them is played: a device plugin
//! (`device_plugin`) and a driver that shows what the node's pods do (`residents`).

mod access;
mod children;
mod cluster;
mod device_plugin;
mod files;
pub mod fleet;
pub mod node;
mod pod;
pub mod record;
mod residents;
mod service_name;
mod system;
mod training;
pub mod truth;
mod world;

pub use fleet::{Binaries, Fleet, FleetError, FleetSpec};
