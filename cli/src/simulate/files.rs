//! Files of a simulation.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use plimsoll_simulator::profile::ProfileText;
use thiserror::Error;

/// Why a file could not be had.
#[derive(Debug, Error)]
pub(crate) enum FilesError {
    #[error("failed to read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("failed to read {}: it is compressed; unpack it with gunzip first", path.display())]
    Compressed { path: PathBuf },
    #[error("failed to find a profile in {}: it should hold a folder for each application, with validation-*.csv and placements-*.csv", path.display())]
    NoProfile { path: PathBuf },
}

pub(super) fn text(path: &Path) -> Result<String, FilesError> {
    if path.extension().is_some_and(|kind| kind == "gz") {
        return Err(FilesError::Compressed { path: path.to_owned() });
    }
    std::fs::read_to_string(path).map_err(|source| FilesError::Read { path: path.to_owned(), source })
}

/// The profiles of a folder, by application.
pub(super) fn profiles(folder: &Path) -> Result<BTreeMap<String, ProfileText>, FilesError> {
    let mut profiles = BTreeMap::new();
    for path in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        let mut profile = ProfileText::default();
        for file in entries(&path)?.into_iter().filter(|file| file.extension().is_some_and(|kind| kind == "csv")) {
            profile.add(&named(&file), text(&file)?);
        }
        if !profile.validation.is_empty() {
            profiles.insert(named(&path), profile);
        }
    }
    if profiles.is_empty() { Err(FilesError::NoProfile { path: folder.to_owned() }) } else { Ok(profiles) }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, FilesError> {
    let failed = |source| FilesError::Read { path: folder.to_owned(), source };
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect()
}

fn named(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
