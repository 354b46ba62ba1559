//! The devices, made anew from the last snapshot at each scrape: what is gone from the snapshot is gone from the answer.

use std::sync::Arc;
use std::time::Instant;

use plimsoll_crds::accelerator_node::{Health, SmSignal};
use plimsoll_telemetry::prometheus::core::{Collector, Desc};
use plimsoll_telemetry::prometheus::proto::MetricFamily;
use plimsoll_telemetry::prometheus::{CounterVec, GaugeVec, Opts, Result};
use tokio::sync::watch;

use crate::driver::Reading;
use crate::snapshot::{DeviceSnapshot, DriverState, Snapshot};

/// Shows the last snapshot. Asks neither the driver nor the kubelet.
#[derive(Debug)]
pub struct DeviceMetrics {
    node: String,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    descriptions: Vec<Desc>,
}

/// The families of one scrape, empty at first.
struct Families {
    info: GaugeVec,
    busy: GaugeVec,
    sm: GaugeVec,
    tensor: GaugeVec,
    dram: GaugeVec,
    memory_used: GaugeVec,
    memory_total: GaugeVec,
    power: GaugeVec,
    energy: CounterVec,
    temperature: GaugeVec,
    throttled: CounterVec,
    age: GaugeVec,
    health: GaugeVec,
    allocated: GaugeVec,
}

impl DeviceMetrics {
    /// Metrics of a node from its snapshots.
    pub fn new(node: &str, snapshots: watch::Receiver<Arc<Snapshot>>) -> Result<Self> {
        let families = Families::new(node)?;
        let descriptions = families.all().iter().flat_map(|family| family.desc()).cloned().collect();
        Ok(Self { node: node.to_owned(), snapshots, descriptions })
    }

    /// The families of a snapshot at a time.
    fn families(&self, snapshot: &Snapshot, now: Instant) -> Result<Vec<MetricFamily>> {
        let families = Families::new(&self.node)?;
        let driver = match &snapshot.driver {
            DriverState::Present { version: Some(version) } => version,
            _ => "",
        };
        for device in &snapshot.devices {
            families.show(device, driver, now);
        }
        for (uuid, holder) in snapshot.attribution.all() {
            let labels = [uuid, &holder.namespace, &holder.pod, &holder.container];
            families.allocated.with_label_values(&labels).set(1.0);
        }
        Ok(families.all().iter().flat_map(|family| family.collect()).filter(|f| !f.get_metric().is_empty()).collect())
    }
}

impl Collector for DeviceMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let snapshot = Arc::clone(&self.snapshots.borrow());
        self.families(&snapshot, Instant::now()).unwrap_or_else(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "device metrics cannot be made");
            Vec::new()
        })
    }
}

impl Families {
    fn new(node: &str) -> Result<Self> {
        let named = |name: &str, help: &str| Opts::new(name, help).const_label("node", node);
        let gauge = |name: &str, help: &str| GaugeVec::new(named(name, help), &["gpu_uuid"]);
        let counter = |name: &str, help: &str, labels: &[&str]| CounterVec::new(named(name, help), labels);
        let labelled = |name: &str, help: &str, labels: &[&str]| GaugeVec::new(named(name, help), labels);
        Ok(Self {
            info: labelled(
                "plimsoll_gpu_info",
                "Which device this is; always 1.",
                &["gpu_uuid", "index", "model", "driver", "pci_bus_id"],
            )?,
            busy: gauge("plimsoll_gpu_busy_ratio", "Share of time in which a kernel was resident (duty cycle).")?,
            sm: labelled(
                "plimsoll_gpu_sm_active_ratio",
                "SM activity, by the signal that it is from: gpm, or process_sm where the device has no GPM.",
                &["gpu_uuid", "signal"],
            )?,
            tensor: gauge("plimsoll_gpu_tensor_active_ratio", "Tensor core activity.")?,
            dram: gauge("plimsoll_gpu_dram_active_ratio", "Memory bandwidth in use.")?,
            memory_used: gauge("plimsoll_gpu_memory_used_bytes", "Memory in use: what allocators keep.")?,
            memory_total: gauge("plimsoll_gpu_memory_total_bytes", "Memory of the device.")?,
            power: gauge("plimsoll_gpu_power_watts", "Power that the board draws.")?,
            energy: counter("plimsoll_gpu_energy_joules_total", "Energy that the board drew.", &["gpu_uuid"])?,
            temperature: gauge("plimsoll_gpu_temperature_celsius", "Temperature of the chip.")?,
            throttled: counter(
                "plimsoll_gpu_throttle_seconds_total",
                "Time in which something held the clocks down, by reason.",
                &["gpu_uuid", "reason"],
            )?,
            age: gauge("plimsoll_gpu_sample_age_seconds", "Time since the device last gave a reading.")?,
            health: labelled(
                "plimsoll_gpu_health",
                "1 for the state that the device is in, 0 for the others.",
                &["gpu_uuid", "state"],
            )?,
            allocated: labelled(
                "plimsoll_gpu_allocated",
                "1 for each container that holds the device.",
                &["gpu_uuid", "namespace", "pod", "container"],
            )?,
        })
    }

