//! The libraries that a program loads, found where this machine's loader finds them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::elf::{self, ElfError};

/// A program's libraries cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LibrariesError {
    /// A file cannot be read.
    #[error("failed to read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// A file is no program.
    #[error("failed to read what {} loads", .0.display())]
    Elf(PathBuf, #[source] ElfError),
    /// A library is in no folder of the loader.
    #[error("failed to find {name}, which {} loads", by.display())]
    Missing {
        /// The library.
        name: String,
        /// Who loads it.
        by: PathBuf,
    },
}

/// Files by their path.
pub(crate) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// All that a program loads, libraries of libraries included, and others by name with all that these load. Without a cache
/// the loader looks in fixed folders: so a file keeps the path where it was found, and is found there again.
pub(crate) fn of(program: &Path, others: &[&str]) -> Result<Files, LibrariesError> {
    let mut found = Files::new();
    let mut open = Vec::new();
    let needs = needs(program, &read(program)?)?;
    if let Some(loader) = needs.loader {
        let loader = PathBuf::from(loader);
        let content = read(&loader)?;
        found.insert(loader, content);
    }
    let all = needs.libraries.into_iter().chain(others.iter().map(|name| (*name).to_owned()));
    open.extend(all.map(|name| (name, program.to_owned())));
    while let Some((name, by)) = open.pop() {
        // The loader is a library as well, under its own path.
        if found.keys().any(|path| path.ends_with(&name)) {
            continue;
        }
        let path = folders().map(|folder| folder.join(&name)).find(|path| path.is_file());
        let path = path.ok_or(LibrariesError::Missing { name, by })?;
        let content = read(&path)?;
        open.extend(self::needs(&path, &content)?.libraries.into_iter().map(|name| (name, path.clone())));
        found.insert(path, content);
    }
    Ok(found)
}

/// The folders of glibc's loader: Debian's of this architecture, then everyone's.
fn folders() -> impl Iterator<Item = PathBuf> {
    let debian = format!("{}-linux-gnu", std::env::consts::ARCH);
    let debian = ["/lib", "/usr/lib"].map(|folder| Path::new(folder).join(&debian));
    debian.into_iter().chain(["/lib64", "/usr/lib64", "/lib", "/usr/lib"].map(PathBuf::from))
}

fn read(path: &Path) -> Result<Vec<u8>, LibrariesError> {
    std::fs::read(path).map_err(|source| LibrariesError::Read(path.to_owned(), source))
}

fn needs(path: &Path, content: &[u8]) -> Result<elf::Needs, LibrariesError> {
    elf::needs(content).map_err(|source| LibrariesError::Elf(path.to_owned(), source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_libraries_of_this_test_are_what_the_loader_says() {
        let program = std::env::current_exe().unwrap();
        let files = of(&program, &[]).unwrap();
        let output = std::process::Command::new("ldd").arg(&program).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        // Each line has one path; only the kernel's own library has none.
        let loaded = text.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
        let mut loaded: Vec<&Path> = loaded.map(Path::new).collect();
        loaded.sort();
        assert_eq!(files.keys().map(PathBuf::as_path).collect::<Vec<_>>(), loaded);
    }

    #[test]
    fn a_library_that_is_nowhere_is_named() {
        let program = std::env::current_exe().unwrap();
        let error = of(&program, &["libnowhere.so.1"]).unwrap_err();
        assert!(error.to_string().starts_with("failed to find libnowhere.so.1, which "), "{error}");
    }
}
