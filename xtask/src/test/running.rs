//! A gate's process: what it prints goes to the terminal and into a log, and an interrupted one is let clean up.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::sync::oneshot;

/// How long an interrupted gate may clean up; a cluster is down after some seconds.
const CLEAN_UP: Duration = Duration::from_secs(60);

/// A process and whatever it starts, in a process group of its own: the terminal's Ctrl-C reaches this program alone,
/// which passes it on when this value is dropped and waits for the end.
#[derive(Debug)]
pub(super) struct Running {
    group: Pid,
    over: oneshot::Receiver<()>,
    /// The same news for whoever cannot await it.
    gone: mpsc::Receiver<()>,
    thread: Option<JoinHandle<io::Result<ExitStatus>>>,
}

impl Running {
    /// Starts it. The log is written anew.
    pub(super) fn start(mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let mut log = File::create(log).with_context(|| format!("failed to write {}", log.display()))?;
        let (mut output, input) = io::pipe().context("failed to make a pipe")?;
        command.stdin(Stdio::null()).stdout(input.try_clone()?).stderr(input).process_group(0);
        let mut child =
            command.spawn().with_context(|| format!("failed to run {}", command.get_program().display()))?;
        let group = Pid::from_raw(child.id().cast_signed());
        // It holds the writing end of the pipe, which would never end.
        drop(command);
        let ((tell, over), (tell_drop, gone)) = (oneshot::channel(), mpsc::channel());
        let thread = std::thread::spawn(move || {
            let copied = copy(&mut output, &mut log);
            let status = child.wait();
            // One of them listens.
            let _ = tell.send(());
            let _ = tell_drop.send(());
            copied.and(status)
        });
        Ok(Self { group, over, gone, thread: Some(thread) })
    }

    /// Waits for its end. Returns whether it succeeded.
    pub(super) async fn succeeded(mut self) -> anyhow::Result<bool> {
        let _ = (&mut self.over).await;
        let Some(thread) = self.thread.take() else { return Ok(false) };
        let status = thread.join().map_err(|_| anyhow::anyhow!("the thread that reads a gate's output panicked"))?;
        Ok(status.context("failed to read a gate's output")?.success())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // A group that is gone needs no signal.
            let _ = killpg(self.group, Signal::SIGINT);
            if self.gone.recv_timeout(CLEAN_UP).is_err() {
                let _ = killpg(self.group, Signal::SIGKILL);
            }
            let _ = thread.join();
        }
    }
}

fn copy(output: &mut io::PipeReader, log: &mut File) -> io::Result<()> {
    let mut buffer = [0; 8192];
    loop {
        let length = match output.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        log.write_all(&buffer[..length])?;
        let mut terminal = io::stdout().lock();
        // A terminal that went away is no reason to lose the result.
        let _ = terminal.write_all(&buffer[..length]).and_then(|()| terminal.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-ec", script]);
        command
    }

    #[tokio::test]
    async fn both_outputs_are_in_the_log_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let running = Running::start(shell("echo one; echo two >&2; echo three; exit 3"), &log).unwrap();
        assert!(!running.succeeded().await.unwrap());
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "one\ntwo\nthree\n");
        assert!(Running::start(shell("true"), &log).unwrap().succeeded().await.unwrap());
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "");
    }

    #[test]
    fn a_dropped_one_cleans_up_and_ends_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let (log, ready) = (folder.path().join("log"), folder.path().join("ready"));
        nix::unistd::mkfifo(&ready, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // The inner shell dies of the signal wherever it is; between fork and exec the outer one's child would miss it.
        let inner = "echo ready > \"$READY\"; exec sleep 600";
        let script = format!("trap 'echo cleaned up; exit 1' INT; sh -c '{inner}' || true");
        let mut command = shell(&script);
        command.env("READY", &ready);
        let running = Running::start(command, &log).unwrap();
        assert_eq!(std::fs::read_to_string(&ready).unwrap(), "ready\n");
        let group = running.group;
        drop(running);
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "cleaned up\n");
        assert_eq!(killpg(group, None), Err(nix::errno::Errno::ESRCH));
    }
}
