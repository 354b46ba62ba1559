//! A policy with a stopwatch.

use plimsoll_simulator::Allocation;
use plimsoll_simulator::policy::{Policy, View};

/// Measures how much CPU time each plan takes: the machine may be shared.
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
        let from = cpu_seconds();
        let plan = self.inner.plan(view);
        self.milliseconds.push((cpu_seconds() - from) * 1e3);
        plan
    }
}

/// CPU time of this thread, from the kernel's scheduler statistics, which it brings up to date when a thread yields; not a number
/// where there are none.
fn cpu_seconds() -> f64 {
    std::thread::yield_now();
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = statistics.split_whitespace().next().and_then(|first| first.parse::<f64>().ok());
    nanoseconds.unwrap_or(f64::NAN) / 1e9
}
