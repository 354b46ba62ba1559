//! A process of a system pod.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Command;

use super::launch::Launch;
use crate::pod::Ended;

/// A process of a system pod. Killed when dropped.
pub(super) struct Child {
    process: tokio::process::Child,
}

impl Child {
    /// Starts the process. Its output is appended to its log.
    pub(super) fn start(launch: &Launch, admin: SocketAddr, progress: SocketAddr) -> io::Result<Self> {
        let log = File::options().create(true).append(true).open(launch.log())?;
        let mut command = Command::new(&launch.program);
        command.args(&launch.args).env_clear().envs(&launch.variables);
        command.env("PLIMSOLL_ADMIN_BIND", admin.to_string());
        command.env("PLIMSOLL_PROGRESS_BIND", progress.to_string());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        die_with_us(&mut command);
        Ok(Self { process: command.spawn()? })
    }

    /// Its id while it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Waits for its end.
    pub(super) async fn ended(&mut self) -> io::Result<Ended> {
        self.process.wait().await.map(how)
    }

    /// SIGTERM, then SIGKILL after the grace.
    pub(super) async fn end(&mut self, grace: Duration) -> io::Result<Ended> {
        if let Some(pid) = self.pid().and_then(|pid| i32::try_from(pid).ok()) {
            // It may have ended in this moment; then there is nobody to tell.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            // One that was stopped does not see the SIGTERM before it goes on.
            let _ = kill(Pid::from_raw(pid), Signal::SIGCONT);
        }
        if let Ok(ended) = tokio::time::timeout(grace, self.process.wait()).await {
            return ended.map(how);
        }
        self.process.start_kill()?;
        self.ended().await
    }
}

fn how(status: ExitStatus) -> Ended {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(255);
    Ended::with(code)
}

/// Lets the kernel end the process when the fleet is killed and cannot do it itself.
#[allow(unsafe_code, reason = "only the kernel ends a child whose parent was killed; asking for it needs pre_exec")]
fn die_with_us(command: &mut Command) {
    let parent = nix::unistd::getpid();
    // SAFETY: between fork and exec only prctl and getppid are called, which are async-signal-safe and allocate nothing.
    unsafe {
        command.pre_exec(move || {
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
            // A parent that was gone before the line above sends nothing any more.
            if nix::unistd::getppid() == parent { Ok(()) } else { Err(io::ErrorKind::NotConnected.into()) }
        });
    }
}
