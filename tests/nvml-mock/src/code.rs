//! What a symbol answers.

use nvml_wrapper_sys::bindings::nvmlReturn_t;
use serde::{Deserialize, Serialize};

/// A return code of the library, by its number in nvml.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Code(pub u32);

impl Code {
    /// The call did what it says.
    pub const SUCCESS: Self = Self(0);
    /// A pointer or handle is wrong.
    pub const INVALID_ARGUMENT: Self = Self(2);
    /// The device cannot do this.
    pub const NOT_SUPPORTED: Self = Self(3);
    /// The caller may not do this.
    pub const NO_PERMISSION: Self = Self(4);
    /// There is nothing to tell.
    pub const NOT_FOUND: Self = Self(6);
    /// The buffer is too small.
    pub const INSUFFICIENT_SIZE: Self = Self(7);
    /// There is no driver.
    pub const DRIVER_NOT_LOADED: Self = Self(9);
    /// The device fell off the bus.
    pub const GPU_IS_LOST: Self = Self(15);
    /// The device needs a reset.
    pub const RESET_REQUIRED: Self = Self(16);
    /// A struct has a version that the library does not know.
    pub const ARGUMENT_VERSION_MISMATCH: Self = Self(25);
    /// Anything else.
    pub const UNKNOWN: Self = Self(999);
}

/// What the body of a symbol ends with.
pub(crate) type Answer = Result<(), Code>;

/// The return code for the caller.
pub(crate) fn returned(answer: Answer) -> nvmlReturn_t {
    match answer {
        Ok(()) => Code::SUCCESS.0,
        Err(Code(code)) => code,
    }
}
