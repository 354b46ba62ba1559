//! What a device draws while it trains.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How busy a device is; every share is 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Share of the time in which its multiprocessors work (DCGM SM_ACTIVE). NVML's `utilization.gpu` is not this: it only
    /// says that some kernel ran, and is near 1 even where little is computed.
    pub sm_activity: f64,
    /// Model FLOPs utilization.
    pub mfu: f64,
    /// Share of the peak memory bandwidth in use.
    pub bandwidth_share: f64,
}

/// One measurement of power, such as an agent's window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PowerSample {
    /// How busy the device was.
    pub load: Load,
    /// What it drew, in watts; from the energy counter rather than from sampled power where there is one.
    pub watts: f64,
}

/// What a device draws for its load.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum PowerModel {
    /// `idle + (cap - idle)·u^g` with `u` the SM activity: all that is known before a class was measured.
    Activity {
        /// Draw without work, in watts.
        idle_watts: f64,
        /// Power limit, in watts.
        cap_watts: f64,
        /// `g`, 0.8 to 1: power rises fast with the first work, since clocks and memory wake for all of it.
        exponent: f64,
    },
    /// `idle + a·MFU + b·bandwidth share`: fitted to measurements of one class.
    Fitted {
        /// Draw without work, in watts.
        idle_watts: f64,
        /// `a`, in watts.
        watts_per_mfu: f64,
        /// `b`, in watts.
        watts_per_bandwidth_share: f64,
        /// Power limit, in watts.
        cap_watts: f64,
    },
}

/// Samples that no power model can be fitted to.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum PowerFitError {
    /// The samples do not tell idle, compute and memory apart.
    #[error("failed to fit power: {samples} samples do not tell idle draw, MFU and bandwidth apart")]
    Undetermined {
        /// How many there are.
        samples: usize,
    },
}

impl PowerModel {
    /// Idle draw as a share of the power limit: 10 % of 700 W on an H100, 14 % of 400 W on an A100, 16 % of 300 W on a
    /// V100, 14 % of 70 W on a T4, 6 % of 450 W on an RTX 4090, as such devices report at rest.
    const IDLE_SHARE: f64 = 0.12;

    /// The middle of the range of `g`.
    const EXPONENT: f64 = 0.9;

    /// The model of a class that nothing was measured on, by its power limit in watts.
    pub fn of_cap(cap_watts: f64) -> Self {
        Self::Activity { idle_watts: cap_watts * Self::IDLE_SHARE, cap_watts, exponent: Self::EXPONENT }
    }

    /// What the device draws, in watts: from its idle draw to its power limit.
    pub fn watts(&self, load: &Load) -> f64 {
        match *self {
            Self::Activity { idle_watts, cap_watts, exponent } => {
                idle_watts + (cap_watts - idle_watts) * load.sm_activity.clamp(0.0, 1.0).powf(exponent)
            }
            Self::Fitted { idle_watts, watts_per_mfu, watts_per_bandwidth_share, cap_watts } => {
                let watts = idle_watts + watts_per_mfu * load.mfu + watts_per_bandwidth_share * load.bandwidth_share;
                // Not clamp: a fit may put the idle draw above the limit.
                watts.max(idle_watts).min(cap_watts)
            }
        }
    }

    /// The fitted form from measurements of one class, by least squares.
    ///
    /// # Errors
    /// When the samples do not determine its three constants.
    pub fn fit(samples: &[PowerSample], cap_watts: f64) -> Result<Self, PowerFitError> {
        let undetermined = PowerFitError::Undetermined { samples: samples.len() };
        let mut rows = [[0.0; 4]; 3];
        for sample in samples {
            let columns = [1.0, sample.load.mfu, sample.load.bandwidth_share, sample.watts];
            for (row, left) in rows.iter_mut().zip(columns) {
                for (entry, right) in row.iter_mut().zip(columns) {
                    *entry += left * right;
                }
            }
        }
        let [idle_watts, watts_per_mfu, watts_per_bandwidth_share] = solved(rows).ok_or(undetermined)?;
        Ok(Self::Fitted { idle_watts, watts_per_mfu, watts_per_bandwidth_share, cap_watts })
    }
}

/// Solves three normal equations (Gauss-Jordan with the largest pivot); `None` when they are not independent.
fn solved(mut rows: [[f64; 4]; 3]) -> Option<[f64; 3]> {
    let scale = rows.iter().flat_map(|row| &row[..3]).fold(0.0_f64, |largest, entry| entry.abs().max(largest));
    for column in 0..3 {
        let pivot = (column..3).max_by(|a, b| rows[*a][column].abs().total_cmp(&rows[*b][column].abs()))?;
        rows.swap(column, pivot);
        let head = rows[column][column];
        if head.abs().is_nan() || head.abs() <= scale * 1e-9 {
            return None;
        }
        let normal = rows[column].map(|entry| entry / head);
        for (index, row) in rows.iter_mut().enumerate() {
            let factor = if index == column { 0.0 } else { row[column] };
            for (entry, by) in row.iter_mut().zip(normal) {
                *entry -= factor * by;
            }
        }
        rows[column] = normal;
    }
    Some(rows.map(|row| row[3]))
}
