//! What the operator measures. Series about jobs come from the last cycle's view, so that they vanish with their job.

mod collector;
pub mod gpu_states;
mod queues;
mod view;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use plimsoll_telemetry::prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts};
use plimsoll_telemetry::{Registry, registry::RegistryError};

use self::collector::{Shown, Views};
pub use self::queues::{QueueView, Queues};
pub use self::view::{JobView, View};
use crate::job::{Gives, Turn};

/// What the operator measures.
#[derive(Clone)]
pub struct Metrics {
    /// Seconds of thinking in a cycle.
    pub cycle_seconds: Histogram,
    /// Writes that failed, by kind.
    pub errors: IntCounterVec,
    /// Plans that broke a law.
    pub unlawful_plans: IntCounter,
    /// Jobs that gave devices back for others, by why.
    pub preemptions: IntCounterVec,
    /// 1 while this replica leads.
    pub leader: IntGauge,
    shown: Arc<Mutex<Shown>>,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn register(registry: &Registry) -> Result<Self, RegistryError> {
        let buckets = vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        let cycle =
            HistogramOpts::new("plimsoll_cycle_duration_seconds", "Time that a cycle thinks, without its writes.");
        let metrics = Self {
            cycle_seconds: Histogram::with_opts(cycle.buckets(buckets)).map_err(RegistryError::Register)?,
            errors: IntCounterVec::new(
                Opts::new("plimsoll_apply_errors_total", "Turns of jobs that could not be carried out, by kind."),
                &["kind"],
            )
            .map_err(RegistryError::Register)?,
            unlawful_plans: IntCounter::new(
                "plimsoll_unlawful_plans_total",
                "Plans that broke a law of the planner and were not carried out.",
            )
            .map_err(RegistryError::Register)?,
            preemptions: IntCounterVec::new(
                Opts::new(
                    "plimsoll_preemptions_total",
                    "Jobs that gave devices back for the sake of others: Preempted (all of them), Reclaimed (some), \
                     Consolidated (moved to other nodes).",
                ),
                &["cause"],
            )
            .map_err(RegistryError::Register)?,
            leader: IntGauge::new("plimsoll_leader", "1 while this replica leads, else 0.")
                .map_err(RegistryError::Register)?,
            shown: Arc::default(),
        };
        registry.register(metrics.cycle_seconds.clone())?;
        registry.register(metrics.errors.clone())?;
        for cause in [Gives::Preempted, Gives::Reclaimed, Gives::Consolidated] {
            // Shown from the beginning, so that the first of them is a change.
            metrics.preemptions.with_label_values(&[cause.as_str()]);
        }
        registry.register(metrics.unlawful_plans.clone())?;
        registry.register(metrics.preemptions.clone())?;
        registry.register(metrics.leader.clone())?;
        registry.register(Views::new(metrics.shown.clone()).map_err(RegistryError::Register)?)?;
        Ok(metrics)
    }

    /// Shows what a cycle saw from now on.
    pub fn show(&self, view: View) {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).show(view, Instant::now());
    }

    /// Counts what a turn that was written has changed.
    pub fn count(&self, turn: &Turn) {
        if let Some(gives) = turn.gives {
            self.preemptions.with_label_values(&[gives.as_str()]).inc();
        }
        let before = turn.job.status.as_ref().and_then(|status| status.allocation.as_ref());
        let Some(direction) = before.zip(turn.status.allocation.as_ref()).and_then(|(old, new)| {
            let moved = old.revision != new.revision;
            let name = match new.gpus.cmp(&old.gpus) {
                std::cmp::Ordering::Less => "down",
                std::cmp::Ordering::Greater => "up",
                std::cmp::Ordering::Equal => "same",
            };
            moved.then_some(name)
        }) else {
            return;
        };
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).resized(&turn.key, direction);
    }
}
