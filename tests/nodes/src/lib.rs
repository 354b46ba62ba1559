//! GPU nodes that behave: what kubelet, device plugin, driver and training program would do.
//!
//! On a cluster whose nodes are fake, the fleet plays all pods of Plimsoll and of its training jobs. Pods of Plimsoll are
//! real processes on this machine, each with a service account token and a driver of its own. Pods of jobs get devices and
//! a status as from a kubelet; together they run a simulated training program that reads its environment, reports over
//! TLS, writes checkpoints, obeys replies, and needs as much memory and time as a ground truth says that Plimsoll never
//! sees. Progress is sped up by a factor; nothing else is.

mod access;
mod file;
mod fleet;
mod job;
mod node;
mod pod;
mod pod_resources;
mod program;
mod register;
mod site;
mod spec;
mod system;
pub mod truth;

pub use fleet::{Fleet, FleetError};
pub use spec::FleetSpec;
