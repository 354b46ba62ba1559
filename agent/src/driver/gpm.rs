//! GPU performance monitoring: Hopper and later.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nvml_wrapper::enums::gpm::GpmMetricId;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::gpm::{GpmSample, gpm_metrics_get};
use nvml_wrapper::{Device, Nvml};

/// The driver refreshes its counters this often; two samples closer together say nothing.
const REFRESH: Duration = Duration::from_millis(100);

/// How long a device waits for its turn before it goes without.
const PATIENCE: Duration = Duration::from_millis(200);

/// Lets one device at a time into the monitoring calls: drivers are known to crash on parallel ones.
#[derive(Debug, Default)]
pub(super) struct Turn {
    taken: Mutex<bool>,
    ended: Condvar,
}

struct Taken<'a>(&'a Turn);

/// Activities between two samples, each 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Activity {
    pub(super) sm: Option<f64>,
    pub(super) tensor: Option<f64>,
    pub(super) dram: Option<f64>,
}

/// Monitors one device.
pub(super) struct Monitor {
    nvml: &'static Nvml,
    turn: Arc<Turn>,
    previous: Option<(GpmSample<'static>, Instant)>,
    last: Option<Activity>,
}

impl Turn {
    /// Takes the turn. None when another device keeps it too long, which it does when the driver hangs under it.
    fn take(&self, patience: Duration) -> Option<Taken<'_>> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.ended.wait_timeout_while(taken, patience, |taken| *taken);
        let (mut taken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() && *taken {
            return None;
        }
        *taken = true;
        Some(Taken(self))
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.ended.notify_one();
    }
}

impl Monitor {
    pub(super) fn new(nvml: &'static Nvml, turn: Arc<Turn>) -> Self {
        Self { nvml, turn, previous: None, last: None }
    }

    /// What the device did since the last look; None on the first look and when it is not this device's turn.
    pub(super) fn read(&mut self, device: &Device<'static>) -> Result<Option<Activity>, NvmlError> {
        if self.previous.as_ref().is_some_and(|(_, at)| at.elapsed() < REFRESH) {
            return Ok(self.last);
        }
        let turn = Arc::clone(&self.turn);
        let Some(_taken) = turn.take(PATIENCE) else { return Ok(None) };
        let sample = device.gpm_sample()?;
        let at = Instant::now();
        let between = match &self.previous {
            Some((previous, _)) => Some(self.between(previous, &sample)?),
            None => None,
        };
        self.previous = Some((sample, at));
        self.last = between;
        Ok(between)
    }

    fn between(&self, first: &GpmSample<'static>, second: &GpmSample<'static>) -> Result<Activity, NvmlError> {
        const WANTED: [GpmMetricId; 3] = [GpmMetricId::SmUtil, GpmMetricId::AnyTensorUtil, GpmMetricId::DramBwUtil];
        let mut activity = Activity::default();
        // A metric that this device lacks has its own refusal and leaves the others alone.
        for metric in gpm_metrics_get(self.nvml, first, second, &WANTED)?.into_iter().flatten() {
            let place = match metric.metric_id {
                GpmMetricId::SmUtil => &mut activity.sm,
                GpmMetricId::AnyTensorUtil => &mut activity.tensor,
                GpmMetricId::DramBwUtil => &mut activity.dram,
                _ => continue,
            };
            *place = ratio(metric.value);
        }
        Ok(activity)
    }
}

/// Percent as a ratio. Drivers have been seen to give blank values as huge numbers: those are no reading. A little
/// above the whole is rounding.
pub(super) fn ratio(percent: f64) -> Option<f64> {
    (0.0..=105.0).contains(&percent).then(|| (percent / 100.0).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_within_bounds_or_no_reading() {
        assert_eq!(ratio(0.0), Some(0.0));
        assert_eq!(ratio(50.0), Some(0.5));
        assert_eq!(ratio(101.0), Some(1.0));
        assert_eq!(ratio(140_737_488_355_328.0), None);
        assert_eq!(ratio(-1.0), None);
        assert_eq!(ratio(f64::NAN), None);
    }

    #[test]
    fn a_turn_is_had_by_one_and_comes_back() {
        let turn = Turn::default();
        let taken = turn.take(Duration::ZERO).unwrap();
        assert!(turn.take(Duration::ZERO).is_none());
        drop(taken);
        assert!(turn.take(Duration::ZERO).is_some());
    }
}
