//! Step time against local batch at one placement.

/// Seconds of one synchronous step without accumulation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepTime {
    /// The whole step.
    pub step_seconds: f64,
    /// The part of it that waits for gradients, and that accumulation steps are spared.
    pub sync_seconds: f64,
}

impl StepTime {
    /// Seconds of a step with `accumulation` more passes before the exchange (rule 2: `t = step + s·(step − sync)`).
    pub fn with_accumulation(self, accumulation: u32) -> f64 {
        self.step_seconds + f64::from(accumulation) * (self.step_seconds - self.sync_seconds)
    }
}

/// Measured step times of one placement, by local batch, ascending.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    points: Vec<(f64, StepTime)>,
}

impl Curve {
    /// Of points in any order; of two with one local batch the first counts.
    pub(super) fn new(mut points: Vec<(f64, StepTime)>) -> Self {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points.dedup_by(|later, first| later.0 == first.0);
        Self { points }
    }

    /// Local batches and their times, ascending.
    pub(super) fn points(&self) -> &[(f64, StepTime)] {
        &self.points
    }

    /// Smallest and largest local batch measured; `None` where nothing was.
    pub fn range(&self) -> Option<(f64, f64)> {
        Some((self.points.first()?.0, self.points.last()?.0))
    }

    /// Share of a step that grows with its samples, at a local batch: what keeps a GPU busy, as against what waits for launches and for
    /// other GPUs. Between 0 and 1; `None` where only one local batch was measured.
    pub fn busy(&self, local_batch: f64, accumulation: u32) -> Option<f64> {
        let (low, high) = self.range().filter(|(low, high)| low < high)?;
        let compute = |local: f64| self.at(local).step_seconds - self.at(local).sync_seconds;
        let each = (compute(high) - compute(low)) / (high - low);
        let samples = local_batch * f64::from(accumulation + 1);
        Some((each * samples / self.at(local_batch).with_accumulation(accumulation)).clamp(0.0, 1.0))
    }

    /// Linear between the two nearest local batches, and that of the nearest end outside of what was measured.
    pub fn at(&self, local_batch: f64) -> StepTime {
        let above = self.points.partition_point(|point| point.0 < local_batch);
        let Some(&(high, upper)) = self.points.get(above) else {
            return self.points.last().map(|point| point.1).unwrap_or_default();
        };
        if above == 0 || high == local_batch {
            return upper;
        }
        let (low, lower) = self.points[above - 1];
        let share = (local_batch - low) / (high - low);
        let mix = |a: f64, b: f64| a + (b - a) * share;
        StepTime {
            step_seconds: mix(lower.step_seconds, upper.step_seconds),
            sync_seconds: mix(lower.sync_seconds, upper.sync_seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_linear_between_points_and_flat_outside() {
        let time = |step_seconds| StepTime { step_seconds, sync_seconds: 0.0 };
        let curve = Curve::new(vec![(64.0, time(3.0)), (32.0, time(1.0))]);
        assert_eq!([16.0, 32.0, 48.0, 64.0, 99.0].map(|b| curve.at(b).step_seconds), [1.0, 1.0, 2.0, 3.0, 3.0]);
    }

    #[test]
    fn a_gpu_is_busy_with_what_grows_with_the_samples() {
        let time = |step_seconds, sync_seconds| StepTime { step_seconds, sync_seconds };
        let curve = Curve::new(vec![(10.0, time(3.0, 1.0)), (20.0, time(4.0, 1.0))]);
        // A tenth of a second for each sample, one second of launches, one of waiting.
        assert_eq!(curve.busy(20.0, 0), Some(0.5));
        assert!((curve.busy(20.0, 1).unwrap() - 4.0 / 7.0).abs() < 1e-12);
        assert_eq!(Curve::new(vec![(10.0, time(3.0, 1.0))]).busy(10.0, 0), None);
    }

    #[test]
    fn an_accumulated_pass_costs_no_exchange() {
        let time = StepTime { step_seconds: 1.0, sync_seconds: 0.25 };
        assert_eq!(time.with_accumulation(2), 2.5);
    }
}
