//! Reads one device.

use std::sync::Arc;

use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::ProcessUtilizationSample;
use nvml_wrapper::{Device, Nvml};
use plimsoll_crds::accelerator_node::SmSignal;

use super::gpm::{Activity, Monitor, Turn, ratio};
use super::reading::{Memory, Reading, SmActivity, Throttle};

/// The device gave no reading.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It fell off the bus or needs a reset.
    #[error("failed to read device: it is lost or needs a reset")]
    Lost(#[source] NvmlError),
    /// The driver refuses every question.
    #[error("failed to read device: the driver refuses")]
    Refused(#[source] NvmlError),
}

/// After so many silent looks the second best signal is used. Not at once: a window should not mix two signals.
const SILENT_LOOKS: u32 = 3;

/// Reads one device, again and again.
pub(super) struct Reader {
    device: Device<'static>,
    monitor: Option<Monitor>,
    /// Looks in a row at which monitoring said nothing: the first has no sample before it, another device may have the
    /// turn, the driver may keep the counters to the administrator.
    silent_looks: u32,
    /// Time stamp of the newest process sample seen, in the driver's microseconds; asking from there on gives new ones.
    newest_process_sample: u64,
}

/// The answers of one look: which call failed does not matter as long as another did not.
#[derive(Default)]
struct Look {
    answered: bool,
    refusal: Option<NvmlError>,
}

impl Reader {
    pub(super) fn new(nvml: &'static Nvml, index: u32, turn: Arc<Turn>) -> Result<Self, ReadError> {
        let device = nvml.device_by_index(index).map_err(|error| match error {
            lost @ (NvmlError::GpuLost | NvmlError::ResetRequired) => ReadError::Lost(lost),
            other => ReadError::Refused(other),
        })?;
        // A driver too old for the question has no monitoring either.
        let supported = device.gpm_support().unwrap_or(false);
        let monitor = supported.then(|| Monitor::new(nvml, turn));
        Ok(Self { device, monitor, silent_looks: 0, newest_process_sample: 0 })
    }

    pub(super) fn read(&mut self) -> Result<Reading, ReadError> {
        let mut look = Look::default();
        let device = &self.device;
        let memory = look.take(device.memory_info())?;
        let busy = look.take(device.utilization_rates())?;
        let power = look.take(device.power_usage())?;
        let energy = look.take(device.total_energy_consumption())?;
        let temperature = look.take(device.temperature(TemperatureSensor::Gpu))?;
        let throttle = look.take(device.current_throttle_reasons())?;
        let activity = match &mut self.monitor {
            Some(monitor) => look.take(monitor.read(device))?.flatten().unwrap_or_default(),
            None => Activity::default(),
        };
        self.silent_looks = if activity.sm.is_some() { 0 } else { self.silent_looks.saturating_add(1) };
        let sm = match activity.sm {
            Some(ratio) => Some(SmActivity { ratio, signal: SmSignal::Gpm }),
            None if self.monitor.is_some() && self.silent_looks <= SILENT_LOOKS => None,
            None => self.process_sm(&mut look)?,
        };
        match look {
            Look { answered: false, refusal: Some(error) } => Err(ReadError::Refused(error)),
            _ => Ok(Reading {
                busy: busy.and_then(|rates| ratio(f64::from(rates.gpu))),
                sm,
                tensor: activity.tensor,
                dram: activity.dram,
                memory: memory.map(|memory| Memory { used_bytes: memory.used, total_bytes: memory.total }),
                power_watts: power.map(|milliwatts| f64::from(milliwatts) / 1e3),
                energy_joules: energy.map(|millijoules| millijoules as f64 / 1e3),
                temperature_celsius: temperature,
                throttle: throttle.map(throttled),
            }),
        }
    }

    fn process_sm(&mut self, look: &mut Look) -> Result<Option<SmActivity>, ReadError> {
        let samples = match self.device.process_utilization_stats(self.newest_process_sample) {
            // How the driver says that no process was active.
            Err(NvmlError::NotFound) => Vec::new(),
            answer => match look.take(answer)? {
                Some(samples) => samples,
                None => return Ok(None),
            },
        };
        let newest = samples.iter().map(|sample| sample.timestamp).max();
        self.newest_process_sample = newest.unwrap_or(self.newest_process_sample);
        Ok(sum_of_processes(&samples).map(|ratio| SmActivity { ratio, signal: SmSignal::ProcessSm }))
    }
}

impl Look {
    /// The value of a call; None where the device cannot tell. A lost device ends the look.
    fn take<T>(&mut self, answer: Result<T, NvmlError>) -> Result<Option<T>, ReadError> {
        match answer {
            Ok(value) => {
                self.answered = true;
                Ok(Some(value))
            }
            Err(lost @ (NvmlError::GpuLost | NvmlError::ResetRequired)) => Err(ReadError::Lost(lost)),
            Err(error) => {
                self.refusal.get_or_insert(error);
                Ok(None)
            }
        }
    }
}

/// Mean over each process's samples, summed over the processes. None when all samples are nonsense.
fn sum_of_processes(samples: &[ProcessUtilizationSample]) -> Option<f64> {
    // Values above the whole have been seen; they are garbage, not load.
    let sound: Vec<_> = samples.iter().filter(|sample| sample.sm_util <= 100).collect();
    if sound.is_empty() && !samples.is_empty() {
        return None;
    }
    let share = |sample: &ProcessUtilizationSample| {
        let of_process = sound.iter().filter(|other| other.pid == sample.pid).count();
        f64::from(sample.sm_util) / of_process as f64
    };
    let sum: f64 = sound.iter().map(|sample| share(sample)).sum();
    Some((sum / 100.0).min(1.0))
}

fn throttled(reasons: ThrottleReasons) -> Throttle {
    let thermal = ThrottleReasons::SW_THERMAL_SLOWDOWN | ThrottleReasons::HW_THERMAL_SLOWDOWN;
    Throttle {
        power_cap: reasons.contains(ThrottleReasons::SW_POWER_CAP),
        thermal: reasons.intersects(thermal),
        power_brake: reasons.contains(ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(pid: u32, sm_util: u32) -> ProcessUtilizationSample {
        ProcessUtilizationSample { pid, timestamp: 1, sm_util, mem_util: 0, enc_util: 0, dec_util: 0 }
    }

    #[test]
    fn processes_add_up_and_samples_of_one_process_average() {
        assert_eq!(sum_of_processes(&[]), Some(0.0));
        assert_eq!(sum_of_processes(&[sample(1, 20), sample(1, 40), sample(2, 10)]), Some(0.4));
        assert_eq!(sum_of_processes(&[sample(1, 80), sample(2, 70)]), Some(1.0));
    }

    #[test]
    fn samples_above_the_whole_are_no_reading() {
        assert_eq!(sum_of_processes(&[sample(1, 4_000_000), sample(2, 30)]), Some(0.3));
        assert_eq!(sum_of_processes(&[sample(1, 4_000_000)]), None);
    }

    #[test]
    fn slowdown_for_heat_is_not_slowdown_for_power() {
        let hot = throttled(ThrottleReasons::HW_THERMAL_SLOWDOWN | ThrottleReasons::HW_SLOWDOWN);
        assert_eq!(hot, Throttle { thermal: true, ..Throttle::default() });
        assert_eq!(throttled(ThrottleReasons::GPU_IDLE), Throttle::default());
    }
}
