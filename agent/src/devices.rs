//! The devices of the node as the answers come in. Reads no clock and waits for nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use plimsoll_crds::accelerator_node::{Health, Holder};

use crate::attribution::Attribution;
use crate::driver::{Identity, ReadError, Reading, Reply};
use crate::energy::EnergyMeter;
use crate::snapshot::DeviceSnapshot;
use crate::window::{Sample, Window};

/// The devices of the node.
#[derive(Debug)]
pub struct Devices {
    devices: Vec<Device>,
    driver_timeout: Duration,
}

#[derive(Debug)]
struct Device {
    identity: Arc<Identity>,
    health: Health,
    latest: Option<(Instant, Reading)>,
    /// When the driver last gave a reading; the start, before the first.
    answered: Instant,
    /// Since when the driver has answered with refusals alone.
    refused: Option<Instant>,
    energy: EnergyMeter,
    throttled_seconds: Option<[(&'static str, f64); 3]>,
    /// None while the kubelet has not said.
    holders: Option<Vec<Holder>>,
    window: Window,
}

impl Devices {
    /// The devices that the driver identified. One without a reading for `driver_timeout` counts as unresponsive.
    #[must_use]
    pub fn new(identities: Vec<Identity>, window: Duration, driver_timeout: Duration, now: Instant) -> Self {
        let devices = identities.into_iter().map(|identity| Device {
            identity: Arc::new(identity),
            health: Health::Healthy,
            latest: None,
            answered: now,
            refused: None,
            energy: EnergyMeter::default(),
            throttled_seconds: None,
            holders: None,
            window: Window::new(window, now),
        });
        Self { devices: devices.collect(), driver_timeout }
    }

    /// Takes what a device answered.
    pub fn reply(&mut self, reply: Reply) {
        let Some(device) = self.devices.get_mut(reply.device) else { return };
        match reply.outcome {
            Ok(reading) => device.read(reading, reply.at),
            Err(ReadError::Lost(error)) => {
                device.refused = None;
                if device.health != Health::Failed {
                    let uuid = &device.identity.uuid;
                    tracing::error!(uuid, error = &error as &dyn std::error::Error, "a device is lost");
                }
                device.health = Health::Failed;
            }
            Err(ReadError::Refused(error)) => {
                device.refused.get_or_insert(reply.at);
                let uuid = &device.identity.uuid;
                tracing::debug!(uuid, error = &error as &dyn std::error::Error, "a device gives no reading");
            }
        }
    }

    /// Looks whose time ran out.
    pub fn check(&mut self, now: Instant) {
        for device in &mut self.devices {
            let silent = now.saturating_duration_since(device.answered) > self.driver_timeout;
            if silent && device.health == Health::Healthy {
                tracing::error!(uuid = device.identity.uuid, "a device does not answer");
                device.health = Health::Unresponsive;
            }
            device.window.forget(now);
        }
    }

    /// For how long the driver has refused every question about every device.
    #[must_use]
    pub fn refused_for(&self, now: Instant) -> Duration {
        let since = |device: &Device| device.refused.map(|since| now.saturating_duration_since(since));
        self.devices.iter().map(|device| since(device).unwrap_or_default()).min().unwrap_or_default()
    }

    /// Takes who holds what; a device whose holders changed begins a new window.
    pub fn hold(&mut self, attribution: &Attribution, now: Instant) {
        if !attribution.is_known() {
            // The last known holders stay until others are known: a kubelet that restarts must not cut every window.
            return;
        }
        for device in &mut self.devices {
            let holders = attribution.holders_of(&device.identity);
            if device.holders.as_ref() != Some(&holders) {
                device.holders = Some(holders);
                device.window.restart(now);
            }
        }
    }

    /// What is known now.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Vec<DeviceSnapshot> {
        let devices = self.devices.iter().map(|device| DeviceSnapshot {
            identity: Arc::clone(&device.identity),
            health: device.health,
            latest: device.latest,
            energy_total_joules: device.energy.total_joules(),
            throttled_seconds: device.throttled_seconds,
            window: device.window.summary(now),
        });
        devices.collect()
    }
}

impl Device {
    fn read(&mut self, reading: Reading, at: Instant) {
        if let Some(throttle) = reading.throttle {
            // A reason counts for the time since the last reading, unless nobody looked for long.
            let since = self.latest.map(|(last, _)| at.saturating_duration_since(last)).unwrap_or_default();
            let seconds = since.min(Duration::from_secs(10)).as_secs_f64();
            let before = self.throttled_seconds.unwrap_or_else(|| throttle.reasons().map(|(reason, _)| (reason, 0.0)));
            let mut now = before;
            for ((_, total), (_, holds)) in now.iter_mut().zip(throttle.reasons()) {
                *total += if holds { seconds } else { 0.0 };
            }
            self.throttled_seconds = Some(now);
        }
        let energy_total_joules = self.energy.feed(&reading, at);
        self.window.push(Sample { at, reading, energy_total_joules });
        self.latest = Some((at, reading));
        self.answered = at;
        self.refused = None;
        if self.health != Health::Healthy {
            tracing::info!(uuid = self.identity.uuid, "a device answers again");
        }
        self.health = Health::Healthy;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use nvml_wrapper::error::NvmlError;

    use super::*;
    use crate::driver::Throttle;

    const SECOND: Duration = Duration::from_secs(1);

    fn devices(now: Instant) -> Devices {
        let identity = |index| Identity {
            uuid: format!("GPU-{index}"),
            index,
            product: "NVIDIA H100 80GB HBM3".to_owned(),
            pci_bus_id: None,
            memory_total_bytes: None,
            instances: Vec::new(),
        };
        Devices::new(vec![identity(0), identity(1)], 60 * SECOND, 5 * SECOND, now)
    }

    fn held_by(pod: &str) -> Attribution {
        let holder = Holder { namespace: "lab".to_owned(), pod: pod.to_owned(), container: "train".to_owned() };
        Attribution::Known(BTreeMap::from([("GPU-0".to_owned(), vec![holder])]))
    }

    fn reading(busy: f64) -> Result<Reading, ReadError> {
        Ok(Reading { busy: Some(busy), throttle: Some(Throttle::default()), ..Reading::default() })
    }

    #[test]
    fn a_silent_device_is_unresponsive_until_it_answers_and_its_neighbour_is_not() {
        let start = Instant::now();
        let mut devices = devices(start);
        for second in 1..=6 {
            let at = start + second * SECOND;
            devices.reply(Reply { device: 1, outcome: reading(0.5), at });
            devices.check(at);
        }
        let at = start + 6 * SECOND;
        let health = |devices: &Devices| devices.snapshot(at).iter().map(|device| device.health).collect::<Vec<_>>();
        assert_eq!(health(&devices), [Health::Unresponsive, Health::Healthy]);
        assert!(devices.snapshot(at)[0].reading().is_none());
        devices.reply(Reply { device: 0, outcome: reading(0.5), at });
        assert_eq!(health(&devices), [Health::Healthy, Health::Healthy]);
    }

    #[test]
    fn a_lost_device_is_failed_and_stays_so_while_it_says_so() {
        let start = Instant::now();
        let mut devices = devices(start);
        devices.reply(Reply { device: 0, outcome: reading(1.0), at: start });
        devices.reply(Reply { device: 0, outcome: Err(ReadError::Lost(NvmlError::GpuLost)), at: start + SECOND });
        devices.check(start + 30 * SECOND);
        let snapshot = &devices.snapshot(start + 30 * SECOND)[0];
        assert_eq!(snapshot.health, Health::Failed);
        assert!(snapshot.reading().is_none(), "what it said before is no reading any more");
    }

    #[test]
    fn refusals_are_silence() {
        let start = Instant::now();
        let mut devices = devices(start);
        for second in 1..=6 {
            let outcome = Err(ReadError::Refused(NvmlError::Unknown));
            devices.reply(Reply { device: 0, outcome, at: start + second * SECOND });
        }
        devices.check(start + 6 * SECOND);
        assert_eq!(devices.snapshot(start)[0].health, Health::Unresponsive);
        assert_eq!(devices.refused_for(start + 6 * SECOND), Duration::ZERO, "the other device was not asked yet");
        devices.reply(Reply {
            device: 1,
            outcome: Err(ReadError::Refused(NvmlError::Unknown)),
            at: start + 6 * SECOND,
        });
        assert_eq!(devices.refused_for(start + 9 * SECOND), 3 * SECOND);
        devices.reply(Reply { device: 1, outcome: reading(0.0), at: start + 9 * SECOND });
        assert_eq!(devices.refused_for(start + 9 * SECOND), Duration::ZERO);
    }

    #[test]
    fn a_new_holder_begins_a_new_window_and_an_unknown_one_does_not() {
        let start = Instant::now();
        let mut devices = devices(start);
        devices.hold(&held_by("a"), start);
        devices.reply(Reply { device: 0, outcome: reading(1.0), at: start + SECOND });
        devices.hold(&Attribution::Unknown, start + 2 * SECOND);
        devices.hold(&held_by("a"), start + 3 * SECOND);
        assert_eq!(devices.snapshot(start + 3 * SECOND)[0].window.unwrap().began, start);

        devices.hold(&held_by("b"), start + 4 * SECOND);
        assert_eq!(devices.snapshot(start + 4 * SECOND)[0].window, None);
        devices.reply(Reply { device: 0, outcome: reading(0.0), at: start + 5 * SECOND });
        let window = devices.snapshot(start + 5 * SECOND)[0].window.unwrap();
        assert_eq!((window.began, window.busy), (start + 4 * SECOND, Some(0.0)));

        devices.hold(&Attribution::Known(BTreeMap::new()), start + 6 * SECOND);
        assert_eq!(devices.snapshot(start + 6 * SECOND)[0].window, None);
    }

    #[test]
    fn throttling_counts_the_time_between_readings() {
        let start = Instant::now();
        let mut devices = devices(start);
        let hot = Throttle { thermal: true, ..Throttle::default() };
        for second in 0..=4 {
            let outcome = Ok(Reading { throttle: Some(hot), ..Reading::default() });
            devices.reply(Reply { device: 0, outcome, at: start + second * SECOND });
        }
        let seconds = devices.snapshot(start)[0].throttled_seconds.unwrap();
        assert_eq!(seconds, [("power_cap", 0.0), ("thermal", 4.0), ("power_brake", 0.0)]);
        assert_eq!(devices.snapshot(start)[1].throttled_seconds, None);
    }
}
