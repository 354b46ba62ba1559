//! The one place that a machine has for a real node.

use std::io;
use std::path::{Path, PathBuf};

use super::clean_up::{CleanUp, CleanUpError, clean_up};
use super::{DEVICE_PLUGINS, RUN};
use crate::state::State;

/// Why the place was not taken.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Another cluster's real node is there.
    #[error("failed to take the machine's place for a real node: the cluster in {} has it", .0.display())]
    Taken(PathBuf),
    /// A kubelet that is not ours runs here.
    #[error("failed to take the machine's place for a real node: another kubelet uses {}", .0.display())]
    OtherKubelet(PathBuf),
    /// What a dead cluster left could not be removed.
    #[error(transparent)]
    CleanUp(#[from] CleanUpError),
    /// The folder is not usable.
    #[error("failed to use {RUN}")]
    Folder(#[source] io::Error),
}

/// What a kubelet of any origin has open, at the place that Kubernetes fixes.
const KUBELETS_OWN: [&str; 3] = [DEVICE_PLUGINS, "/sys/fs/cgroup/kubepods", "/sys/fs/cgroup/memory/kubepods"];

/// Why the place cannot be taken now, if so. Changes nothing.
pub(super) fn hindrance() -> Option<PlaceError> {
    let run = Path::new(RUN);
    let free = if run.exists() { dead_owner(run).map(drop) } else { other_kubelet() };
    free.err()
}

/// Takes the place for the cluster in the folder, and writes the script that gives it back.
pub(super) fn take(folder: &Path) -> Result<(), PlaceError> {
    let run = Path::new(RUN);
    if let Err(error) = std::fs::create_dir(run) {
        if error.kind() != io::ErrorKind::AlreadyExists {
            return Err(PlaceError::Folder(error));
        }
        evict_the_dead(run)?;
        std::fs::create_dir(run).map_err(PlaceError::Folder)?;
    }
    let taken = std::fs::write(owner_file(run), folder.as_os_str().as_encoded_bytes());
    let result = taken.map_err(PlaceError::Folder).and_then(|()| {
        other_kubelet()?;
        Ok(CleanUp::of_this_machine(folder)?.write()?)
    });
    if result.is_err() {
        // Without a script nothing else was done; and the first error says more than a second one.
        let _ = give_back_unused(run);
    }
    result
}

/// Cleans up after a cluster that ended without doing so.
fn evict_the_dead(run: &Path) -> Result<(), PlaceError> {
    let owner = dead_owner(run)?;
    clean_up(&owner)?;
    match run.exists() {
        true => give_back_unused(run).map_err(|_| PlaceError::Taken(owner)),
        false => Ok(()),
    }
}

/// The folder of the cluster that has the place and runs no more.
fn dead_owner(run: &Path) -> Result<PathBuf, PlaceError> {
    let owner = std::fs::read_to_string(owner_file(run)).map_err(PlaceError::Folder)?;
    let owner = PathBuf::from(owner);
    match State::load(&owner).is_ok_and(|state| state.is_alive()) {
        true => Err(PlaceError::Taken(owner)),
        false => Ok(owner),
    }
}

fn other_kubelet() -> Result<(), PlaceError> {
    match KUBELETS_OWN.iter().map(Path::new).find(|path| path.exists()) {
        Some(path) => Err(PlaceError::OtherKubelet(path.to_owned())),
        None => Ok(()),
    }
}

/// Not recursive: when anything else is there, somebody did use it.
fn give_back_unused(run: &Path) -> io::Result<()> {
    std::fs::remove_file(owner_file(run))?;
    std::fs::remove_dir(run)
}

fn owner_file(run: &Path) -> PathBuf {
    run.join("owner")
}
