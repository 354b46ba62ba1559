//! A policy with a stopwatch.

use std::time::Instant;

use plimsoll_simulator::Allocation;
use plimsoll_simulator::policy::{Policy, View};

/// Measures how long each plan takes.
pub(crate) struct Timed {
    inner: Box<dyn Policy>,
    milliseconds: Vec<f64>,
}

impl Timed {
    pub(crate) fn new(inner: Box<dyn Policy>) -> Self {
        Self { inner, milliseconds: Vec::new() }
    }

    /// Milliseconds of a round: mean, and 95th percentile.
    pub(crate) fn mean_and_p95(mut self) -> [f64; 2] {
        self.milliseconds.sort_by(f64::total_cmp);
        let count = self.milliseconds.len();
        let p95 = self.milliseconds.get(count * 95 / 100).copied().unwrap_or(0.0);
        [self.milliseconds.iter().sum::<f64>() / count.max(1) as f64, p95]
    }
}

impl Policy for Timed {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn round_seconds(&self) -> f64 {
        self.inner.round_seconds()
    }

    fn elastic(&self) -> bool {
        self.inner.elastic()
    }

    fn plan(&mut self, view: &View<'_>) -> Vec<Option<Allocation>> {
        let from = Instant::now();
        let plan = self.inner.plan(view);
        self.milliseconds.push(from.elapsed().as_secs_f64() * 1e3);
        plan
    }
}
