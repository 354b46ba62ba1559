//! What a whole run takes.

use serde::{Deserialize, Serialize};

use super::{Energy, Site};

/// A run as its bill sees it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Devices held.
    pub gpus: u32,
    /// Time that steps take when nothing goes wrong, in seconds.
    pub step_seconds_in_all: f64,
    /// Share of the held time that becomes progress, above 0 up to 1.
    pub goodput_fraction: f64,
    /// What a device draws meanwhile, in watts.
    pub watts: f64,
    /// Price of one device for one hour; `None` = not known.
    pub price_per_gpu_hour: Option<f64>,
}

/// What a run takes in all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bill {
    /// Hours of one device, lost time included.
    pub gpu_hours: f64,
    /// Of these, what checkpoints and restarts take.
    pub lost_gpu_hours: f64,
    /// Wall time, in seconds.
    pub seconds: f64,
    /// Energy and carbon.
    pub energy: Energy,
    /// Money, when there is a price.
    pub money: Option<f64>,
}

impl Run {
    /// Adds it up: GPU-hours are progress over the goodput fraction, and each is paid for and draws power.
    pub fn bill(&self, site: &Site) -> Bill {
        let seconds = self.step_seconds_in_all / self.goodput_fraction;
        let gpu_hours = seconds * f64::from(self.gpus) / 3600.0;
        Bill {
            gpu_hours,
            lost_gpu_hours: gpu_hours * (1.0 - self.goodput_fraction),
            seconds,
            energy: site.energy(self.watts, gpu_hours),
            money: self.price_per_gpu_hour.map(|price| price * gpu_hours),
        }
    }
}

/// GPU-hours that were held and not used: the share by which the MFU stays below what such jobs reach. None above it.
pub fn underused_gpu_hours(gpu_hours: f64, mfu: f64, reference_mfu: f64) -> f64 {
    gpu_hours * (1.0 - mfu / reference_mfu).clamp(0.0, 1.0)
}
