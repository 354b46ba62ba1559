//! The built library, called through the wrapper that the agent uses.

#![allow(clippy::unwrap_used, reason = "helpers of a test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nvidia_ml_mock::{Code, GpuState, ProcessState, STATE_FILE, State, count_logged_calls, install_library};
use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::enums::gpm::GpmMetricId;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::gpm::gpm_metrics_get;
use tempfile::TempDir;

struct Machine {
    folder: TempDir,
    library: PathBuf,
    state: State,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let library = install_library(folder.path()).unwrap();
        let gpu = |index, name: &str, gpm| GpuState {
            uuid: format!("GPU-{index}"),
            name: name.to_owned(),
            index,
            gpm,
            busy_percent: 97,
            sm_activity: 0.5,
            tensor_activity: 0.25,
            memory_used_bytes: 3 << 30,
            energy_millijoules: 1_234_567,
            ..GpuState::default()
        };
        let gpus = vec![gpu(0, "NVIDIA H100 80GB HBM3", true), gpu(1, "Tesla T4", false)];
        let state = State { gpus, call_log: Some(folder.path().join("calls")), ..State::default() };
        let machine = Self { folder, library, state };
        machine.write();
        machine
    }

    fn write(&self) {
        self.state.write_atomically(&self.folder.path().join(STATE_FILE)).unwrap();
    }

    fn change(&mut self, gpu: usize, change: impl FnOnce(&mut GpuState)) {
        change(&mut self.state.gpus[gpu]);
        self.write();
    }

    fn nvml(&self) -> Nvml {
        Nvml::builder().lib_path(self.library.as_os_str()).init().unwrap()
    }

    fn call_log(&self) -> &Path {
        self.state.call_log.as_deref().unwrap()
    }
}

#[test]
fn values_are_those_of_the_file_and_follow_it() {
    let mut machine = Machine::new();
    let nvml = machine.nvml();
    assert_eq!(nvml.device_count().unwrap(), 2);
    assert_eq!(nvml.sys_driver_version().unwrap(), "580.95.05");
    let device = nvml.device_by_index(0).unwrap();
    assert_eq!(device.uuid().unwrap(), "GPU-0");
    assert_eq!(device.pci_info().unwrap().bus_id, "00000000:00:00.0");
    assert_eq!(device.utilization_rates().unwrap().gpu, 97);
    assert_eq!(device.memory_info().unwrap().used, 3 << 30);
    assert_eq!(device.total_energy_consumption().unwrap(), 1_234_567);
    assert_eq!(device.temperature(TemperatureSensor::Gpu).unwrap(), 30);
    assert_eq!(nvml.device_by_uuid("GPU-1").unwrap().name().unwrap(), "Tesla T4");

    machine.change(0, |gpu| gpu.busy_percent = 3);
    assert_eq!(device.utilization_rates().unwrap().gpu, 3);
}

#[test]
fn performance_monitoring_is_there_on_hopper_only() {
    let machine = Machine::new();
    let nvml = machine.nvml();
    let hopper = nvml.device_by_index(0).unwrap();
    assert!(hopper.gpm_support().unwrap());
    let (first, second) = (hopper.gpm_sample().unwrap(), hopper.gpm_sample().unwrap());
    let wanted = [GpmMetricId::SmUtil, GpmMetricId::AnyTensorUtil, GpmMetricId::Fp64Util];
    let metrics = gpm_metrics_get(&nvml, &first, &second, &wanted).unwrap();
    assert_eq!(metrics[0].as_ref().unwrap().value, 50.0);
    assert_eq!(metrics[1].as_ref().unwrap().value, 25.0);
    assert!(matches!(metrics[2], Err(NvmlError::NotSupported)));

    let turing = nvml.device_by_index(1).unwrap();
    assert!(!turing.gpm_support().unwrap());
    assert!(matches!(turing.gpm_sample(), Err(NvmlError::NotSupported)));
}

#[test]
fn process_samples_are_not_found_on_an_idle_device() {
    let mut machine = Machine::new();
    let nvml = machine.nvml();
    let device = nvml.device_by_index(1).unwrap();
    assert!(matches!(device.process_utilization_stats(None), Err(NvmlError::NotFound)));

    let process = |pid, sm_percent| ProcessState { pid, sm_percent, memory_used_bytes: 1 << 30 };
    machine.change(1, |gpu| gpu.processes = vec![process(7, 40), process(8, 0), process(9, 2)]);
    let samples = device.process_utilization_stats(None).unwrap();
    assert_eq!(samples.iter().map(|sample| (sample.pid, sample.sm_util)).collect::<Vec<_>>(), [(7, 40), (9, 2)]);
    assert_eq!(device.running_compute_processes().unwrap().len(), 3);
}

#[test]
fn a_symbol_fails_as_told_on_one_device_alone() {
    let mut machine = Machine::new();
    let nvml = machine.nvml();
    machine.change(0, |gpu| {
        gpu.errors = BTreeMap::from([("nvmlDeviceGetPowerUsage".to_owned(), Code::GPU_IS_LOST)]);
    });
    assert!(matches!(nvml.device_by_index(0).unwrap().power_usage(), Err(NvmlError::GpuLost)));
    assert_eq!(nvml.device_by_index(1).unwrap().power_usage().unwrap(), 70_000);
    machine.change(0, |gpu| gpu.errors.clear());
    assert_eq!(nvml.device_by_index(0).unwrap().power_usage().unwrap(), 70_000);
}

#[test]
fn a_cut_device_tells_its_instances() {
    let mut machine = Machine::new();
    let nvml = machine.nvml();
    let device = nvml.device_by_index(0).unwrap();
    assert_eq!(device.mig_device_count().unwrap(), 7);
    assert!(matches!(device.mig_device_by_index(0), Err(NvmlError::NotFound)));
    machine.change(0, |gpu| gpu.instances = vec!["MIG-7".to_owned(), "MIG-8".to_owned()]);
    assert_eq!(device.mig_device_by_index(1).unwrap().uuid().unwrap(), "MIG-8");
    assert_eq!(device.uuid().unwrap(), "GPU-0");
}

#[test]
fn without_a_state_file_there_is_no_driver() {
    let folder = tempfile::tempdir().unwrap();
    let library = install_library(folder.path()).unwrap();
    let refused = Nvml::builder().lib_path(library.as_os_str()).init();
    assert!(matches!(refused, Err(NvmlError::DriverNotLoaded)));
}

#[test]
fn a_hang_ends_when_the_file_asks_for_it_no_more() {
    let mut machine = Machine::new();
    let nvml = machine.nvml();
    machine.change(0, |gpu| {
        gpu.hang_seconds = BTreeMap::from([("nvmlDeviceGetPowerUsage".to_owned(), 3600.0)]);
    });
    std::thread::scope(|scope| {
        let hung = scope.spawn(|| nvml.device_by_index(0).unwrap().power_usage().unwrap());
        // The log has the call as soon as it begins, so this waits for the event itself.
        while !count_logged_calls(machine.call_log()).unwrap().contains_key("nvmlDeviceGetPowerUsage") {
            std::thread::yield_now();
        }
        assert!(!hung.is_finished());
        assert_eq!(nvml.device_by_index(1).unwrap().temperature(TemperatureSensor::Gpu).unwrap(), 30);
        machine.change(0, |gpu| gpu.hang_seconds.clear());
        assert_eq!(hung.join().unwrap(), 70_000);
    });
    assert_eq!(count_logged_calls(machine.call_log()).unwrap()["nvmlDeviceGetPowerUsage"], 1);
}
