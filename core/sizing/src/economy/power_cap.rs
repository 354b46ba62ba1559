//! Advice on power limits.

use serde::{Deserialize, Serialize};

/// A power limit worth trying, and what to expect of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PowerCap {
    /// From here, in watts, energy for each token is usually lowest.
    pub low_watts: f64,
    /// Up to here, in watts.
    pub high_watts: f64,
    /// One sentence with the expectation.
    pub advice: String,
}

/// A power limit worth trying on a device with `cap_watts`, for a job that spends `memory_bound` (0 to 1) of its time
/// waiting for memory.
///
/// Energy for each token is usually lowest at 55 to 75 % of the limit, and best searched for on the job itself (Zeus, arXiv
/// 2208.06102). At 70 to 80 % matrix products lose 5 to 10 % of their speed, kernels that wait for memory nearly none.
pub fn power_cap(cap_watts: f64, memory_bound: f64) -> PowerCap {
    let (low_watts, high_watts) = (cap_watts * 0.55, cap_watts * 0.75);
    let computing = 1.0 - memory_bound.clamp(0.0, 1.0);
    let cost = if computing < 0.1 {
        "next to none".to_owned()
    } else {
        format!("{:.0} to {:.0} %", 5.0 * computing, 10.0 * computing)
    };
    let advice = format!(
        "a limit of {high_watts:.0} W instead of {cap_watts:.0} W should cost {cost} of the speed; energy per token is \
         usually lowest between {low_watts:.0} and {high_watts:.0} W, so lower it in steps while tokens per joule rise"
    );
    PowerCap { low_watts, high_watts, advice }
}
