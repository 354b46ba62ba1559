//! Symbols that read one value of one device.

use std::ffi::{c_char, c_int, c_uint, c_ulonglong};

use nvml_wrapper_sys::bindings::{
    nvmlDevice_t, nvmlMemory_v2_t, nvmlPciInfo_t, nvmlReturn_t, nvmlTemperatureSensors_t, nvmlUtilization_t,
};

use super::{put, put_string};
use crate::code::Code;
use crate::library;

/// Writes the getters: each counts, hangs and fails as the state says, then does its body.
macro_rules! getters {
    ($($name:ident($($argument:ident: $kind:ty),*) = |$gpu:ident| $body:expr;)*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(device: nvmlDevice_t, $($argument: $kind),*) -> nvmlReturn_t {
            library::of_gpu(stringify!($name), device, |$gpu| $body)
        }
    )*};
}

getters! {
    nvmlDeviceGetName(name: *mut c_char, length: c_uint) = |gpu| put_string(name, length, &gpu.name);
    nvmlDeviceGetIndex(index: *mut c_uint) = |gpu| put(index, gpu.index);
    nvmlDeviceGetMinorNumber(number: *mut c_uint) = |gpu| put(number, gpu.index);
    nvmlDeviceGetPciInfo_v3(info: *mut nvmlPciInfo_t) = |gpu| put(info, pci_info(gpu.index));
    nvmlDeviceGetCudaComputeCapability(major: *mut c_int, minor: *mut c_int) = |gpu| {
        put(major, gpu.compute_capability.0)?;
        put(minor, gpu.compute_capability.1)
    };
    nvmlDeviceGetUtilizationRates(rates: *mut nvmlUtilization_t) = |gpu| {
        put(rates, nvmlUtilization_t { gpu: gpu.busy_percent, memory: 0 })
    };
    nvmlDeviceGetMemoryInfo_v2(info: *mut nvmlMemory_v2_t) = |gpu| {
        let version = u32::try_from(size_of::<nvmlMemory_v2_t>()).map_err(|_| Code::UNKNOWN)? | 2 << 24;
        // SAFETY: looked at only when it is not null; nvml.h has the caller fill in the version.
        if unsafe { info.as_ref() }.ok_or(Code::INVALID_ARGUMENT)?.version != version {
            return Err(Code::ARGUMENT_VERSION_MISMATCH);
        }
        let (total, used) = (gpu.memory_total_bytes, gpu.memory_used_bytes);
        put(info, nvmlMemory_v2_t { version, total, reserved: 0, free: total.saturating_sub(used), used })
    };
    nvmlDeviceGetPowerUsage(milliwatts: *mut c_uint) = |gpu| put(milliwatts, gpu.power_milliwatts);
    nvmlDeviceGetTotalEnergyConsumption(millijoules: *mut c_ulonglong) = |gpu| put(millijoules, gpu.energy_millijoules);
    nvmlDeviceGetTemperature(_sensor: nvmlTemperatureSensors_t, celsius: *mut c_uint) = |gpu| {
        put(celsius, gpu.temperature_celsius)
    };
    nvmlDeviceGetCurrentClocksThrottleReasons(reasons: *mut c_ulonglong) = |gpu| put(reasons, gpu.throttle_reasons);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetUUID(device: nvmlDevice_t, uuid: *mut c_char, length: c_uint) -> nvmlReturn_t {
    library::of_gpu("nvmlDeviceGetUUID", device, |gpu| match library::instance(device) {
        None => put_string(uuid, length, &gpu.uuid),
        Some(instance) => put_string(uuid, length, gpu.instances.get(instance).ok_or(Code::NOT_FOUND)?),
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMaxMigDeviceCount(device: nvmlDevice_t, count: *mut c_uint) -> nvmlReturn_t {
    library::of_gpu("nvmlDeviceGetMaxMigDeviceCount", device, |_| put(count, 7))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMigDeviceHandleByIndex(
    device: nvmlDevice_t,
    index: c_uint,
    instance: *mut nvmlDevice_t,
) -> nvmlReturn_t {
    library::of_gpu("nvmlDeviceGetMigDeviceHandleByIndex", device, |gpu| {
        gpu.instances.get(index as usize).ok_or(Code::NOT_FOUND)?;
        put(instance, library::instance_handle(device, index as usize))
    })
}

fn pci_info(index: u32) -> nvmlPciInfo_t {
    let mut bus_id = [0; 32];
    for (place, byte) in bus_id.iter_mut().zip(format!("00000000:{:02X}:00.0", index & 0xff).bytes()) {
        *place = byte as c_char;
    }
    nvmlPciInfo_t {
        busIdLegacy: [0; 16],
        domain: 0,
        bus: index & 0xff,
        device: 0,
        pciDeviceId: 0x2330_10de,
        pciSubSystemId: 0,
        busId: bus_id,
    }
}
