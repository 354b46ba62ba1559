//! Ends a cluster whose owner died without a chance to do so: Ctrl-C under `cargo test`, SIGKILL, an abort.
//!
//! A shell waits on a pipe whose other end only the owner holds. The kernel closes it when the owner dies, however that
//! happens, and the shell then ends the processes of the list. No thread, no signal handler and no unsafe code.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::state::Member;

/// `$1` is the state folder, whose `members` file has lines of pid and start time. A pid whose start time (field 22 of
/// its stat; none of our programs has a space in its name) is another belongs to somebody else.
const SCRIPT: &str = r#"
read -r word && exit 0
each() { while read -r pid start; do
  [ "$(cut -d' ' -f22 /proc/$pid/stat 2>/dev/null)" = "$start" ] && kill "$1" "-$pid" 2>/dev/null
done < "$2"; }
each -TERM "$1/members"; sleep 3; each -KILL "$1/members"; sleep 1
[ ! -f "$1/clean-up.sh" ] || /bin/sh "$1/clean-up.sh" || exit 1
[ "$2" = keep ] || rm -rf -- "$1"
"#;

/// A shell that waits for this process to die.
#[derive(Debug)]
pub(crate) struct Janitor(Child);

impl Janitor {
    /// Starts to watch over the cluster in the folder.
    pub(crate) fn start(folder: &Path, keep_logs: bool) -> io::Result<Self> {
        write_members(folder, &[])?;
        Command::new("/bin/sh")
            .args(["-c", SCRIPT, "plimsoll-janitor"])
            .arg(folder)
            .arg(if keep_logs { "keep" } else { "remove" })
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map(Self)
    }

    /// Sends the shell away: the cluster was ended, or is to outlive this process.
    pub(crate) fn dismiss(mut self) {
        if let Some(mut pipe) = self.0.stdin.take() {
            // When the shell is gone already there is nobody to tell.
            let _ = pipe.write_all(b"dismissed\n");
        }
        let _ = self.0.wait();
    }
}

/// Keeps the janitor's list in step with the members.
pub(crate) fn write_members(folder: &Path, members: &[Member]) -> io::Result<()> {
    let lines: String =
        members.iter().rev().map(|m| format!("{} {}\n", m.process.pid, m.process.start_ticks)).collect();
    let draft = folder.join(".members");
    std::fs::write(&draft, lines)?;
    std::fs::rename(draft, folder.join("members"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{self, CommandLine};

    fn sleeper(folder: &Path) -> (Child, Member) {
        let mut command = Command::new("sleep");
        let (child, process) = process::spawn(command.arg("600"), &folder.join("log")).unwrap();
        (child, Member { name: "sleep".to_owned(), process, command: CommandLine::of(&command) })
    }

    #[test]
    fn it_ends_the_members_and_removes_the_folder_when_the_owner_is_gone() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("cluster");
        std::fs::create_dir(&folder).unwrap();
        let mut janitor = Janitor::start(&folder, false).unwrap();
        let (mut child, member) = sleeper(parent.path());
        write_members(&folder, std::slice::from_ref(&member)).unwrap();
        drop(janitor.0.stdin.take()); // what the kernel does when the owner dies
        janitor.0.wait().unwrap();
        assert!(!member.process.is_alive() && !folder.exists());
        child.wait().unwrap();
    }

    #[test]
    fn a_dismissed_janitor_touches_nothing_and_a_recycled_pid_is_spared() {
        let folder = tempfile::tempdir().unwrap();
        let (mut child, mut member) = sleeper(folder.path());
        let janitor = Janitor::start(folder.path(), false).unwrap();
        write_members(folder.path(), std::slice::from_ref(&member)).unwrap();
        janitor.dismiss();
        assert!(member.process.is_alive() && folder.path().exists());

        let real = member.clone();
        member.process.start_ticks += 1;
        let mut janitor = Janitor::start(folder.path(), true).unwrap();
        write_members(folder.path(), std::slice::from_ref(&member)).unwrap();
        drop(janitor.0.stdin.take());
        janitor.0.wait().unwrap();
        assert!(real.process.is_alive() && folder.path().exists());
        real.process.end().unwrap();
        child.wait().unwrap();
    }
}
