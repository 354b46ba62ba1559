//! What the state file says.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Code;

/// What the driver of one machine shall say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct State {
    /// Version of the driver.
    pub driver_version: String,
    /// The devices; the order is that of the driver's indices, [`GpuState::index`] is what the device says of itself.
    pub gpus: Vec<GpuState>,
    /// What a symbol answers instead of success, for symbols of no device (`nvmlInit_v2`, `nvmlDeviceGetCount_v2`).
    pub errors: BTreeMap<String, Code>,
    /// How long a symbol of no device takes. The wait ends early when the file no longer asks for it.
    pub hang_seconds: BTreeMap<String, f64>,
    /// File to which every call is appended as one line, `symbol uuid`; the uuid is absent for symbols of no device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_log: Option<PathBuf>,
}

/// What the driver shall say of one device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GpuState {
    /// UUID, as in `GPU-5f2c…`.
    pub uuid: String,
    /// Product, as in `NVIDIA H100 80GB HBM3`.
    pub name: String,
    /// Index that the device says it has.
    pub index: u32,
    /// Memory, in bytes.
    pub memory_total_bytes: u64,
    /// Memory in use, in bytes.
    pub memory_used_bytes: u64,
    /// Share of time in which a kernel was resident (duty cycle), 0 to 100.
    pub busy_percent: u32,
    /// SM activity by GPU performance monitoring, 0 to 1.
    pub sm_activity: f64,
    /// Tensor core activity by GPU performance monitoring, 0 to 1.
    pub tensor_activity: f64,
    /// Memory bandwidth in use by GPU performance monitoring, 0 to 1.
    pub dram_activity: f64,
    /// Power, in milliwatts.
    pub power_milliwatts: u32,
    /// Energy since the driver was loaded, in millijoules.
    pub energy_millijoules: u64,
    /// Temperature, in degrees Celsius.
    pub temperature_celsius: u32,
    /// Bit mask of the reasons why clocks are held down.
    pub throttle_reasons: u64,
    /// Whether the device has GPU performance monitoring (Hopper and later).
    pub gpm: bool,
    /// CUDA compute capability: major, minor.
    pub compute_capability: (i32, i32),
    /// UUIDs of the MIG instances; none when the device is not cut. An instance tells its UUID, and else what its device
    /// does.
    pub instances: Vec<String>,
    /// Processes with a context on the device. The driver's process SM samples come from here, not from `sm_activity`.
    pub processes: Vec<ProcessState>,
    /// What a symbol answers for this device instead of success.
    pub errors: BTreeMap<String, Code>,
    /// How long a symbol takes for this device. The wait ends early when the file no longer asks for it.
    pub hang_seconds: BTreeMap<String, f64>,
}

/// One process on a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProcessState {
    /// Process id.
    pub pid: u32,
    /// SM activity that the driver samples for it, 0 to 100. At 0 the driver has no sample, as on a real idle device.
    pub sm_percent: u32,
    /// Memory that it uses, in bytes.
    pub memory_used_bytes: u64,
}

/// The state file was not written.
#[derive(Debug, thiserror::Error)]
#[error("failed to write state file {path}")]
pub struct WriteError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl Default for State {
    fn default() -> Self {
        Self {
            driver_version: "580.95.05".to_owned(),
            gpus: Vec::new(),
            errors: BTreeMap::new(),
            hang_seconds: BTreeMap::new(),
            call_log: None,
        }
    }
}

impl Default for GpuState {
    /// An idle H100 without a UUID.
    fn default() -> Self {
        Self {
            uuid: String::new(),
            name: "NVIDIA H100 80GB HBM3".to_owned(),
            index: 0,
            memory_total_bytes: 80 << 30,
            memory_used_bytes: 0,
            busy_percent: 0,
            sm_activity: 0.0,
            tensor_activity: 0.0,
            dram_activity: 0.0,
            power_milliwatts: 70_000,
            energy_millijoules: 0,
            temperature_celsius: 30,
            throttle_reasons: 0,
            gpm: true,
            compute_capability: (9, 0),
            instances: Vec::new(),
            processes: Vec::new(),
            errors: BTreeMap::new(),
            hang_seconds: BTreeMap::new(),
        }
    }
}

impl State {
    /// Reads a state file.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }

    /// Writes the state file as a whole: a reader sees the old one or this one, never half of it.
    pub fn write_atomically(&self, path: &Path) -> Result<(), WriteError> {
        let failed = |source| WriteError { path: path.to_owned(), source };
        let text = serde_json::to_vec(self).map_err(|error| failed(error.into()))?;
        // One writer per state file is the rule, so a fixed name beside it is enough.
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let mut file = fs::File::create(&beside).map_err(failed)?;
        file.write_all(&text).map_err(failed)?;
        drop(file);
        fs::rename(&beside, path).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_reads_back_and_leaves_no_file_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let gpu = GpuState {
            uuid: "GPU-1".to_owned(),
            errors: BTreeMap::from([("nvmlDeviceGetPowerUsage".to_owned(), Code::GPU_IS_LOST)]),
            processes: vec![ProcessState { pid: 7, sm_percent: 40, memory_used_bytes: 1 }],
            ..GpuState::default()
        };
        let state = State { gpus: vec![gpu], ..State::default() };
        state.write_atomically(&path).unwrap();
        assert_eq!(State::read(&path).unwrap(), state);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_state_leaves_out_has_a_default_and_what_it_misspells_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        fs::write(&path, r#"{"gpus": [{"uuid": "GPU-1", "busy_percent": 12}]}"#).unwrap();
        assert_eq!(State::read(&path).unwrap().gpus[0].memory_total_bytes, 80 << 30);
        fs::write(&path, r#"{"gpus": [{"busy": 12}]}"#).unwrap();
        assert!(State::read(&path).is_err());
    }
}