    fn all(&self) -> [&dyn Collector; 14] {
        let Self {
            info,
            busy,
            sm,
            tensor,
            dram,
            memory_used,
            memory_total,
            power,
            energy,
            temperature,
            throttled,
            age,
            health,
            allocated,
        } = self;
        [
            info,
            busy,
            sm,
            tensor,
            dram,
            memory_used,
            memory_total,
            power,
            energy,
            temperature,
            throttled,
            age,
            health,
            allocated,
        ]
    }

    fn show(&self, device: &DeviceSnapshot, driver: &str, now: Instant) {
        let identity = &device.identity;
        let uuid = identity.uuid.as_str();
        let pci = identity.pci_bus_id.as_deref().unwrap_or_default();
        let index = identity.index.to_string();
        self.info.with_label_values(&[uuid, &index, &identity.product, driver, pci]).set(1.0);
        for (health, name) in
            [(Health::Healthy, "healthy"), (Health::Failed, "failed"), (Health::Unresponsive, "unresponsive")]
        {
            let holds = f64::from(u8::from(device.health == health));
            self.health.with_label_values(&[uuid, name]).set(holds);
        }
        if let Some((at, _)) = device.latest {
            self.age.with_label_values(&[uuid]).set(now.saturating_duration_since(at).as_secs_f64());
        }
        if let Some(joules) = device.energy_total_joules {
            self.energy.with_label_values(&[uuid]).inc_by(joules);
        }
        for (reason, seconds) in device.throttled_seconds.into_iter().flatten() {
            self.throttled.with_label_values(&[uuid, reason]).inc_by(seconds);
        }
        if let Some(total) = identity.memory_total_bytes {
            self.memory_total.with_label_values(&[uuid]).set(total as f64);
        }
        if let Some(reading) = device.reading() {
            self.show_reading(uuid, reading);
        }
    }

