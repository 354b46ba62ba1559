//! How often each symbol was called.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::{env, fs, io};

/// Environment variable with the path of the call log; see [`State::call_log`](crate::State::call_log), which wins.
pub const CALLS_VARIABLE: &str = "PLIMSOLL_NVML_MOCK_CALLS";

static COUNTS: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());

/// Counts a call, and logs it where a log is asked for.
pub(crate) fn record(symbol: &'static str, uuid: Option<&str>, log: Option<&Path>) {
    *COUNTS.lock().unwrap_or_else(PoisonError::into_inner).entry(symbol).or_default() += 1;
    static FALLBACK: OnceLock<Option<PathBuf>> = OnceLock::new();
    let fallback = FALLBACK.get_or_init(|| env::var_os(CALLS_VARIABLE).map(PathBuf::from));
    let Some(log) = log.or(fallback.as_deref()) else { return };
    let line = match uuid {
        Some(uuid) => format!("{symbol} {uuid}\n"),
        None => format!("{symbol}\n"),
    };
    // One short append is one write, so lines of several threads do not mix. A log that cannot be written must not
    // change what the driver says; the test that reads it will see that lines are missing.
    let _ = OpenOptions::new().create(true).append(true).open(log).and_then(|mut file| file.write_all(line.as_bytes()));
}

/// How often a symbol was called since the library was loaded.
pub(crate) fn count(symbol: &str) -> u64 {
    COUNTS.lock().unwrap_or_else(PoisonError::into_inner).get(symbol).copied().unwrap_or(0)
}

/// Counts, by symbol, the calls in a call log. A log that does not exist yet has none.
pub fn count_logged_calls(log: &Path) -> io::Result<BTreeMap<String, u64>> {
    let text = match fs::read_to_string(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    let mut counts = BTreeMap::new();
    for symbol in text.lines().filter_map(|line| line.split(' ').next()) {
        *counts.entry(symbol.to_owned()).or_default() += 1;
    }
    Ok(counts)
}
