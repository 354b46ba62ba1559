//! Memory of a model that only answers: a rollout engine, a reference or reward model, an inference job.

use super::states::{dequantised, stored_base};
use super::{Memory, Parts, Tuning};
use crate::calibration::MemoryConstants;
use crate::{Model, Precision};

impl Memory {
    /// Weights in the working precision, or quantised where `tuning` gives bits, and nothing that grows with a batch: keys
    /// and values of sequences at work are the engine's own choice.
    pub fn of_frozen(model: &Model, precision: Precision, tuning: &Tuning, constants: &MemoryConstants) -> Self {
        let profile = model.profile(1);
        let working = precision.working_bytes() as f64;
        let bits = tuning.quantised_bits;
        let buffers = if bits.is_some() { constants.dequantised_copies * dequantised(&profile, working) } else { 0.0 };
        Parts { weights: stored_base(&profile, working, bits), buffers, ..Parts::default() }.memory(1, constants)
    }
}
