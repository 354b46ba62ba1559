//! A scriptable `libnvidia-ml.so` for tests: the symbols that the agent calls, answered from a state file.
//!
//! The state is a JSON file, [`State`]. Its path is the environment variable [`STATE_VARIABLE`]; without that it is
//! [`STATE_FILE`] beside the library, so that one process can load several copies of the library with a state each. The
//! file is looked at on every call and read again when it changed; write it with [`State::write_atomically`].
//!
//! [`nvml_mock_calls`](symbols::nvml_mock_calls) counts the calls of a symbol since the library was loaded; a call log
//! (see [`State::call_log`] and [`CALLS_VARIABLE`]) tells other processes.

#![allow(unsafe_code, reason = "a C library takes and gives raw pointers")]
#![allow(non_snake_case, reason = "the symbols have the names of nvml.h")]

mod built;
mod calls;
mod code;
mod library;
mod state;
pub mod symbols;

pub use built::{LIBRARY_FILE, built_library, install_library};
pub use calls::{CALLS_VARIABLE, count_logged_calls};
pub use code::Code;
pub use library::{STATE_FILE, STATE_VARIABLE};
pub use state::{GpuState, ProcessState, State, WriteError};
