//! The status from a snapshot.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use plimsoll_crds::accelerator_node::{AcceleratorNodeStatus, Device, Health, Window};

use crate::snapshot::{DeviceSnapshot, DriverState, Snapshot};
use crate::window::Summary;

/// The status that a snapshot, taken at the wall clock's `observed_at`, gives. None while the first look at the driver is
/// not over, while a device has yet to answer for the first time, or while the holders are unknown: a device without a
/// holder counts as free, so silence is the truthful answer.
#[must_use]
pub fn status(snapshot: &Snapshot, observed_at: Timestamp) -> Option<AcceleratorNodeStatus> {
    let awaited = |device: &DeviceSnapshot| device.health == Health::Healthy && device.latest.is_none();
    let starting = snapshot.driver == DriverState::Starting || snapshot.devices.iter().any(awaited);
    if starting || !snapshot.attribution.is_known() {
        return None;
    }
    let devices: Vec<Device> = snapshot.devices.iter().map(|d| device(d, snapshot, observed_at)).collect();
    let held = devices.iter().filter(|device| device.holder.is_some());
    let activities: Vec<i64> =
        held.clone().filter_map(|device| device.window.as_ref()?.sm_activity_permille).map(i64::from).collect();
    let mean_percent = |permille: &[i64]| {
        let count = i64::try_from(permille.len()).ok().filter(|count| *count > 0)?;
        i32::try_from((permille.iter().sum::<i64>() / count + 5) / 10).ok()
    };
    Some(AcceleratorNodeStatus {
        observed_at: Some(Time(seconds_only(observed_at))),
        agent_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        driver_version: match &snapshot.driver {
            DriverState::Present { version } => version.clone(),
            DriverState::Starting | DriverState::Missing => None,
        },
        product: snapshot.devices.first().map(|device| device.identity.product.clone()),
        device_count: count(devices.len()),
        held_count: count(held.count()),
        sm_activity_percent: mean_percent(&activities),
        devices,
    })
}

fn device(device: &DeviceSnapshot, snapshot: &Snapshot, observed_at: Timestamp) -> Device {
    Device {
        uuid: device.identity.uuid.clone(),
        index: i32::try_from(device.identity.index).unwrap_or(i32::MAX),
        health: device.health,
        memory_total_bytes: device.identity.memory_total_bytes.map(bytes),
        // Where several containers share a device the API has room for one: the first by name, so that it is stable.
        holder: snapshot.attribution.holders_of(&device.identity).into_iter().next(),
        window: device.window.as_ref().map(|summary| {
            let age = snapshot.taken.saturating_duration_since(summary.began);
            window(summary, began(observed_at, age))
        }),
    }
}

fn window(summary: &Summary, start: Option<Timestamp>) -> Window {
    Window {
        start: start.map(|start| Time(seconds_only(start))),
        // Downwards: a window that lacks a moment is not full.
        seconds: i32::try_from(summary.covers.as_secs()).unwrap_or(i32::MAX),
        samples: count(summary.samples),
        busy_percent: summary.busy.map(|ratio| rounded(ratio * 100.0)),
        sm_activity_permille: summary.sm.map(|sm| rounded(sm.ratio * 1000.0)),
        sm_signal: summary.sm.map(|sm| sm.signal),
        tensor_activity_permille: summary.tensor.map(|ratio| rounded(ratio * 1000.0)),
        memory_used_bytes: summary.memory_used_bytes.map(bytes),
        power_watts: summary.power_watts.map(rounded),
        energy_joules: summary.energy_joules.map(|joules| joules.round() as i64),
        temperature_celsius: summary.temperature_celsius.map(|celsius| i32::try_from(celsius).unwrap_or(i32::MAX)),
    }
}

fn began(observed_at: Timestamp, age: Duration) -> Option<Timestamp> {
    observed_at.checked_sub(age).ok()
}

/// The API's times have seconds.
fn seconds_only(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn bytes(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// `as` saturates, which is what a value out of range should do.
fn rounded(value: f64) -> i32 {
    value.round() as i32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Instant;

    use plimsoll_crds::accelerator_node::{Holder, SmSignal};

    use super::*;
    use crate::attribution::Attribution;
    use crate::driver::{Identity, Reading, SmActivity};

    fn snapshot(attribution: Attribution) -> Snapshot {
        let taken = Instant::now() + Duration::from_secs(100);
        let device = |index, window| DeviceSnapshot {
            identity: Arc::new(Identity {
                uuid: format!("GPU-{index}"),
                index,
                product: "Tesla T4".to_owned(),
                pci_bus_id: None,
                memory_total_bytes: Some(16 << 30),
                instances: vec![format!("MIG-{index}")],
            }),
            health: Health::Healthy,
            latest: Some((taken, Reading::default())),
            energy_total_joules: None,
            throttled_seconds: None,
            window,
        };
        let window = Summary {
            began: taken - Duration::from_secs(60),
            covers: Duration::from_secs(60),
            full: true,
            samples: 60,
            busy: Some(0.974),
            sm: Some(SmActivity { ratio: 0.4, signal: SmSignal::ProcessSm }),
            tensor: None,
            memory_used_bytes: Some(3 << 30),
            power_watts: Some(61.6),
            energy_joules: Some(3_696.2),
            temperature_celsius: Some(58),
        };
        Snapshot {
            taken,
            driver: DriverState::Present { version: Some("580.95.05".to_owned()) },
            devices: vec![device(0, Some(window)), device(1, None)],
            attribution: Arc::new(attribution),
        }
    }

    fn known() -> Attribution {
        let holder = Holder { namespace: "lab".to_owned(), pod: "a-r1-0".to_owned(), container: "train".to_owned() };
        Attribution::Known(BTreeMap::from([("GPU-0".to_owned(), vec![holder])]))
    }

    #[test]
    fn the_status_says_what_the_snapshot_knows() {
        let at: Timestamp = "2026-11-25T12:00:00.75Z".parse().unwrap();
        let status = status(&snapshot(known()), at).unwrap();
        assert_eq!(status.agent_version.as_deref(), Some(env!("CARGO_PKG_VERSION")));
        // Without the version, so that a release does not change the file.
        insta::assert_json_snapshot!(AcceleratorNodeStatus { agent_version: None, ..status });
    }

    #[test]
    fn a_device_with_a_held_instance_is_held() {
        let held = Holder { pod: "b".to_owned(), ..Holder::default() };
        let attribution = Attribution::Known(BTreeMap::from([("MIG-1".to_owned(), vec![held.clone()])]));
        let status = status(&snapshot(attribution), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(status.held_count, 1);
        assert_eq!(status.devices[1].holder, Some(held));
    }

    #[test]
    fn unknown_is_not_said_as_free() {
        let at = Timestamp::UNIX_EPOCH;
        assert_eq!(status(&snapshot(Attribution::Unknown), at), None);
        let starting = Snapshot { driver: DriverState::Starting, ..snapshot(known()) };
        assert_eq!(status(&starting, at), None);
        let mut silent = snapshot(known());
        silent.devices[1].latest = None;
        assert_eq!(status(&silent, at), None, "nobody knows yet whether this device works");
        let missing = Snapshot { driver: DriverState::Missing, devices: Vec::new(), ..snapshot(known()) };
        let status = status(&missing, at).unwrap();
        assert_eq!((status.device_count, status.held_count, status.sm_activity_percent), (0, 0, None));
    }
}
