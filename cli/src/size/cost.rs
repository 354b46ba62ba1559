//! What a whole run takes: hours, energy, carbon, money, and what failures cost of the time.

use std::str::FromStr;

use plimsoll_sizing::economy::{Bill, Disruptions, Load, PowerModel, Run, Site, mtbf_seconds};
use plimsoll_sizing::{Candidate, ClassSpec, Prediction};
use thiserror::Error;

use super::{SizeError, classes};
use crate::args::SiteArgs;

/// Seconds from a failure until training goes on: what the operator assumes of a restart unless it is told otherwise.
const RESTART_SECONDS: f64 = 60.0;

/// `MONEY` or `CLASS=MONEY`: what a device costs an hour.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Price {
    class: Option<String>,
    per_hour: f64,
}

/// Why an argument is no price.
#[derive(Debug, Error)]
#[error("failed to read the price {text:?}: give what a device costs an hour, as in 2.49, or h100=2.49 for one class")]
pub(crate) struct PriceError {
    text: String,
}

impl FromStr for Price {
    type Err = PriceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (class, number) = text.split_once('=').map_or((None, text), |(class, number)| (Some(class), number));
        let price = number.parse::<f64>().ok().filter(|price| price.is_finite() && *price > 0.0);
        match price {
            Some(per_hour) if class != Some("") => Ok(Self { class: class.map(str::to_owned), per_hour }),
            _ => Err(PriceError { text: text.to_owned() }),
        }
    }
}

/// A number above 0.
pub(crate) fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "give a number above 0".to_owned())
}

/// A factor from 1.
pub(crate) fn overhead(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 1.0);
    number.ok_or_else(|| "give a factor of at least 1".to_owned())
}

/// Gives classes the prices that the command line names, a class's own before the one for all.
pub(super) fn price(classes: &mut [ClassSpec], prices: &[Price]) -> Result<(), SizeError> {
    let (own, common): (Vec<_>, Vec<_>) = prices.iter().partition(|price| price.class.is_some());
    for price in common {
        classes.iter_mut().for_each(|class| class.price_per_hour = Some(price.per_hour));
    }
    for Price { class, per_hour } in own {
        let name = class.as_deref().unwrap_or_default();
        let product = classes::product(name)?;
        let mut named = classes.iter_mut().filter(|class| class.name.as_str() == product.class).peekable();
        if named.peek().is_none() {
            return Err(SizeError::Price { name: name.to_owned() });
        }
        named.for_each(|class| class.price_per_hour = Some(*per_hour));
    }
    Ok(())
}

/// What a device of a candidate draws, in watts. Devices draw what their activity lets them.
pub(super) fn watts(candidate: &Candidate, class: &ClassSpec) -> f64 {
    let Prediction { sm_activity, mfu, .. } = candidate.predicted;
    PowerModel::of_cap(class.watts).watts(&Load { sm_activity, mfu, bandwidth_share: 0.0 })
}

/// How runs are paid for and interrupted.
pub(super) struct Terms {
    site: Site,
    gpu_hours_per_failure: Option<f64>,
    /// Time that writing a checkpoint takes, in seconds, where the job has checkpoints.
    checkpoint_seconds: Option<f64>,
}

impl Terms {
    pub(super) fn new(args: &SiteArgs, checkpoint_seconds: Option<i32>) -> Self {
        let grams = args.carbon_intensity.unwrap_or(0.0);
        Self {
            site: Site {
                node_overhead: args.node_overhead.unwrap_or(Site::DEVICES_ONLY.node_overhead),
                pue: args.pue.unwrap_or(Site::DEVICES_ONLY.pue),
                carbon_kg_per_kwh: grams / 1e3,
            },
            gpu_hours_per_failure: args.gpu_hours_per_failure,
            checkpoint_seconds: checkpoint_seconds.filter(|seconds| *seconds > 0).map(f64::from),
        }
    }

    pub(super) fn counts_carbon(&self) -> bool {
        self.site.carbon_kg_per_kwh > 0.0
    }

    /// What interrupts a run on so many devices, where both the failures and the checkpoints are known.
    fn disruptions(&self, gpus: u32) -> Option<Disruptions> {
        Some(Disruptions {
            checkpoint_seconds: self.checkpoint_seconds?,
            restart_seconds: RESTART_SECONDS,
            mtbf_seconds: mtbf_seconds(self.gpu_hours_per_failure?, gpus),
        })
    }

    /// What `samples` samples take with a candidate.
    pub(super) fn bill(&self, candidate: &Candidate, class: &ClassSpec, samples: f64) -> Bill {
        let gpus = candidate.shape.gpus();
        let steps = (samples / f64::from(candidate.batch.global)).ceil();
        let run = Run {
            gpus,
            step_seconds_in_all: steps * candidate.predicted.step_seconds,
            goodput_fraction: self.disruptions(gpus).map_or(1.0, |known| known.best_goodput_fraction()),
            watts: watts(candidate, class),
            price_per_gpu_hour: class.price_per_hour,
        };
        run.bill(&self.site)
    }

    /// How often a candidate should write checkpoints, in one sentence.
    pub(super) fn checkpoints(&self, candidate: &Candidate) -> Option<String> {
        let gpus = candidate.shape.gpus();
        let disruptions = self.disruptions(gpus)?;
        let Disruptions { checkpoint_seconds, restart_seconds, mtbf_seconds } = disruptions;
        let (interval, young) = (disruptions.daly_interval_seconds(), disruptions.young_interval_seconds());
        Some(format!(
            "checkpoints: one every {} of progress on {gpus} GPUs (Daly 2006; {} by Young 1974), with a failure every {}, \
             {checkpoint_seconds:.0} s to write one and {restart_seconds:.0} s to start again; {:.1} % of the time becomes \
             progress",
            duration(interval),
            duration(young),
            duration(mtbf_seconds),
            disruptions.goodput_fraction(interval) * 100.0,
        ))
    }
}

/// A time as people say it.
pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        s if s >= 172_800.0 => format!("{:.1}d", s / 86_400.0),
        s if s >= 7200.0 => format!("{:.1}h", s / 3600.0),
        s if s >= 120.0 => format!("{:.0}min", s / 60.0),
        s => format!("{s:.0}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_money_for_all_classes_or_for_one() {
        assert_eq!("2.49".parse::<Price>().unwrap(), Price { class: None, per_hour: 2.49 });
        assert_eq!("h100=2".parse::<Price>().unwrap(), Price { class: Some("h100".to_owned()), per_hour: 2.0 });
        for wrong in ["", "=2", "h100=", "h100=-1", "free", "0", "inf"] {
            let error = wrong.parse::<Price>().unwrap_err().to_string();
            assert!(error.contains("h100=2.49"), "{error}");
        }
    }

    #[test]
    fn times_are_said_in_the_unit_that_fits() {
        assert_eq!([45.0, 600.0, 10_800.0, 864_000.0].map(duration), ["45s", "10min", "3.0h", "10.0d"]);
    }
}
