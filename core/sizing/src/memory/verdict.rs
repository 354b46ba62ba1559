//! Whether something fits.

use serde::{Deserialize, Serialize};

/// Whether a prediction fits a device, given how far predictions of this kind have been off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// It fits even if the prediction is too low by the margin.
    FitsWithMargin,
    /// It fits if the prediction is right.
    Fits,
    /// It does not.
    DoesNotFit,
}

impl Verdict {
    /// The verdict on bytes that are needed and bytes that a process can use. `margin` is how far the prediction may be too
    /// low, as a share of it ([`margin_of`](crate::calibration::MemoryConstants::margin_of)).
    pub fn of(needed_bytes: u64, usable_bytes: u64, margin: f64) -> Self {
        if needed_bytes > usable_bytes {
            Self::DoesNotFit
        } else if needed_bytes as f64 * (1.0 + margin) > usable_bytes as f64 {
            Self::Fits
        } else {
            Self::FitsWithMargin
        }
    }

    /// Whether it fits at all.
    pub fn fits(self) -> bool {
        self != Self::DoesNotFit
    }
}
