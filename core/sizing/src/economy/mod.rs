//! What a run takes beyond devices and time: power, energy, carbon, money, and what failures cost.
//!
//! [`PowerModel`] says what a device draws, [`Site`] what the meter of its building shows for it, [`Run::bill`] adds up a
//! whole run. [`Disruptions`] says how often to write checkpoints and which share of the time becomes progress. [`Sweep`]
//! counts what a search over configurations costs.
//!
//! Figures of a site (overhead, PUE, carbon, prices) are declared by whoever runs it: none is assumed here.

mod bill;
mod checkpoint;
mod power;
mod power_cap;
mod site;
mod sweep;

pub use bill::{Bill, Run, underused_gpu_hours};
pub use checkpoint::{Disruptions, mtbf_seconds};
pub use power::{Load, PowerFitError, PowerModel, PowerSample};
pub use power_cap::{PowerCap, power_cap};
pub use site::{Energy, Site};
pub use sweep::{Rung, Sweep, hyperband};
