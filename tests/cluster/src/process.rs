//! Processes that a cluster is made of: started in their own groups, recognised for certain, and ended.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// How long a process may take to end after SIGTERM. The apiserver drains for some seconds.
const TERM_BOUND: Duration = Duration::from_secs(10);
const KILL_BOUND: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// A process, told apart from a later one with the same pid by its start time and the boot it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProcessId {
    pub(crate) pid: i32,
    /// Clock ticks between boot and its start.
    pub(crate) start_ticks: u64,
    pub(crate) boot_id: String,
}

impl ProcessId {
    /// The process with this pid, now.
    pub(crate) fn of(pid: i32) -> io::Result<Self> {
        let (_, start_ticks) = stat(pid)?;
        Ok(Self { pid, start_ticks, boot_id: boot_id()? })
    }

    /// This very process of ours.
    pub(crate) fn own() -> io::Result<Self> {
        Self::of(std::process::id().cast_signed())
    }

    /// Still there: the same process, and not a zombie that waits for its parent.
    pub(crate) fn is_alive(&self) -> bool {
        let same_boot = boot_id().is_ok_and(|id| id == self.boot_id);
        same_boot && stat(self.pid).is_ok_and(|(state, start)| start == self.start_ticks && !matches!(state, 'Z' | 'X'))
    }

    /// Sends a signal to its process group, unless it is gone.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        match killpg(Pid::from_raw(self.pid), signal) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// SIGTERM, then SIGKILL after a bound. Says whether it is gone.
    pub(crate) fn end(&self) -> io::Result<bool> {
        self.signal(Signal::SIGTERM)?;
        // One that is stopped (SIGSTOP) would not see the SIGTERM.
        self.signal(Signal::SIGCONT)?;
        if self.gone_within(TERM_BOUND) {
            return Ok(true);
        }
        self.signal(Signal::SIGKILL)?;
        Ok(self.gone_within(KILL_BOUND))
    }

    #[expect(clippy::disallowed_methods, reason = "the end of a process that is not our child cannot be waited for")]
    fn gone_within(&self, bound: Duration) -> bool {
        let deadline = Instant::now() + bound;
        while self.is_alive() {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(POLL);
        }
        true
    }
}

/// How a program is started, on record, so that it can be started again. Variables it does not name are inherited.
///
/// As text, since kubeconfigs hold the same paths as text too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CommandLine {
    program: String,
    arguments: Vec<String>,
    /// Those that are set, or removed.
    environment: BTreeMap<String, Option<String>>,
    folder: Option<PathBuf>,
}

impl CommandLine {
    pub(crate) fn of(command: &Command) -> Self {
        let text = |text: &OsStr| text.to_string_lossy().into_owned();
        Self {
            program: text(command.get_program()),
            arguments: command.get_args().map(text).collect(),
            environment: command.get_envs().map(|(name, value)| (text(name), value.map(text))).collect(),
            folder: command.get_current_dir().map(Path::to_owned),
        }
    }

    pub(crate) fn to_command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command
    }
}

/// Starts a program as the leader of its own process group, so that the terminal's Ctrl-C does not reach it and its
/// children end with it. Output goes to the log, after what is there.
pub(crate) fn spawn(command: &mut Command, log: &Path) -> io::Result<(Child, ProcessId)> {
    let log = File::options().create(true).append(true).open(log)?;
    let mut child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0).spawn()?;
    match ProcessId::of(child.id().cast_signed()) {
        Ok(id) => Ok((child, id)),
        Err(error) => {
            // Without its start time it could not be ended safely later.
            let _ = child.kill();
            let _ = child.wait();
            Err(error)
        }
    }
}

/// State letter and start time of a process, from /proc/PID/stat.
fn stat(pid: i32) -> io::Result<(char, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_stat(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unreadable /proc/PID/stat"))
}

fn parse_stat(text: &str) -> Option<(char, u64)> {
    // The second field is the program's name in parentheses, which may itself hold spaces and parentheses.
    let mut fields = text.get(text.rfind(')')? + 1..)?.split_whitespace();
    let state = fields.next()?.chars().next()?;
    // Start time is field 22; the state was field 3.
    Some((state, fields.nth(18)?.parse().ok()?))
}

fn boot_id() -> io::Result<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_parsed_behind_an_odd_program_name() {
        let text = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 11 0 987654 1000 20";
        assert_eq!(parse_stat(text), Some(('S', 987_654)));
    }

    #[test]
    fn a_recycled_pid_is_somebody_else() {
        let own = ProcessId::own().unwrap();
        assert!(own.is_alive());
        assert!(!ProcessId { start_ticks: own.start_ticks + 1, ..own.clone() }.is_alive());
        assert!(!ProcessId { boot_id: "another boot".to_owned(), ..own }.is_alive());
    }

    #[test]
    fn a_command_is_the_same_after_it_was_on_record() {
        let mut command = Command::new("sh");
        command.args(["-c", "true"]).env("A", "b").env_remove("C").current_dir("/tmp");
        let line = CommandLine::of(&command);
        assert_eq!(format!("{:?}", line.to_command()), format!("{command:?}"));
        assert_eq!(CommandLine::of(&line.to_command()), line);
    }

    #[test]
    fn a_stopped_program_is_ended_too() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sleep");
        let (mut child, id) = spawn(command.arg("600"), &folder.path().join("log")).unwrap();
        assert!(id.is_alive());
        id.signal(Signal::SIGSTOP).unwrap();
        assert!(id.end().unwrap());
        child.wait().unwrap();
    }
}
