//! The node agent of Plimsoll: reads GPUs through NVML and says what they do.
//!
//! One thread per device asks the driver ([`driver`]); what it answers becomes windows ([`devices`], [`window`]) and one
//! [`snapshot`] of all that is known. Scrapes ([`metrics`]) and the node's AcceleratorNode ([`status`]) are made of the
//! snapshot: neither waits for the driver or for the kubelet ([`attribution`]).

pub mod agent;
pub mod args;
pub mod attribution;
pub mod devices;
pub mod driver;
pub mod energy;
pub mod metrics;
pub mod sampler;
pub mod snapshot;
pub mod status;
pub mod window;

pub use agent::{Agent, AgentError};
pub use args::{Args, Settings};
