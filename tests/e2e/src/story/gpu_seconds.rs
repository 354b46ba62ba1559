//! GPU-seconds by state, from the operator's own metrics.

use std::collections::BTreeMap;

/// The seven states that every GPU-second is in exactly one of.
pub const STATES: [&str; 7] =
    ["unavailable", "free", "held_idle", "held_under", "held_in_band", "held_over", "held_unknown"];

/// GPU-seconds by state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GpuSeconds(pub BTreeMap<String, f64>);

impl GpuSeconds {
    /// Reads `plimsoll_gpu_seconds_total` from a metrics page, summed over classes.
    pub fn read(page: &str) -> Self {
        let mut sums = BTreeMap::new();
        for line in page.lines().filter(|l| l.starts_with("plimsoll_gpu_seconds_total{")) {
            let state = line.split("state=\"").nth(1).and_then(|rest| rest.split('"').next());
            let value = line.rsplit(' ').next().and_then(|v| v.parse::<f64>().ok());
            if let (Some(state), Some(value)) = (state, value) {
                *sums.entry(state.to_owned()).or_insert(0.0) += value;
            }
        }
        Self(sums)
    }

    /// Adds what passed between two readings of the same process; a counter that fell began anew.
    pub fn add_since(&mut self, before: &Self, after: &Self) {
        for (state, now) in &after.0 {
            let then = before.0.get(state).copied().unwrap_or(0.0);
            *self.0.entry(state.clone()).or_insert(0.0) += if *now >= then { now - then } else { *now };
        }
    }

    /// GPU-seconds in one state.
    pub fn of(&self, state: &str) -> f64 {
        self.0.get(state).copied().unwrap_or(0.0)
    }

    /// GPU-seconds held by jobs, whatever they did.
    pub fn held(&self) -> f64 {
        STATES.iter().filter(|s| s.starts_with("held_")).map(|s| self.of(s)).sum()
    }

    /// In band ÷ (held − unknown), and the share of held time that is known; `None` while nothing is known.
    pub fn headline(&self) -> Option<(f64, f64)> {
        let known = self.held() - self.of("held_unknown");
        (known > 0.0).then(|| (self.of("held_in_band") / known, known / self.held()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# TYPE plimsoll_gpu_seconds_total counter\n\
        plimsoll_gpu_seconds_total{class=\"t4\",state=\"free\"} 10\n\
        plimsoll_gpu_seconds_total{class=\"h100\",state=\"free\"} 5\n\
        plimsoll_gpu_seconds_total{class=\"t4\",state=\"held_in_band\"} 6\n\
        plimsoll_gpu_seconds_total{class=\"t4\",state=\"held_under\"} 2\n\
        plimsoll_gpu_seconds_total{class=\"t4\",state=\"held_unknown\"} 2\n";

    #[test]
    fn classes_are_summed_and_the_headline_leaves_out_the_unknown() {
        let seconds = GpuSeconds::read(PAGE);
        assert_eq!(seconds.of("free"), 15.0);
        assert_eq!(seconds.headline(), Some((0.75, 0.8)));
    }

    #[test]
    fn a_counter_that_began_anew_is_not_subtracted() {
        let before = GpuSeconds::read("plimsoll_gpu_seconds_total{state=\"free\"} 100\n");
        let after = GpuSeconds::read("plimsoll_gpu_seconds_total{state=\"free\"} 7\n");
        let mut sum = GpuSeconds::default();
        sum.add_since(&before, &after);
        assert_eq!(sum.of("free"), 7.0);
    }
}
