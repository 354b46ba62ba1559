//! What the agent shows to a scrape.

mod agent;
mod devices;

pub use agent::AgentMetrics;
pub use devices::DeviceMetrics;
