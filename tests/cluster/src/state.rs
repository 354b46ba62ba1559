//! `cluster.json`: what runs, so that another process can end exactly that.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::process::{CommandLine, ProcessId};

/// Why the state of a cluster cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// There is no such cluster.
    #[error("failed to find cluster {name}: there is no {}", path.display())]
    Missing {
        /// Its name.
        name: String,
        /// Where its state file would be.
        path: PathBuf,
    },
    /// The file is there and not readable.
    #[error("failed to read {}", path.display())]
    Read {
        /// The state file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("failed to write {}", path.display())]
    Write {
        /// The state file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A named process of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) process: ProcessId,
    pub(crate) command: CommandLine,
}

/// The content of `cluster.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct State {
    pub(crate) name: String,
    pub(crate) keep_logs: bool,
    /// Where the apiserver listens; 0 until it was started.
    pub(crate) apiserver_port: u16,
    /// Whether it has a real node.
    #[serde(default)]
    pub(crate) real_node: bool,
    /// Who is starting it; none once it is up.
    pub(crate) starting: Option<ProcessId>,
    /// In the order of their start; they are ended from the back.
    pub(crate) members: Vec<Member>,
}

impl State {
    pub(crate) fn path(folder: &Path) -> PathBuf {
        folder.join("cluster.json")
    }

    pub(crate) fn load(folder: &Path) -> Result<Self, StateError> {
        let path = Self::path(folder);
        let text = std::fs::read_to_string(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => {
                let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
                StateError::Missing { name, path: path.clone() }
            }
            _ => StateError::Read { path: path.clone(), source },
        })?;
        serde_json::from_str(&text).map_err(|error| StateError::Read { path, source: error.into() })
    }

    /// Replaces the file whole: a reader sees the old one or the new one.
    pub(crate) fn save(&self, folder: &Path) -> Result<(), StateError> {
        let path = Self::path(folder);
        let draft = folder.join(".cluster.json");
        let written = serde_json::to_vec_pretty(self)
            .map_err(io::Error::from)
            .and_then(|text| std::fs::write(&draft, text))
            .and_then(|()| std::fs::rename(&draft, &path));
        written.map_err(|source| StateError::Write { path, source })
    }

    /// Whether anything of it still runs, or somebody is about to start it.
    pub(crate) fn is_alive(&self) -> bool {
        self.members.iter().any(|member| member.process.is_alive())
            || self.starting.as_ref().is_some_and(ProcessId::is_alive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        let own = ProcessId::own().unwrap();
        let gone = ProcessId { boot_id: "another boot".to_owned(), ..own };
        let command = CommandLine::of(std::process::Command::new("etcd").arg("--version").env("A", "b"));
        let members = vec![Member { name: "etcd".to_owned(), process: gone, command }];
        State { name: "x".to_owned(), keep_logs: false, apiserver_port: 0, real_node: false, starting: None, members }
    }

    #[test]
    fn it_reads_back_what_it_wrote() {
        let folder = tempfile::tempdir().unwrap();
        state().save(folder.path()).unwrap();
        assert_eq!(State::load(folder.path()).unwrap(), state());
    }

    #[test]
    fn a_cluster_is_alive_while_somebody_starts_it() {
        assert!(!state().is_alive());
        assert!(State { starting: Some(ProcessId::own().unwrap()), ..state() }.is_alive());
    }

    #[test]
    fn a_missing_cluster_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = State::load(&folder.path().join("demo")).unwrap_err();
        assert!(error.to_string().starts_with("failed to find cluster demo"), "{error}");
    }
}
