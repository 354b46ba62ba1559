//! The file system that all nodes mount: which step each checkpoint folder holds.

use std::io;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files;

/// Checkpoint folders of all jobs.
#[derive(Clone, Debug)]
pub(crate) struct Storage {
    root: PathBuf,
}

/// What a folder holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    /// The optimizer step.
    pub(crate) step: u64,
}

impl Storage {
    /// Folders below the fleet's own.
    pub(crate) fn new(folder: &Path) -> Self {
        Self { root: folder.join("storage") }
    }

    /// Writes a complete checkpoint. A later one replaces it.
    pub(crate) fn write(&self, namespace: &str, folder: &str, step: u64) -> io::Result<()> {
        let text = serde_json::to_vec(&Held { step })?;
        files::replace(&self.file(namespace, folder), &text)
    }

    /// The last complete checkpoint of a folder.
    pub(crate) fn read(&self, namespace: &str, folder: &str) -> Option<Held> {
        if folder.is_empty() {
            return None;
        }
        serde_json::from_slice(&std::fs::read(self.file(namespace, folder)).ok()?).ok()
    }

    fn file(&self, namespace: &str, folder: &str) -> PathBuf {
        // A path of a container is below its own root; what leads upwards is left out.
        let inside = Path::new(folder).components().filter(|part| matches!(part, Component::Normal(_)));
        self.root.join(namespace).join(inside.collect::<PathBuf>()).join("checkpoint.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_holds_its_last_checkpoint_and_no_other_s() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::new(folder.path());
        assert_eq!(storage.read("ns", "/checkpoints/job/r1"), None);
        storage.write("ns", "/checkpoints/job/r1", 10).unwrap();
        storage.write("ns", "/checkpoints/job/r1", 20).unwrap();
        storage.write("ns", "/checkpoints/job/r2", 30).unwrap();
        assert_eq!(storage.read("ns", "/checkpoints/job/r1"), Some(Held { step: 20 }));
        assert_eq!(storage.read("ns", "/checkpoints/job/r2"), Some(Held { step: 30 }));
        assert_eq!(storage.read("other", "/checkpoints/job/r1"), None);
        assert_eq!(storage.read("ns", ""), None);
    }

    #[test]
    fn nothing_is_written_outside() {
        let storage = Storage::new(Path::new("/fleet"));
        let file = storage.file("ns", "/../../etc");
        assert_eq!(file, Path::new("/fleet/storage/ns/etc/checkpoint.json"));
    }
}
