//! The agent about itself.

use plimsoll_telemetry::Registry;
use plimsoll_telemetry::prometheus::{IntCounterVec, IntGauge, Opts, Result};
use plimsoll_telemetry::registry::RegistryError;

/// The agent about itself. Clones count together.
#[derive(Clone, Debug)]
pub struct AgentMetrics {
    /// 1 while the driver is there and sees a device.
    pub driver_up: IntGauge,
    /// 1 while the kubelet says who holds what.
    pub attribution_known: IntGauge,
    /// Questions to the kubelet, by outcome: answered or failed.
    pub attribution_polls: IntCounterVec,
    /// Looks at devices, by outcome: read, refused or lost.
    pub readings: IntCounterVec,
    /// Status writes, by outcome: written, absent or failed.
    pub status_writes: IntCounterVec,
}

impl AgentMetrics {
    /// Makes the metrics and shows them in a registry.
    pub fn register(registry: &Registry, node: &str) -> std::result::Result<Self, RegistryError> {
        let metrics = Self::new(node).map_err(RegistryError::Register)?;
        let Self { driver_up, attribution_known, attribution_polls, readings, status_writes } = metrics.clone();
        registry.register(driver_up)?;
        registry.register(attribution_known)?;
        registry.register(attribution_polls)?;
        registry.register(readings)?;
        registry.register(status_writes)?;
        Ok(metrics)
    }

    fn new(node: &str) -> Result<Self> {
        let named = |name: &str, help: &str| Opts::new(name, help).const_label("node", node);
        let metrics = Self {
            driver_up: IntGauge::with_opts(named(
                "plimsoll_agent_driver_up",
                "Whether the driver is there and sees a device.",
            ))?,
            attribution_known: IntGauge::with_opts(named(
                "plimsoll_agent_attribution_known",
                "Whether the kubelet says which containers hold which devices.",
            ))?,
            attribution_polls: IntCounterVec::new(
                named("plimsoll_agent_attribution_polls_total", "Questions to the kubelet, by outcome."),
                &["outcome"],
            )?,
            readings: IntCounterVec::new(
                named("plimsoll_agent_readings_total", "Looks at devices, by outcome."),
                &["outcome"],
            )?,
            status_writes: IntCounterVec::new(
                named("plimsoll_agent_status_writes_total", "Status writes, by outcome."),
                &["outcome"],
            )?,
        };
        // A series that begins at its first event hides that event from a rate.
        for outcome in ["answered", "failed"] {
            metrics.attribution_polls.with_label_values(&[outcome]);
        }
        for outcome in ["read", "refused", "lost"] {
            metrics.readings.with_label_values(&[outcome]);
        }
        for outcome in ["written", "absent", "failed"] {
            metrics.status_writes.with_label_values(&[outcome]);
        }
        Ok(metrics)
    }
}
