//! Constants that were fitted to published measurements, as data.
//!
//! `cargo xtask calibrate` writes the JSON files beside this one from the tables of `core/calibration/tables`; nothing in
//! them is chosen by hand for one row. `docs/sizing.md` has the errors that cross-validation leaves.

mod memory;
mod time;

use std::sync::LazyLock;

use thiserror::Error;

pub use memory::MemoryConstants;
pub use time::TimeConstants;

/// Why a calibration cannot be read.
#[derive(Debug, Error)]
#[error("failed to read the {part} constants")]
pub struct CalibrationError {
    /// Which of them.
    part: &'static str,
    #[source]
    source: serde_json::Error,
}

/// All constants of the memory and the time model.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// Of device memory.
    pub memory: MemoryConstants,
    /// Of step time.
    pub time: TimeConstants,
}

/// The files of this folder, read once.
static PUBLISHED: LazyLock<Calibration> = LazyLock::new(|| {
    // A test reads the files, so that the starting values never stand in for them.
    Calibration::parse(include_str!("memory.json"), include_str!("time.json"))
        .unwrap_or(Calibration { memory: MemoryConstants::STARTING, time: TimeConstants::STARTING })
});

impl Calibration {
    /// The constants that ship with Plimsoll.
    pub fn published() -> &'static Self {
        &PUBLISHED
    }

    /// Reads the two files' texts.
    ///
    /// # Errors
    /// When one of them is no JSON, lacks a constant or has an unknown one.
    pub fn parse(memory: &str, time: &str) -> Result<Self, CalibrationError> {
        let part = |part| move |source| CalibrationError { part, source };
        Ok(Self {
            memory: serde_json::from_str(memory).map_err(part("memory"))?,
            time: serde_json::from_str(time).map_err(part("time"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_that_ship_can_be_read() {
        let read = Calibration::parse(include_str!("memory.json"), include_str!("time.json")).expect("both files");
        assert_eq!(&read, Calibration::published());
    }

    #[test]
    fn a_file_that_lacks_a_constant_is_refused_by_its_name() {
        let error = Calibration::parse("{}", include_str!("time.json")).unwrap_err();
        assert_eq!(error.to_string(), "failed to read the memory constants");
    }
}
