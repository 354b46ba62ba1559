//! Processes that end with this one.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getpid, getppid};
use tokio::process::{Child, Command};

/// Starts a program in a process group of its own, so that the terminal's Ctrl-C reaches the fleet alone, and such that
/// it dies with the fleet, however the fleet dies.
#[allow(unsafe_code, reason = "what happens between fork and exec can only be said so")]
pub(crate) fn spawn(command: &mut Command, log: std::fs::File) -> io::Result<Child> {
    let parent = getpid();
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0).kill_on_drop(true);
    // SAFETY: two system calls, both allowed between fork and exec; nothing is allocated or locked.
    unsafe {
        command.pre_exec(move || {
            set_pdeathsig(Signal::SIGKILL)?;
            // The parent may have died before it was asked about.
            if getppid() == parent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
        });
    }
    command.spawn()
}

/// SIGTERM, and SIGKILL after a grace. Returns once it is gone.
pub(crate) async fn end(child: &mut Child, grace: Duration) -> io::Result<std::process::ExitStatus> {
    signal(child, Signal::SIGTERM);
    if let Ok(status) = tokio::time::timeout(grace, child.wait()).await {
        return status;
    }
    signal(child, Signal::SIGKILL);
    child.wait().await
}

fn signal(child: &Child, signal: Signal) {
    let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) else { return };
    // It may have gone by itself meanwhile, which is what is wanted.
    let _ = killpg(Pid::from_raw(pid), signal);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper() -> Child {
        let log = tempfile::tempfile().unwrap();
        spawn(Command::new("sleep").arg("600"), log).unwrap()
    }

    #[tokio::test]
    async fn a_child_ends_when_told() {
        let mut child = sleeper();
        let status = end(&mut child, Duration::from_secs(5)).await.unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15));
    }

    #[tokio::test]
    async fn a_dropped_child_does_not_stay() {
        let pid = sleeper().id().unwrap();
        let stat = format!("/proc/{pid}/stat");
        let gone = || std::fs::read_to_string(&stat).is_ok_and(|text| !text.contains(" Z ")).then_some(()).is_none();
        for _ in 0..200 {
            if gone() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{stat} is still there");
    }
}
