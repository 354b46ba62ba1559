//! Budgets in whatever people have one in, as FLOPs.

use serde::Serialize;
use thiserror::Error;

use crate::{ClassSpec, Precision};

/// What may be spent on a training run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum Budget {
    /// Model FLOPs.
    Flops(f64),
    /// Hours of one device.
    GpuHours(f64),
    /// Money, in the currency of the prices.
    Money(f64),
    /// Energy at the meter of the site, in kWh.
    EnergyKwh(f64),
    /// Wall time on all devices, in seconds.
    Seconds(f64),
}

/// What a device of a class does, takes and costs while it trains.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rates {
    /// Dense peak of one device in the job's precision, in FLOP/s.
    pub peak_flops_per_second: f64,
    /// Model FLOPs utilization, above 0 up to 1, by the convention of `6·N·D`.
    pub mfu: f64,
    /// Devices.
    pub gpus: u32,
    /// Share of the held time that becomes progress, above 0 up to 1: what restarts and checkpoints leave
    /// ([`crate::economy::Disruptions::goodput_fraction`]).
    pub goodput_fraction: f64,
    /// Price of one device for one hour.
    pub price_per_gpu_hour: Option<f64>,
    /// Power at the meter of the site for each device, in watts ([`crate::economy::Site::watts_at_the_meter`]).
    pub site_watts_per_gpu: Option<f64>,
}

/// What a number of FLOPs takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spending {
    /// Model FLOPs.
    pub flops: f64,
    /// Hours of one device.
    pub gpu_hours: f64,
    /// Wall time, in seconds.
    pub seconds: f64,
    /// Money, when there is a price.
    pub money: Option<f64>,
    /// Energy at the meter of the site, in kWh, when the power is known.
    pub energy_kwh: Option<f64>,
}

/// A budget that cannot be turned into FLOPs.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum BudgetError {
    /// A rate or the budget itself is not a number above 0.
    #[error("failed to convert budget: {name} is {value}, it must be above 0")]
    NotPositive {
        /// Which.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// A share is above 1.
    #[error("failed to convert budget: {name} is {value}, it must be at most 1")]
    AboveOne {
        /// Which.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// The budget needs a rate that is not given.
    #[error("failed to convert budget: a budget in {budget} needs {rate}")]
    Missing {
        /// What the budget is in.
        budget: &'static str,
        /// What is needed.
        rate: &'static str,
    },
}

impl Rates {
    /// `gpus` devices of a class at a precision and an MFU, without losses, price or power; `None` when the class cannot
    /// compute the precision.
    pub fn of(class: &ClassSpec, precision: Precision, mfu: f64, gpus: u32) -> Option<Self> {
        Some(Self {
            peak_flops_per_second: class.peak.at(precision)?,
            mfu,
            gpus,
            goodput_fraction: 1.0,
            price_per_gpu_hour: None,
            site_watts_per_gpu: None,
        })
    }

    /// Model FLOPs that one device adds in an hour: `MFU · peak · goodput fraction · 3600`.
    pub fn flops_per_gpu_hour(&self) -> f64 {
        self.peak_flops_per_second * self.mfu * self.goodput_fraction * 3600.0
    }

    /// What a number of FLOPs takes at these rates.
    pub fn spending(&self, flops: f64) -> Spending {
        let gpu_hours = flops / self.flops_per_gpu_hour();
        Spending {
            flops,
            gpu_hours,
            seconds: gpu_hours * 3600.0 / f64::from(self.gpus),
            money: self.price_per_gpu_hour.map(|price| gpu_hours * price),
            energy_kwh: self.site_watts_per_gpu.map(|watts| gpu_hours * watts / 1000.0),
        }
    }

    fn check(&self) -> Result<(), BudgetError> {
        positive("peak FLOP/s", self.peak_flops_per_second)?;
        positive("number of GPUs", f64::from(self.gpus))?;
        for (name, share) in [("MFU", self.mfu), ("goodput fraction", self.goodput_fraction)] {
            positive(name, share)?;
            if share > 1.0 {
                return Err(BudgetError::AboveOne { name, value: share });
            }
        }
        Ok(())
    }
}

impl Budget {
    /// The model FLOPs that the budget pays for.
    ///
    /// # Errors
    /// When the budget or a rate is not above 0, a share is above 1, or money or energy are given without their rate.
    pub fn flops(&self, rates: &Rates) -> Result<f64, BudgetError> {
        rates.check()?;
        let gpu_hours = match *self {
            Self::Flops(flops) => return positive("budget", flops),
            Self::GpuHours(hours) => hours,
            Self::Money(money) => {
                let missing = BudgetError::Missing { budget: "money", rate: "a price per GPU-hour" };
                money / positive("price per GPU-hour", rates.price_per_gpu_hour.ok_or(missing)?)?
            }
            Self::EnergyKwh(kwh) => {
                let missing = BudgetError::Missing { budget: "energy", rate: "the power of a device" };
                kwh * 1000.0 / positive("power of a device", rates.site_watts_per_gpu.ok_or(missing)?)?
            }
            Self::Seconds(seconds) => seconds / 3600.0 * f64::from(rates.gpus),
        };
        Ok(positive("budget", gpu_hours)? * rates.flops_per_gpu_hour())
    }
}

fn positive(name: &'static str, value: f64) -> Result<f64, BudgetError> {
    if value > 0.0 && value.is_finite() { Ok(value) } else { Err(BudgetError::NotPositive { name, value }) }
}
