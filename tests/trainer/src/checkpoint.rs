//! Checkpoints: one small file in a folder, replaced whole.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

const FILE: &str = "checkpoint.json";

/// A checkpoint cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckpointError {
    #[error("failed to write the checkpoint {}", .0.display())]
    Write(PathBuf, #[source] io::Error),
    #[error("failed to read the checkpoint {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
}

#[derive(Debug, Serialize, Deserialize)]
struct Checkpoint {
    step: u64,
}

/// Writes a checkpoint of a step.
pub(crate) fn write(folder: &Path, step: u64) -> Result<PathBuf, CheckpointError> {
    let path = folder.join(FILE);
    let write = || -> io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let new = folder.join(format!("{FILE}.new"));
        let file = std::fs::File::create(&new)?;
        serde_json::to_writer(&file, &Checkpoint { step })?;
        file.sync_all()?;
        // Whoever reads the name sees the old one or the new one whole.
        std::fs::rename(&new, &path)
    };
    write().map_err(|source| CheckpointError::Write(path.clone(), source))?;
    Ok(path)
}

/// The step of a folder's checkpoint; none where the predecessor ended before its first.
pub(crate) fn read(folder: &Path) -> Result<Option<u64>, CheckpointError> {
    let path = folder.join(FILE);
    let bytes = match std::fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|source| CheckpointError::Read(path.clone(), source))?,
    };
    let checkpoint: Checkpoint =
        serde_json::from_slice(&bytes).map_err(|error| CheckpointError::Read(path, error.into()))?;
    Ok(Some(checkpoint.step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_the_newest_wins() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("r1");
        assert_eq!(read(&own).unwrap(), None);
        write(&own, 3).unwrap();
        write(&own, 5).unwrap();
        assert_eq!(read(&own).unwrap(), Some(5));
        std::fs::write(own.join(FILE), "{").unwrap();
        assert!(read(&own).is_err(), "half a checkpoint is none to begin from");
    }
}