    fn show_reading(&self, uuid: &str, reading: &Reading) {
        let show = |family: &GaugeVec, value: Option<f64>| {
            if let Some(value) = value {
                family.with_label_values(&[uuid]).set(value);
            }
        };
        show(&self.busy, reading.busy);
        show(&self.tensor, reading.tensor);
        show(&self.dram, reading.dram);
        show(&self.memory_used, reading.memory.map(|memory| memory.used_bytes as f64));
        show(&self.memory_total, reading.memory.map(|memory| memory.total_bytes as f64));
        show(&self.power, reading.power_watts);
        show(&self.temperature, reading.temperature_celsius.map(f64::from));
        if let Some(sm) = reading.sm {
            let signal = match sm.signal {
                SmSignal::Gpm => "gpm",
                SmSignal::ProcessSm => "process_sm",
            };
            self.sm.with_label_values(&[uuid, signal]).set(sm.ratio);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use plimsoll_crds::accelerator_node::Holder;
    use plimsoll_telemetry::prometheus::TextEncoder;

    use super::*;
    use crate::attribution::Attribution;
    use crate::driver::{Identity, Memory, SmActivity, Throttle};

    fn device(index: u32, health: Health, latest: Option<(Instant, Reading)>) -> DeviceSnapshot {
        let identity = Identity {
            uuid: format!("GPU-{index}"),
            index,
            product: "NVIDIA H100 80GB HBM3".to_owned(),
            pci_bus_id: Some(format!("00000000:{index:02X}:00.0")),
            memory_total_bytes: Some(80 << 30),
            instances: Vec::new(),
        };
        DeviceSnapshot {
            identity: Arc::new(identity),
            health,
            latest,
            energy_total_joules: latest.map(|_| 1_234.5),
            throttled_seconds: latest
                .and_then(|(_, reading)| reading.throttle)
                .map(|_| [("power_cap", 12.0), ("thermal", 0.0), ("power_brake", 0.0)]),
            window: None,
        }
    }

    fn snapshot(now: Instant) -> Snapshot {
        let full = Reading {
            busy: Some(0.97),
            sm: Some(SmActivity { ratio: 0.5, signal: SmSignal::Gpm }),
            tensor: Some(0.25),
            dram: Some(0.125),
            memory: Some(Memory { used_bytes: 3 << 30, total_bytes: 80 << 30 }),
            power_watts: Some(412.5),
            energy_joules: Some(1_234.5),
            temperature_celsius: Some(61),
            throttle: Some(Throttle { power_cap: true, ..Throttle::default() }),
        };
        let idle = Reading {
            busy: Some(0.0),
            sm: Some(SmActivity { ratio: 0.0, signal: SmSignal::ProcessSm }),
            ..Reading::default()
        };
        let holder = Holder { namespace: "lab".to_owned(), pod: "a-r1-0".to_owned(), container: "train".to_owned() };
        Snapshot {
            taken: now,
            driver: DriverState::Present { version: Some("580.95.05".to_owned()) },
            devices: vec![
                device(0, Health::Healthy, Some((now, full))),
                device(1, Health::Healthy, Some((now, idle))),
                device(2, Health::Failed, Some((now, full))),
                device(3, Health::Unresponsive, None),
            ],
            attribution: Arc::new(Attribution::Known(BTreeMap::from([("GPU-0".to_owned(), vec![holder])]))),
        }
    }

    fn shown(snapshot: Snapshot, now: Instant) -> String {
        let (_sender, receiver) = watch::channel(Arc::new(Snapshot::starting(now)));
        let metrics = DeviceMetrics::new("node-1", receiver).unwrap();
        let mut families = metrics.families(&snapshot, now).unwrap();
        // The registry sorts what it gathers; a collector need not.
        families.sort_by(|a, b| a.name().cmp(b.name()));
        let text = TextEncoder::new().encode_to_string(&families).unwrap();
        let mut lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        lines.sort_unstable();
        lines.join("\n")
    }

    #[test]
    fn a_scrape_shows_readings_and_leaves_out_what_is_none() {
        let now = Instant::now();
        insta::assert_snapshot!(shown(snapshot(now), now + Duration::from_secs(2)));
    }

    #[test]
    fn series_go_with_their_device_and_their_pod() {
        let now = Instant::now();
        let mut later = snapshot(now);
        later.devices.truncate(1);
        later.attribution = Arc::new(Attribution::Known(BTreeMap::new()));
        let text = shown(later, now);
        assert!(text.contains("GPU-0") && !text.contains("GPU-1") && !text.contains("plimsoll_gpu_allocated"));
    }

    #[test]
    fn a_node_has_few_series_per_device() {
        let now = Instant::now();
        let text = shown(snapshot(now), now);
        assert!(text.lines().filter(|line| line.contains("GPU-0")).count() <= 30);
    }
}
