//! Keeps the attribution fresh.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_telemetry::Condition;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Attribution, PodResources};
use crate::metrics::AgentMetrics;

/// How long the last answer stands while the kubelet does not give another; a restart of the kubelet is shorter.
const KEEP: Duration = Duration::from_secs(60);

/// Asks the kubelet again and again.
#[derive(Debug)]
pub struct Poller {
    kubelet: PodResources,
    every: Duration,
    attribution: watch::Sender<Arc<Attribution>>,
    metrics: AgentMetrics,
    condition: Condition,
}

impl Poller {
    /// Asks `every` so often and tells whoever holds the receiver.
    #[must_use]
    pub fn new(
        kubelet: PodResources,
        every: Duration,
        metrics: AgentMetrics,
        condition: Condition,
    ) -> (Self, watch::Receiver<Arc<Attribution>>) {
        let (attribution, receiver) = watch::channel(Arc::new(Attribution::Unknown));
        (Self { kubelet, every, attribution, metrics, condition }, receiver)
    }

    /// Asks for ever.
    pub async fn run(mut self) {
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut answered, mut failing) = (None, false);
        loop {
            ticks.tick().await;
            match self.kubelet.ask().await {
                Ok(attribution) => {
                    self.metrics.attribution_polls.with_label_values(&["answered"]).inc();
                    self.condition.met();
                    answered = Some(Instant::now());
                    failing = false;
                    self.set(attribution);
                }
                Err(error) => {
                    self.metrics.attribution_polls.with_label_values(&["failed"]).inc();
                    let error: &dyn std::error::Error = &error;
                    if failing {
                        tracing::debug!(error, "the kubelet still does not say who holds what");
                    } else {
                        tracing::warn!(error, "the kubelet does not say who holds what");
                    }
                    failing = true;
                    if answered.is_none_or(|answered| answered.elapsed() > KEEP) {
                        self.condition.missing_because(error);
                        self.set(Attribution::Unknown);
                    }
                }
            }
        }
    }

    fn set(&self, attribution: Attribution) {
        self.metrics.attribution_known.set(attribution.is_known().into());
        self.attribution.send_if_modified(|last| {
            let differs = **last != attribution;
            if differs {
                *last = Arc::new(attribution);
            }
            differs
        });
    }
}
