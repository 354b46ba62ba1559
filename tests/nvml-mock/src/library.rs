//! The loaded library: its state, kept fresh, and the way of every call through it.

use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlReturn_t};

use crate::code::{Answer, Code, returned};
use crate::state::{GpuState, State};
use crate::{calls, symbols};

/// Environment variable with the path of the state file.
pub const STATE_VARIABLE: &str = "PLIMSOLL_NVML_MOCK_STATE";

/// Name of the state file beside the library, used when [`STATE_VARIABLE`] is not set.
pub const STATE_FILE: &str = "nvml-mock.json";

/// How often a call that hangs looks whether it still shall.
const HANG_STEP: Duration = Duration::from_millis(20);

/// The bits of a handle that tell the device; those above tell the MIG instance.
const DEVICE_BITS: usize = 0xffff;

static LOADED: Mutex<Option<Loaded>> = Mutex::new(None);

struct Loaded {
    mark: Mark,
    state: Arc<State>,
}

/// Tells one version of a file from the next: a rename gives a new inode, a write in place a new time or length.
type Mark = (u64, i64, i64, u64);

#[repr(C)]
struct DlInfo {
    file_name: *const c_char,
    file_base: *mut c_void,
    symbol_name: *const c_char,
    symbol_address: *mut c_void,
}

unsafe extern "C" {
    fn dladdr(address: *const c_void, info: *mut DlInfo) -> c_int;
}

/// A call of no device.
pub(crate) fn of_system(symbol: &'static str, body: impl FnOnce(&State) -> Answer) -> nvmlReturn_t {
    let state = current();
    calls::record(symbol, None, state.as_ref().and_then(|state| state.call_log.as_deref()));
    let Some(state) = state else { return Code::DRIVER_NOT_LOADED.0 };
    hang(|| current().and_then(|state| state.hang_seconds.get(symbol).copied()));
    if let Some(code) = refusal(&state.errors, symbol) {
        return code.0;
    }
    returned(body(&state))
}

/// A call of one device.
pub(crate) fn of_gpu(
    symbol: &'static str,
    device: nvmlDevice_t,
    body: impl FnOnce(&GpuState) -> Answer,
) -> nvmlReturn_t {
    let position = (device as usize & DEVICE_BITS).wrapping_sub(1);
    let state = current();
    let gpu = state.as_ref().and_then(|state| state.gpus.get(position));
    let log = state.as_ref().and_then(|state| state.call_log.as_deref());
    calls::record(symbol, gpu.map(|gpu| gpu.uuid.as_str()), log);
    // A handle of a device that the file no longer has: it fell off the bus.
    let Some(gpu) = gpu else { return Code::GPU_IS_LOST.0 };
    hang(|| current().and_then(|state| state.gpus.get(position)?.hang_seconds.get(symbol).copied()));
    if let Some(code) = refusal(&gpu.errors, symbol) {
        return code.0;
    }
    returned(body(gpu))
}

/// The handle of the device at a position. Never null; only this file looks into it.
pub(crate) fn handle(position: usize) -> nvmlDevice_t {
    (position + 1) as nvmlDevice_t
}

/// The handle of a device's MIG instance.
pub(crate) fn instance_handle(device: nvmlDevice_t, instance: usize) -> nvmlDevice_t {
    (device as usize & DEVICE_BITS | (instance + 1) << DEVICE_BITS.count_ones()) as nvmlDevice_t
}

/// Which MIG instance a handle is of; None for the whole device.
pub(crate) fn instance(device: nvmlDevice_t) -> Option<usize> {
    (device as usize >> DEVICE_BITS.count_ones()).checked_sub(1)
}

fn refusal(errors: &BTreeMap<String, Code>, symbol: &str) -> Option<Code> {
    errors.get(symbol).copied().filter(|code| *code != Code::SUCCESS)
}

/// Waits as long as asked, less when asked no more. `seconds` reads the file anew each time.
fn hang(seconds: impl Fn() -> Option<f64>) {
    let begin = Instant::now();
    while let Some(left) = seconds()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .and_then(|hang| hang.checked_sub(begin.elapsed()))
        .filter(|left| !left.is_zero())
    {
        #[allow(clippy::disallowed_methods, reason = "a driver that does not answer is what is played here")]
        thread::sleep(left.min(HANG_STEP));
    }
}

/// The state as the file has it now. A file that cannot be read leaves the last state in force; none without a first.
fn current() -> Option<Arc<State>> {
    static PATH: OnceLock<Option<PathBuf>> = OnceLock::new();
    let path = PATH.get_or_init(state_path).as_ref()?;
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Ok(metadata) = fs::metadata(path) {
        let mark: Mark = (metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len());
        if loaded.as_ref().is_none_or(|loaded| loaded.mark != mark)
            && let Ok(state) = State::read(path)
        {
            *loaded = Some(Loaded { mark, state: Arc::new(state) });
        }
    }
    loaded.as_ref().map(|loaded| Arc::clone(&loaded.state))
}

fn state_path() -> Option<PathBuf> {
    if let Some(path) = env::var_os(STATE_VARIABLE) {
        return Some(PathBuf::from(path));
    }
    let mut info = DlInfo {
        file_name: std::ptr::null(),
        file_base: std::ptr::null_mut(),
        symbol_name: std::ptr::null(),
        symbol_address: std::ptr::null_mut(),
    };
    let known = symbols::nvml_mock_calls as *const c_void;
    // SAFETY: `known` is an address in this library and `info` is a valid place for the answer.
    if unsafe { dladdr(known, &raw mut info) } == 0 || info.file_name.is_null() {
        return None;
    }
    // SAFETY: the loader keeps the name, a C string, as long as the library is loaded.
    let file = unsafe { CStr::from_ptr(info.file_name) };
    Some(PathBuf::from(OsStr::from_bytes(file.to_bytes())).parent()?.join(STATE_FILE))
}
