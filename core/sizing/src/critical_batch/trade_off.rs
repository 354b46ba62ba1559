//! Steps against samples.

use serde::{Deserialize, Serialize};

/// The trade of steps against samples around a critical batch `Bc` (McCandlish et al., arXiv 1812.06162, equation 5.1):
/// `(S/S_min - 1)·(X/X_min - 1) = 1` for `S` steps and `X` samples to one loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TradeOff {
    /// `Bc`, in the unit of the batches; above 0.
    pub critical: f64,
}

impl TradeOff {
    /// Steps over the fewest possible: `1 + Bc/B`.
    pub fn steps_multiple(&self, batch: f64) -> f64 {
        1.0 + self.critical / batch
    }

    /// Samples over the fewest possible: `1 + B/Bc`.
    pub fn samples_multiple(&self, batch: f64) -> f64 {
        1.0 + batch / self.critical
    }

    /// Progress of a sample over that of one in a very small batch: `1/(1 + B/Bc)`, above 0 and below 1.
    pub fn efficiency(&self, batch: f64) -> f64 {
        1.0 / self.samples_multiple(batch)
    }

    /// The batch that takes `overhead` (0.2 = 20 %) more samples than the fewest: `overhead·Bc`.
    pub fn batch_at_overhead(&self, overhead: f64) -> f64 {
        overhead * self.critical
    }
}
