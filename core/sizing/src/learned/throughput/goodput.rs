//! How much of the throughput counts.

use std::ops::RangeInclusive;

use super::{Placement, Throughput};

/// Most local batches looked at for each number of micro-batches.
const LOCAL_BATCHES: u32 = 64;

/// What one sample of a batch of `batch` is worth, of what it is worth at the job's first batch: 1 up to `first_batch`, and
/// `(φ + M₀)/(φ + M)` beyond, with the noise scale `φ` (Pollux, section 3.1, after AdaScale, arXiv 2007.05105).
///
/// Between 0 and 1, and never larger for a larger batch. All are in samples, above 0; `noise_scale` may be 0.
pub fn efficiency(noise_scale: f64, first_batch: f64, batch: f64) -> f64 {
    let noise = noise_scale.max(0.0);
    ((noise + first_batch) / (noise + batch.max(first_batch))).clamp(0.0, 1.0)
}

/// A way to cut a batch at a placement, and what it yields.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cut {
    /// Samples that each device computes at once.
    pub local_batch: u32,
    /// Micro-batches of a step.
    pub accumulation: u32,
    /// Useful samples per second: throughput times efficiency.
    pub goodput: f64,
}

/// What a job may do with its batch.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchLimits {
    /// Samples of one step that the user allows.
    pub global: RangeInclusive<u32>,
    /// Most samples that a device has memory for; at least 1.
    pub local_most: u32,
    /// The batch that efficiency is 1 at, in samples.
    pub first: u32,
}

impl Throughput {
    /// Useful samples per second: throughput times [`efficiency`]; never above the throughput.
    pub fn goodput(
        &self,
        placement: Placement,
        local_batch: u32,
        accumulation: u32,
        noise_scale: f64,
        first_batch: u32,
    ) -> f64 {
        let local = f64::from(local_batch);
        let batch = f64::from(placement.gpus()) * local * f64::from(accumulation.max(1));
        let efficiency = efficiency(noise_scale, f64::from(first_batch.max(1)), batch);
        self.samples_per_second(placement, local, accumulation) * efficiency
    }

    /// The cut of the highest goodput at a placement; `None` when the limits leave none.
    ///
    /// Micro-batches up to twice as many as the largest batch needs, and up to 64 local batches for each, are looked at; of
    /// equals the fewest micro-batches win.
    pub fn best_cut(&self, placement: Placement, limits: &BatchLimits, noise_scale: f64) -> Option<Cut> {
        let (least, most) = (*limits.global.start(), *limits.global.end());
        let widest = placement.gpus().saturating_mul(limits.local_most.max(1));
        let accumulations = least.div_ceil(widest).max(1)..=most.div_ceil(widest).saturating_mul(2);
        let mut best: Option<Cut> = None;
        for accumulation in accumulations {
            let at_once = placement.gpus().saturating_mul(accumulation);
            let low = least.div_ceil(at_once).max(1);
            let high = (most / at_once).min(limits.local_most);
            let stride = (high.saturating_sub(low) / LOCAL_BATCHES).max(1);
            for local_batch in (low..=high).rev().step_by(stride as usize) {
                let goodput = self.goodput(placement, local_batch, accumulation, noise_scale, limits.first);
                if best.is_none_or(|best| goodput > best.goodput) {
                    best = Some(Cut { local_batch, accumulation, goodput });
                }
            }
        }
        best
    }
}
