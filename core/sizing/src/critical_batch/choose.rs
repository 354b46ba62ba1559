//! The choice of a global batch from the user's range.

use serde::Serialize;
use thiserror::Error;

use super::TradeOff;
use crate::Batch;

/// A batch, and the progress that it makes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Goodput {
    /// The batch and how it is cut.
    pub batch: Batch,
    /// Samples per second.
    pub samples_per_second: f64,
    /// Progress of a sample over that of one in a very small batch, 0 to 1.
    pub efficiency: f64,
}

impl Goodput {
    /// Samples of a very small batch that would bring as much in a second (Pollux, OSDI 2021, equation 6).
    pub fn goodput(&self) -> f64 {
        self.samples_per_second * self.efficiency
    }
}

/// A range without a usable global batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BatchRangeError {
    /// It is empty, or a number is 0.
    #[error(
        "failed to choose global batch: {smallest} to {largest} samples on {data} ranks with micro-batches up to \
         {largest_micro} is no range"
    )]
    Empty {
        /// Fewest samples.
        smallest: u32,
        /// Most samples.
        largest: u32,
        /// Data-parallel ranks.
        data: u32,
        /// Largest micro-batch.
        largest_micro: u32,
    },
    /// Nothing in it divides over the ranks.
    #[error(
        "failed to choose global batch: nothing from {smallest} to {largest} samples divides over {data} ranks; the next \
         that does is {next}"
    )]
    DoesNotDivide {
        /// Fewest samples.
        smallest: u32,
        /// Most samples.
        largest: u32,
        /// Data-parallel ranks.
        data: u32,
        /// The smallest multiple above the range.
        next: u64,
    },
}

/// The global batch from `smallest` to `largest` samples that makes the most progress per second on `data` ranks, and its
/// exact cut `micro × accumulation × data` with micro-batches up to `largest_micro`, which memory sets.
///
/// Progress is throughput times statistical efficiency: `samples_per_second` says how fast a cut runs, `trade_off` (in
/// samples) what a sample is worth. Every accumulation up to 200 is looked at, above that one in each half percent: there
/// goodput changes too little to matter. Of equals the smaller batch is taken, then the larger micro-batch. Once chosen, a job's
/// global batch stays: every later size is cut from it with [`Batch::cuts`].
///
/// # Errors
/// When the range is empty or nothing in it divides.
pub fn choose_batch(
    (smallest, largest): (u32, u32),
    data: u32,
    largest_micro: u32,
    trade_off: &TradeOff,
    samples_per_second: impl Fn(&Batch) -> f64,
) -> Result<Goodput, BatchRangeError> {
    if smallest == 0 || smallest > largest || data == 0 || largest_micro == 0 {
        return Err(BatchRangeError::Empty { smallest, largest, data, largest_micro });
    }
    let mut best: Option<Goodput> = None;
    // A rank's share is at most `largest / data`, so a larger micro-batch leaves nothing to try.
    for micro in 1..=largest_micro.min(largest / data) {
        let at_once = micro * data;
        for accumulation in accumulations(smallest.div_ceil(at_once), largest / at_once) {
            let batch = Batch { micro, accumulation, global: at_once * accumulation };
            let found = Goodput {
                batch,
                samples_per_second: samples_per_second(&batch),
                efficiency: trade_off.efficiency(f64::from(batch.global)),
            };
            let better = best.is_none_or(|known| {
                found
                    .goodput()
                    .total_cmp(&known.goodput())
                    .then(known.batch.global.cmp(&batch.global))
                    .then(batch.micro.cmp(&known.batch.micro))
                    .is_gt()
            });
            if better {
                best = Some(found);
            }
        }
    }
    best.ok_or_else(|| {
        let next = (u64::from(largest) / u64::from(data) + 1) * u64::from(data);
        BatchRangeError::DoesNotDivide { smallest, largest, data, next }
    })
}

/// Counts from `low` to `high`, ever farther apart, both ends among them.
fn accumulations(low: u32, high: u32) -> impl Iterator<Item = u32> {
    let next = move |count: &u32| {
        let step = (count / 200).max(1);
        (*count < high).then(|| count.saturating_add(step).min(high))
    };
    std::iter::successors((low <= high).then_some(low), next)
}
