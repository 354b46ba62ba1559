//! The symbols of nvml.h that the agent calls, by their versioned names.

mod device;
mod gpm;
mod process;
mod system;

use std::ffi::{CStr, c_char};

use crate::calls;
use crate::code::{Answer, Code};

/// How often a symbol was called since the library was loaded; 0 for a name that is none.
///
/// # Safety
/// `name` is null or a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvml_mock_calls(name: *const c_char) -> u64 {
    if name.is_null() {
        return 0;
    }
    // SAFETY: not null, and the caller gives a C string.
    let name = unsafe { CStr::from_ptr(name) };
    name.to_str().map_or(0, calls::count)
}

/// Writes one value to where the caller wants it.
fn put<T>(place: *mut T, value: T) -> Answer {
    if place.is_null() {
        return Err(Code::INVALID_ARGUMENT);
    }
    // SAFETY: nvml.h has the caller give a valid place for a value of this type.
    unsafe { place.write(value) };
    Ok(())
}

/// Writes a C string into the caller's buffer of `length` bytes.
fn put_string(place: *mut c_char, length: u32, text: &str) -> Answer {
    if place.is_null() {
        return Err(Code::INVALID_ARGUMENT);
    }
    if text.len() >= length as usize {
        return Err(Code::INSUFFICIENT_SIZE);
    }
    // SAFETY: the buffer has room for the text and the byte after it, as just checked.
    unsafe {
        place.cast::<u8>().copy_from_nonoverlapping(text.as_ptr(), text.len());
        place.add(text.len()).write(0);
    }
    Ok(())
}
