//! How often to write checkpoints, and what failures leave of the time.

use serde::{Deserialize, Serialize};

/// What interrupts a run. Failures come at random (exponential times between them), as both sources assume.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Disruptions {
    /// Time in which writing a checkpoint holds training up, in seconds.
    pub checkpoint_seconds: f64,
    /// Time from a failure until training goes on from the last checkpoint, in seconds.
    pub restart_seconds: f64,
    /// Mean time between failures of the whole job, in seconds; finite and above 0.
    pub mtbf_seconds: f64,
}

/// Mean time between failures of a job on `gpus` devices, in seconds, when one device (with its share of node and network)
/// fails once in `gpu_hours_per_failure`: any failure stops all of them. Published large runs on H100 class fleets are
/// interrupted about once in 50,000 to 80,000 GPU-hours.
pub fn mtbf_seconds(gpu_hours_per_failure: f64, gpus: u32) -> f64 {
    gpu_hours_per_failure * 3600.0 / f64::from(gpus)
}

impl Disruptions {
    /// Progress between two checkpoints by Young (1974), in seconds: `sqrt(2·δ·M)` with `δ` the checkpoint's time and `M`
    /// the mean time between failures. Good while `δ` is far below `M`.
    pub fn young_interval_seconds(&self) -> f64 {
        (2.0 * self.checkpoint_seconds * self.mtbf_seconds).sqrt()
    }

    /// The same by Daly (2006, equation 37), of higher order:
    /// `sqrt(2·δ·M)·(1 + sqrt(δ/2M)/3 + (δ/2M)/9) - δ` while `δ < 2·M`, else `M`.
    pub fn daly_interval_seconds(&self) -> f64 {
        let ratio = self.checkpoint_seconds / (2.0 * self.mtbf_seconds);
        if ratio >= 1.0 {
            return self.mtbf_seconds;
        }
        self.young_interval_seconds() * (1.0 + ratio.sqrt() / 3.0 + ratio / 9.0) - self.checkpoint_seconds
    }

    /// Share of the time that becomes progress with a checkpoint after each `interval_seconds` of it: Daly's complete model
    /// (2006, equation 20), `τ / (M·e^(R/M)·(e^((τ+δ)/M) - 1))`. 1 when nothing ever fails and checkpoints are free.
    pub fn goodput_fraction(&self, interval_seconds: f64) -> f64 {
        let mtbf = self.mtbf_seconds;
        let segment = ((interval_seconds + self.checkpoint_seconds) / mtbf).exp_m1();
        interval_seconds / (mtbf * (self.restart_seconds / mtbf).exp() * segment)
    }

    /// The goodput fraction at Daly's interval.
    pub fn best_goodput_fraction(&self) -> f64 {
        self.goodput_fraction(self.daly_interval_seconds())
    }
}
