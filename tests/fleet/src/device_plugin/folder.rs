//! The kubelet's folder of device plugins, watched: a kubelet that starts empties it and makes its own socket anew.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use tokio::io::unix::AsyncFd;

/// The kubelet's socket in the folder.
const KUBELET_SOCKET: &str = "kubelet.sock";

/// A folder of device plugins.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    events: AsyncFd<Events>,
}

#[derive(Debug)]
struct Events(Inotify);

impl AsRawFd for Events {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Folder {
    /// Watches a folder, which must be there.
    pub(super) fn watch(path: &Path) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        inotify.add_watch(path, AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO)?;
        #[allow(
            deprecated,
            reason = "its successor is unsafe, and what it warns of cannot be: Events never lets go of the descriptor"
        )]
        let events = AsyncFd::new(Events(inotify))?;
        Ok(Self { path: path.to_owned(), events })
    }

    /// Where the kubelet listens.
    pub(super) fn kubelet(&self) -> PathBuf {
        self.path.join(KUBELET_SOCKET)
    }

    /// Where a plugin of this name listens.
    pub(super) fn plugin(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Waits until a kubelet has made its socket. An error when the folder is gone. May be dropped and called again.
    pub(super) async fn kubelet_starts(&self) -> io::Result<()> {
        loop {
            let mut ready = self.events.readable().await?;
            let events = ready.try_io(|events| events.get_ref().0.read_events().map_err(io::Error::from));
            let Ok(events) = events else { continue };
            let events = events?;
            if events.iter().any(|event| event.mask.contains(AddWatchFlags::IN_IGNORED)) {
                return Err(Errno::ENOENT.into());
            }
            if events.iter().any(is_kubelet) {
                return Ok(());
            }
        }
    }
}

fn is_kubelet(event: &InotifyEvent) -> bool {
    event.name.as_deref() == Some(OsStr::new(KUBELET_SOCKET))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_kubelet_s_own_socket_is_a_start() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Folder::watch(scratch.path()).unwrap();
        std::fs::write(folder.plugin("other.sock"), "").unwrap();
        std::fs::write(folder.kubelet(), "").unwrap();
        folder.kubelet_starts().await.unwrap();
        std::fs::remove_dir_all(scratch.path()).unwrap();
        assert_eq!(folder.kubelet_starts().await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
