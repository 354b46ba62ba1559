//! Checkpoint folders: what every node would see on a shared file system.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::file::write_atomically;

/// What a checkpoint holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    /// Optimizer steps done.
    pub step: u64,
    /// Samples trained.
    pub samples: u64,
}

type Folders = BTreeMap<(String, String), Checkpoint>;

/// Checkpoint folders by namespace and path. Kept on disk too, so that they outlive the fleet.
#[derive(Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    newest: Mutex<Folders>,
}

impl Checkpoints {
    /// Folders under a folder of this machine.
    pub fn under(folder: PathBuf) -> Self {
        Self { folder, newest: Mutex::default() }
    }

    /// Writes a checkpoint. It replaces an older one in the same folder.
    ///
    /// # Errors
    /// When it cannot be written to disk; it is remembered all the same.
    pub fn write(&self, namespace: &str, path: &str, checkpoint: Checkpoint) -> io::Result<()> {
        self.lock().insert((namespace.to_owned(), path.to_owned()), checkpoint);
        let text = serde_json::to_vec(&checkpoint)?;
        write_atomically(&self.file(namespace, path), &text)
    }

    /// The newest complete checkpoint in a folder. An empty path is no folder.
    pub fn read(&self, namespace: &str, path: &str) -> Option<Checkpoint> {
        if path.is_empty() {
            return None;
        }
        let known = self.lock().get(&(namespace.to_owned(), path.to_owned())).copied();
        known.or_else(|| serde_json::from_slice(&std::fs::read(self.file(namespace, path)).ok()?).ok())
    }

    fn file(&self, namespace: &str, path: &str) -> PathBuf {
        // One level, so that no path leads out of the folder.
        let flat: String = path.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
        self.folder.join(namespace).join(flat).join("checkpoint.json")
    }

    fn lock(&self) -> MutexGuard<'_, Folders> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_found_where_it_was_written_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::under(folder.path().to_owned());
        let first = Checkpoint { step: 5, samples: 50 };
        checkpoints.write("ns", "/checkpoints/a/r1", first).unwrap();
        assert_eq!(checkpoints.read("ns", "/checkpoints/a/r1"), Some(first));
        assert_eq!(checkpoints.read("ns", "/checkpoints/a/r2"), None);
        assert_eq!(checkpoints.read("other", "/checkpoints/a/r1"), None);
        assert_eq!(checkpoints.read("ns", ""), None);
        let second = Checkpoint { step: 9, samples: 90 };
        checkpoints.write("ns", "/checkpoints/a/r1", second).unwrap();
        assert_eq!(checkpoints.read("ns", "/checkpoints/a/r1"), Some(second));
    }

    #[test]
    fn checkpoints_outlive_the_fleet_and_stay_in_their_folder() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint { step: 5, samples: 50 };
        Checkpoints::under(folder.path().join("in")).write("ns", "/../../out", checkpoint).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(Checkpoints::under(folder.path().join("in")).read("ns", "/../../out"), Some(checkpoint));
    }
}
