//! Symbols of the library and of the machine.

use std::ffi::{CStr, c_char, c_int, c_uint};

use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlReturn_t};

use super::{put, put_string};
use crate::code::Code;
use crate::library;

#[unsafe(no_mangle)]
extern "C" fn nvmlInit_v2() -> nvmlReturn_t {
    library::of_system("nvmlInit_v2", |_| Ok(()))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlInitWithFlags(_flags: c_uint) -> nvmlReturn_t {
    library::of_system("nvmlInitWithFlags", |_| Ok(()))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlShutdown() -> nvmlReturn_t {
    library::of_system("nvmlShutdown", |_| Ok(()))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlErrorString(_code: nvmlReturn_t) -> *const c_char {
    const TEXT: &CStr = c"said by nvml-mock";
    TEXT.as_ptr()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlSystemGetDriverVersion(version: *mut c_char, length: c_uint) -> nvmlReturn_t {
    library::of_system("nvmlSystemGetDriverVersion", |state| put_string(version, length, &state.driver_version))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlSystemGetNVMLVersion(version: *mut c_char, length: c_uint) -> nvmlReturn_t {
    library::of_system("nvmlSystemGetNVMLVersion", |state| {
        put_string(version, length, &format!("13.{}", state.driver_version))
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlSystemGetCudaDriverVersion_v2(version: *mut c_int) -> nvmlReturn_t {
    library::of_system("nvmlSystemGetCudaDriverVersion_v2", |_| put(version, 13_000))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetCount_v2(count: *mut c_uint) -> nvmlReturn_t {
    library::of_system("nvmlDeviceGetCount_v2", |state| {
        put(count, c_uint::try_from(state.gpus.len()).map_err(|_| Code::UNKNOWN)?)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, device: *mut nvmlDevice_t) -> nvmlReturn_t {
    library::of_system("nvmlDeviceGetHandleByIndex_v2", |state| {
        let position = index as usize;
        state.gpus.get(position).ok_or(Code::INVALID_ARGUMENT)?;
        put(device, library::handle(position))
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetHandleByUUID(uuid: *const c_char, device: *mut nvmlDevice_t) -> nvmlReturn_t {
    library::of_system("nvmlDeviceGetHandleByUUID", |state| {
        if uuid.is_null() {
            return Err(Code::INVALID_ARGUMENT);
        }
        // SAFETY: not null, and nvml.h has the caller give a C string.
        let uuid = unsafe { CStr::from_ptr(uuid) }.to_bytes();
        let position = state.gpus.iter().position(|gpu| gpu.uuid.as_bytes() == uuid).ok_or(Code::NOT_FOUND)?;
        put(device, library::handle(position))
    })
}
