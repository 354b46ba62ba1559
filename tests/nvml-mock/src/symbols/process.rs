//! Symbols that list the processes of a device.

use std::ffi::c_uint;
use std::time::{SystemTime, UNIX_EPOCH};

use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlProcessInfo_t, nvmlProcessUtilizationSample_t, nvmlReturn_t};

use crate::code::{Answer, Code};
use crate::library;

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetProcessUtilization(
    device: nvmlDevice_t,
    samples: *mut nvmlProcessUtilizationSample_t,
    count: *mut c_uint,
    _last_seen: u64,
) -> nvmlReturn_t {
    library::of_gpu("nvmlDeviceGetProcessUtilization", device, |gpu| {
        let now = now_microseconds();
        let sampled = gpu.processes.iter().filter(|process| process.sm_percent > 0);
        let sampled = sampled.map(|process| nvmlProcessUtilizationSample_t {
            pid: process.pid,
            timeStamp: now,
            smUtil: process.sm_percent,
            memUtil: 0,
            encUtil: 0,
            decUtil: 0,
        });
        let sampled: Vec<_> = sampled.collect();
        if sampled.is_empty() {
            return Err(Code::NOT_FOUND);
        }
        put_list(samples, count, &sampled)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetComputeRunningProcesses_v3(
    device: nvmlDevice_t,
    count: *mut c_uint,
    processes: *mut nvmlProcessInfo_t,
) -> nvmlReturn_t {
    library::of_gpu("nvmlDeviceGetComputeRunningProcesses_v3", device, |gpu| {
        let running = gpu.processes.iter().map(|process| nvmlProcessInfo_t {
            pid: process.pid,
            usedGpuMemory: process.memory_used_bytes,
            gpuInstanceId: u32::MAX,
            computeInstanceId: u32::MAX,
        });
        put_list(processes, count, &running.collect::<Vec<_>>())
    })
}

/// Writes a list by nvml.h's protocol: a buffer that is absent or too small is told the number of entries.
fn put_list<T: Copy>(place: *mut T, count: *mut c_uint, list: &[T]) -> Answer {
    // SAFETY: looked at only when it is not null; nvml.h has the caller say how many entries fit.
    let count = unsafe { count.as_mut() }.ok_or(Code::INVALID_ARGUMENT)?;
    let room = if place.is_null() { 0 } else { *count as usize };
    *count = c_uint::try_from(list.len()).map_err(|_| Code::UNKNOWN)?;
    if room < list.len() {
        return Err(Code::INSUFFICIENT_SIZE);
    }
    if !list.is_empty() {
        // SAFETY: the caller's buffer has room for that many entries, as just checked.
        unsafe { place.copy_from_nonoverlapping(list.as_ptr(), list.len()) };
    }
    Ok(())
}

fn now_microseconds() -> u64 {
    #[allow(clippy::disallowed_methods, reason = "the driver stamps its samples with the machine's clock")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
