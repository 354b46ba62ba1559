//! The processes of one cluster and the folder they share: claimed, started, recorded, ended.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use nix::sys::signal::Signal;

use crate::janitor::{self, Janitor};
use crate::process::{self, CommandLine, ProcessId};
use crate::real_node::{self, CleanUpError};
use crate::state::{Member, State, StateError};

/// Why a process or the folder of a cluster is not as asked for.
#[derive(Debug, thiserror::Error)]
pub enum CrewError {
    /// A cluster of that name runs.
    #[error("failed to claim cluster {0}: it is running already, or being started")]
    AlreadyRunning(String),
    /// Another process is in the middle of starting it.
    #[error("failed to end cluster {name}: process {pid} is still starting it")]
    Starting {
        /// The cluster.
        name: String,
        /// Who starts it.
        pid: i32,
    },
    /// The state folder is not usable.
    #[error("failed to use state folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The state file is not usable.
    #[error(transparent)]
    State(#[from] StateError),
    /// A program did not start.
    #[error("failed to start {name}")]
    Spawn {
        /// Its name in the cluster.
        name: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is no process of that name.
    #[error("failed to find process {0} in the cluster")]
    NoSuchProcess(String),
    /// It cannot be started again before it has ended.
    #[error("failed to start {0} again: it is running")]
    Running(String),
    /// A process could not be signalled.
    #[error("failed to signal {name}")]
    Signal {
        /// Its name in the cluster.
        name: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Something survived SIGKILL.
    #[error("failed to end {}: still running", .0.join(", "))]
    StillRunning(Vec<String>),
    /// Something of the real node is left.
    #[error(transparent)]
    CleanUp(#[from] CleanUpError),
}

/// Owns what it started: unless released, dropping it ends every process and removes the folder.
#[derive(Debug)]
pub(crate) struct Crew {
    pub(crate) folder: PathBuf,
    pub(crate) state: State,
    /// To be reaped, or they would stay as zombies for as long as this process lives.
    children: Vec<Child>,
    janitor: Option<Janitor>,
    owned: bool,
}

impl Crew {
    /// Makes the folder `<root>/<name>`, in place of what a dead cluster left there.
    pub(crate) fn claim(root: &Path, name: &str, keep_logs: bool) -> Result<Self, CrewError> {
        let folder = root.join(name);
        let unusable = |source| CrewError::Folder { path: folder.clone(), source };
        std::fs::create_dir_all(root).map_err(unusable)?;
        // Held until the state file is there, so that two processes do not both take a dead cluster's place.
        let lock = std::fs::File::create(root.join(".lock")).map_err(unusable)?;
        lock.lock().map_err(unusable)?;
        if State::load(&folder).is_ok_and(|state| state.is_alive()) {
            return Err(CrewError::AlreadyRunning(name.to_owned()));
        }
        if folder.exists() {
            real_node::clean_up(&folder)?;
            std::fs::remove_dir_all(&folder).map_err(unusable)?;
        }
        std::fs::create_dir_all(folder.join("logs")).map_err(unusable)?;
        let starting = Some(ProcessId::own().map_err(unusable)?);
        let state = State {
            name: name.to_owned(),
            keep_logs,
            apiserver_port: 0,
            real_node: false,
            starting,
            members: Vec::new(),
        };
        state.save(&folder)?;
        let janitor = Some(Janitor::start(&folder, keep_logs).map_err(unusable)?);
        Ok(Self { folder, state, children: Vec::new(), janitor, owned: true })
    }

    /// Attaches to what another process started. Dropping it ends nothing.
    pub(crate) fn attach(root: &Path, name: &str) -> Result<Self, CrewError> {
        let folder = root.join(name);
        let state = State::load(&folder)?;
        Ok(Self { folder, state, children: Vec::new(), janitor: None, owned: false })
    }

    /// Starts a program and records it.
    pub(crate) fn spawn(&mut self, name: &str, mut command: Command) -> Result<(), CrewError> {
        let process = self.run(name, &mut command)?;
        // One of that name that has ended makes room.
        self.state.members.retain(|member| member.name != name || member.process.is_alive());
        self.state.members.push(Member { name: name.to_owned(), process, command: CommandLine::of(&command) });
        self.record()
    }

    /// Starts a program anew that has ended, in its old place among the others.
    pub(crate) fn start_again(&mut self, name: &str) -> Result<(), CrewError> {
        let index = self.index(name)?;
        let member = &self.state.members[index];
        if member.process.is_alive() {
            return Err(CrewError::Running(name.to_owned()));
        }
        let mut command = member.command.to_command();
        self.reap();
        self.state.members[index].process = self.run(name, &mut command)?;
        self.record()
    }

    fn run(&mut self, name: &str, command: &mut Command) -> Result<ProcessId, CrewError> {
        let failed = |source| CrewError::Spawn { name: name.to_owned(), source };
        let (child, process) = process::spawn(command, &self.log(name)).map_err(failed)?;
        self.children.push(child);
        Ok(process)
    }

    /// Ends one process and waits for it. It stays on record, so that it can be started again.
    pub(crate) fn end_one(&mut self, name: &str) -> Result<(), CrewError> {
        let process = self.process(name)?.clone();
        let gone = process.end().map_err(|source| CrewError::Signal { name: name.to_owned(), source })?;
        if !gone {
            return Err(CrewError::StillRunning(vec![name.to_owned()]));
        }
        self.reap();
        Ok(())
    }

    pub(crate) fn signal(&self, name: &str, signal: Signal) -> Result<(), CrewError> {
        self.process(name)?.signal(signal).map_err(|source| CrewError::Signal { name: name.to_owned(), source })
    }

    pub(crate) fn process(&self, name: &str) -> Result<&ProcessId, CrewError> {
        Ok(&self.state.members[self.index(name)?].process)
    }

    fn index(&self, name: &str) -> Result<usize, CrewError> {
        let index = self.state.members.iter().position(|member| member.name == name);
        index.ok_or_else(|| CrewError::NoSuchProcess(name.to_owned()))
    }

    /// The first process that has ended by itself.
    pub(crate) fn first_dead(&self) -> Option<&str> {
        self.state.members.iter().find(|member| !member.process.is_alive()).map(|member| member.name.as_str())
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{name}.log"))
    }

    /// Notes that the cluster is up.
    pub(crate) fn started(&mut self) -> Result<(), CrewError> {
        self.state.starting = None;
        self.record()
    }

    /// Lets everything run on after this process.
    pub(crate) fn release(&mut self) {
        self.owned = false;
        if let Some(janitor) = self.janitor.take() {
            janitor.dismiss();
        }
    }

    /// Ends every process, the last started first, and removes the folder.
    pub(crate) fn end(&mut self) -> Result<(), CrewError> {
        if let Some(other) = self.state.starting.as_ref().filter(|process| !self.owned && process.is_alive()) {
            return Err(CrewError::Starting { name: self.state.name.clone(), pid: other.pid });
        }
        let mut left = Vec::new();
        for member in self.state.members.iter().rev() {
            if !member.process.end().unwrap_or(false) {
                left.push(member.name.clone());
            }
            if member.name == real_node::CONTAINERD && left.is_empty() {
                // Before the control plane ends, so that no container sees it go. What fails is tried again below.
                let _ = real_node::end_containers(&self.folder);
            }
        }
        self.reap();
        if !left.is_empty() {
            return Err(CrewError::StillRunning(left));
        }
        // Not a file is removed while a mount of a container might lead elsewhere.
        real_node::clean_up(&self.folder)?;
        self.release();
        self.remove_folder().map_err(|source| CrewError::Folder { path: self.folder.clone(), source })
    }

    fn remove_folder(&self) -> io::Result<()> {
        if !self.state.keep_logs {
            return std::fs::remove_dir_all(&self.folder);
        }
        let logs = std::ffi::OsStr::new("logs");
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true if entry.file_name() != logs => std::fs::remove_dir_all(entry.path())?,
                true => {}
                false => std::fs::remove_file(entry.path())?,
            }
        }
        Ok(())
    }

    fn record(&self) -> Result<(), CrewError> {
        self.state.save(&self.folder)?;
        let failed = |source| CrewError::Folder { path: self.folder.clone(), source };
        janitor::write_members(&self.folder, &self.state.members).map_err(failed)
    }

    fn reap(&mut self) {
        // An error means that it was reaped before, which is as good.
        self.children.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        if self.owned {
            // Nobody is left to tell; what survives is ended by the janitor as the pipe closes with this value.
            let _ = self.end();
        }
    }
}
