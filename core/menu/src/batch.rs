//! How a step's samples are cut into micro-batches.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A global batch cut into micro-batches: `global = micro × accumulation × data-parallel ranks`, always exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Batch {
    /// Samples (sequences) that one data-parallel rank computes at once.
    pub micro: u32,
    /// Micro-batches whose gradients are summed before an optimizer step.
    pub accumulation: u32,
    /// Samples in one optimizer step over all ranks.
    pub global: u32,
}

/// A global batch that does not divide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchError {
    /// The global batch that was to be cut.
    pub global: u32,
    /// Ranks it was to be cut over.
    pub data: u32,
    /// Micro-batch it was to be cut into.
    pub micro: u32,
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { global, data, micro } = self;
        write!(
            f,
            "failed to cut a global batch of {global} into micro-batches of {micro} on {data} ranks: it does not divide"
        )
    }
}

impl std::error::Error for BatchError {}

impl Batch {
    /// Cuts `global` samples over `data` ranks into micro-batches of `micro`.
    ///
    /// # Errors
    /// When `global` is not a multiple of `micro × data`, or one of them is 0.
    pub fn cut(global: u32, data: u32, micro: u32) -> Result<Self, BatchError> {
        let error = BatchError { global, data, micro };
        let at_once = micro.checked_mul(data).filter(|n| *n > 0).ok_or(error)?;
        if global == 0 || !global.is_multiple_of(at_once) {
            return Err(error);
        }
        Ok(Self { micro, accumulation: global / at_once, global })
    }

    /// Every way to cut `global` over `data` ranks, the largest micro-batch first; empty when it does not divide.
    pub fn cuts(global: u32, data: u32) -> Vec<Self> {
        if data == 0 || global == 0 || !global.is_multiple_of(data) {
            return Vec::new();
        }
        let per_rank = global / data;
        (1..=per_rank).rev().filter_map(|micro| Self::cut(global, data, micro).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_keeps_the_global_batch() {
        for data in 1..=16 {
            for cut in Batch::cuts(96, data) {
                assert_eq!(cut.micro * cut.accumulation * data, 96);
            }
        }
        assert_eq!(Batch::cuts(96, 5), Vec::new());
        assert_eq!(Batch::cuts(12, 2).iter().map(|b| b.micro).collect::<Vec<_>>(), [6, 3, 2, 1]);
    }

    #[test]
    fn a_batch_that_does_not_divide_is_refused_with_its_numbers() {
        let error = Batch::cut(10, 4, 1).unwrap_err();
        assert!(error.to_string().contains("global batch of 10"), "{error}");
    }
}
