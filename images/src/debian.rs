//! The Debian packages that files of this machine come from.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::process::Command;

/// dpkg-query is there and does not answer.
#[derive(Debug, thiserror::Error)]
pub enum DebianError {
    /// It could not be run.
    #[error("failed to run dpkg-query")]
    Run(#[source] io::Error),
    /// It knows a package's name and nothing else.
    #[error("failed to read what dpkg-query says of {package}: {answer:?}")]
    Answer {
        /// The package.
        package: String,
        /// What it said.
        answer: String,
    },
}

/// A package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) architecture: String,
    /// The package of its source, by which security notices go.
    pub(crate) source: String,
    pub(crate) source_version: String,
}

impl Package {
    /// Its licence, if the machine has kept it.
    pub(crate) fn copyright(&self) -> Option<(String, Vec<u8>)> {
        let path = format!("/usr/share/doc/{}/copyright", self.name);
        let text = std::fs::read(&path).ok()?;
        Some((path, text))
    }
}

/// The packages of files, each once. None where there is no dpkg-query, or where a file is of no package.
pub(crate) fn of<'a>(files: impl IntoIterator<Item = &'a Path>) -> Result<BTreeSet<Package>, DebianError> {
    let mut names = BTreeSet::new();
    for file in files {
        match owner(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            owner => names.extend(owner.map_err(DebianError::Run)?),
        }
    }
    names.iter().map(|name| package(name)).collect()
}

/// The package of a file, as `name:architecture`.
fn owner(file: &Path) -> io::Result<Option<String>> {
    // Packages were made before /lib became a link to /usr/lib, or after: the same file has two names.
    let other = match file.strip_prefix("/usr") {
        Ok(rest) => Path::new("/").join(rest),
        Err(_) => Path::new("/usr").join(file.strip_prefix("/").unwrap_or(file)),
    };
    for path in [file.to_owned(), other] {
        let output = Command::new("dpkg-query").arg("--search").arg(&path).output()?;
        if output.status.success() {
            return Ok(searched(&String::from_utf8_lossy(&output.stdout), &path));
        }
    }
    Ok(None)
}

fn searched(answer: &str, path: &Path) -> Option<String> {
    let lines = answer.lines().filter(|line| !line.starts_with("diversion by"));
    let owner = lines.filter_map(|line| line.split_once(": ")).find(|(_, found)| path == *found)?.0;
    owner.split(", ").next().map(str::to_owned)
}

fn package(name: &str) -> Result<Package, DebianError> {
    let fields = "${Package} ${Version} ${Architecture} ${source:Package} ${source:Version}";
    let output = Command::new("dpkg-query").args(["--show", "--showformat", fields, name]).output();
    let answer = String::from_utf8_lossy(&output.map_err(DebianError::Run)?.stdout).into_owned();
    let [name, version, architecture, source, source_version] = answer.split(' ').collect::<Vec<_>>()[..] else {
        return Err(DebianError::Answer { package: name.to_owned(), answer });
    };
    let [name, version, architecture] = [name, version, architecture].map(str::to_owned);
    let [source, source_version] = [source, source_version].map(str::to_owned);
    Ok(Package { name, version, architecture, source, source_version })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_a_file_is_read_past_diversions_and_companions() {
        let answer = "diversion by dash from: /bin/sh\nlibc6:amd64: /lib/libc.so.6\n";
        assert_eq!(searched(answer, Path::new("/lib/libc.so.6")).as_deref(), Some("libc6:amd64"));
        assert_eq!(searched("a, b: /etc\n", Path::new("/etc")).as_deref(), Some("a"));
        assert_eq!(searched("a: /etc/x\n", Path::new("/etc")), None);
    }

    #[test]
    fn a_file_of_no_package_has_none() {
        assert_eq!(of([Path::new("/no/such/file")]).unwrap(), BTreeSet::new());
    }
}
