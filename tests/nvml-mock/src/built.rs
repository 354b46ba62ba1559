//! Where the built library is.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// File name of the built library.
pub const LIBRARY_FILE: &str = "libnvidia_ml_mock.so";

/// The library that cargo built together with the running program: beside its dependencies, or beside the program.
pub fn built_library() -> io::Result<PathBuf> {
    let program = env::current_exe()?;
    let folders = program.ancestors().skip(1).take(2).flat_map(|folder| [folder.join("deps"), folder.to_owned()]);
    folders
        .map(|folder| folder.join(LIBRARY_FILE))
        .find(|path| path.is_file())
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no {LIBRARY_FILE} near {}", program.display())))
}

/// Copies the built library into a folder, so that it has a state and counters of its own there.
pub fn install_library(folder: &Path) -> io::Result<PathBuf> {
    let installed = folder.join(LIBRARY_FILE);
    fs::copy(built_library()?, &installed)?;
    Ok(installed)
}
