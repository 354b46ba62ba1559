//! Files that others read while they are replaced.

use std::io;
use std::path::{Path, PathBuf};

/// Writes a file as a whole: a reader sees the old one or the new one, never half of it.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write_atomically(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    // One writer per file is the rule here, so that a fixed name beside it is enough.
    beside.push(".new");
    let beside = PathBuf::from(beside);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, path)
}
