//! The driver of a node: its library, and beside it the state that it shows, devices as they work and what a test says is
//! wrong with them. Whoever mounts the folder, wherever, sees the node's devices.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nvidia_ml_mock::{Code, GpuState, ProcessState, STATE_FILE, State, WriteError};
use serde::Deserialize;

use super::{Card, Device, Node};
use crate::truth;

/// The processes that we tell of do not exist; their ids lie above those that Linux gives by default.
const FIRST_PID: u32 = 5_000_000;

/// What is wrong with the devices of a node: the file `faults.json` in the node's folder, by device index.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Faults {
    /// What a symbol answers, by device index.
    pub errors: BTreeMap<usize, BTreeMap<String, Code>>,
    /// How long a symbol takes, by device index.
    pub hang_seconds: BTreeMap<usize, BTreeMap<String, f64>>,
    /// Bit mask of the reasons why clocks are held down, by device index.
    pub throttle_reasons: BTreeMap<usize, u64>,
}

impl Faults {
    /// Reads the file; a file that is not there or half written says that nothing is wrong.
    fn read(path: &Path) -> Self {
        std::fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }
}

impl Node {
    /// The driver's folder.
    pub fn driver(&self) -> PathBuf {
        self.folder().join("driver")
    }

    /// The driver's library.
    pub fn driver_library(&self) -> PathBuf {
        self.driver().join("lib64/libnvidia-ml.so.1")
    }

    /// What the driver shows.
    pub fn driver_state(&self) -> PathBuf {
        self.driver_library().with_file_name(STATE_FILE)
    }

    /// Installs the library that stands in for the driver's.
    pub(super) fn install_driver(&self, nvml_mock: &Path) -> io::Result<()> {
        let library = self.driver_library();
        if let Some(folder) = library.parent() {
            std::fs::create_dir_all(folder)?;
        }
        // Whole and under another name first: an agent that has the one of an earlier fleet loaded keeps it.
        let beside = library.with_extension("new");
        std::fs::copy(nvml_mock, &beside)?;
        std::fs::rename(beside, library)
    }

    /// Lets time pass for its devices and shows the result in the driver's state file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn show(&self, passed: Duration) -> Result<(), WriteError> {
        let card = Card::of(&self.product);
        let faults = Faults::read(&self.faults());
        let mut devices = self.devices();
        let gpus = devices.all_mut().iter_mut().enumerate();
        let gpus = gpus.map(|(index, device)| gpu(index, device, &card, &self.product, &faults, passed)).collect();
        drop(devices);
        State { gpus, ..State::default() }.write_atomically(&self.driver_state())
    }
}

fn gpu(index: usize, device: &mut Device, card: &Card, product: &str, faults: &Faults, passed: Duration) -> GpuState {
    let load = device.load;
    let watts = card.watts(load.busy, load.sm);
    device.energy_millijoules += (watts * passed.as_secs_f64() * 1e3) as u64;
    let total = truth::total_bytes(product);
    let number = u32::try_from(index).unwrap_or(u32::MAX);
    let sm_percent = (load.sm * 100.0).round().clamp(0.0, 100.0) as u32;
    let holds = load.memory_bytes > 0;
    let process =
        ProcessState { pid: FIRST_PID.saturating_add(number), sm_percent, memory_used_bytes: load.memory_bytes };
    GpuState {
        uuid: device.uuid.clone(),
        name: card.name.to_owned(),
        index: number,
        memory_total_bytes: total,
        // The driver keeps some for itself on every device, idle or not.
        memory_used_bytes: (total.saturating_sub(truth::usable_bytes(product)) + load.memory_bytes).min(total),
        busy_percent: (load.busy * 100.0).round().clamp(0.0, 100.0) as u32,
        sm_activity: load.sm,
        tensor_activity: load.sm * 0.6,
        dram_activity: load.sm * 0.5,
        power_milliwatts: (watts * 1e3) as u32,
        energy_millijoules: device.energy_millijoules,
        temperature_celsius: 30 + ((watts - card.idle_watts) / (card.full_watts - card.idle_watts) * 45.0) as u32,
        throttle_reasons: faults.throttle_reasons.get(&index).copied().unwrap_or(0),
        gpm: card.gpm,
        compute_capability: card.compute_capability,
        processes: if holds { vec![process] } else { Vec::new() },
        errors: faults.errors.get(&index).cloned().unwrap_or_default(),
        hang_seconds: faults.hang_seconds.get(&index).cloned().unwrap_or_default(),
        ..GpuState::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::tests::node;
    use crate::node::{Holder, Load};

    #[test]
    fn a_node_shows_what_its_devices_do() {
        let folder = tempfile::tempdir().unwrap();
        let node = node(folder.path(), 2);
        node.prepare(&nvidia_ml_mock::built_library().unwrap()).unwrap();
        let holder = Holder { uid: "u".into(), namespace: "n".into(), pod: "p".into(), container: "c".into() };
        node.devices().allocate(&[(holder, 1)]).unwrap();
        node.devices().work("u", Load { busy: 1.0, sm: 0.5, memory_bytes: 1 << 30 });
        node.show(Duration::from_secs(1)).unwrap();
        node.show(Duration::from_secs(1)).unwrap();
        let state = State::read(&node.driver_state()).unwrap();
        assert_eq!((state.gpus[0].busy_percent, state.gpus[1].busy_percent), (100, 0));
        assert!(state.gpus[0].memory_used_bytes > state.gpus[1].memory_used_bytes);
        assert!(state.gpus[0].energy_millijoules > state.gpus[1].energy_millijoules);
        assert_eq!(state.gpus[1].energy_millijoules, 140_000, "two seconds of an idle H100");
        assert_eq!(state.gpus[0].processes[0].sm_percent, 50);
        assert!(state.gpus[1].processes.is_empty());
    }

    #[test]
    fn whoever_loads_the_library_of_a_node_finds_its_state_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let node = node(folder.path(), 1);
        node.prepare(&nvidia_ml_mock::built_library().unwrap()).unwrap();
        node.show(Duration::ZERO).unwrap();
        let library = folder.path().join("h100-0/driver/lib64/libnvidia-ml.so.1");
        assert!(library.is_file() && library.with_file_name(STATE_FILE).is_file());
    }

    #[test]
    fn a_test_can_break_a_device() {
        let folder = tempfile::tempdir().unwrap();
        let node = node(folder.path(), 2);
        node.prepare(&nvidia_ml_mock::built_library().unwrap()).unwrap();
        std::fs::write(node.faults(), r#"{"errors": {"1": {"nvmlDeviceGetPowerUsage": 15}}}"#).unwrap();
        node.show(Duration::ZERO).unwrap();
        let state = State::read(&node.driver_state()).unwrap();
        assert!(state.gpus[0].errors.is_empty());
        assert_eq!(state.gpus[1].errors["nvmlDeviceGetPowerUsage"], Code::GPU_IS_LOST);
    }
}
