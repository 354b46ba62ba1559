//! Takes back what a real node left on the machine, by a script that the janitor can run as well.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::preflight::search_path;
use super::{ADDRESS, NETWORK, PODS, RUN};

/// Why the machine is not as it was.
#[derive(Debug, thiserror::Error)]
pub enum CleanUpError {
    /// The script was not written.
    #[error("failed to write {}", path.display())]
    Write {
        /// The script.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The script could not be run.
    #[error("failed to run {}", path.display())]
    Run {
        /// The script.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Something stayed.
    #[error("failed to clean up after the real node: {0}")]
    Left(String),
}

/// Name of the script in the cluster's folder.
const SCRIPT: &str = "clean-up.sh";
/// Folders that kubelet, containerd and umount make at a fixed place, the deepest first.
const FIXED_FOLDERS: [&str; 6] = [
    "/run/mount",
    "/var/log/containers",
    "/var/lib/cni/results",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/run/containerd",
];
/// Settings of the kernel that kubelet and the network change.
const SETTINGS: [&str; 7] = [
    "net/ipv4/ip_forward",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];

/// What the machine looked like before.
#[derive(Debug)]
pub(super) struct CleanUp {
    folder: PathBuf,
    created: Vec<&'static str>,
    settings: Vec<(&'static str, String)>,
}

impl CleanUp {
    /// Notes the machine as it is now.
    pub(super) fn of_this_machine(folder: &Path) -> Result<Self, CleanUpError> {
        // As the kernel lists mounts: without symbolic links.
        let folder = folder.canonicalize().map_err(|source| CleanUpError::Write { path: folder.to_owned(), source })?;
        let created = FIXED_FOLDERS.into_iter().filter(|path| !Path::new(path).exists()).collect();
        let read = |name| Some((name, std::fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?));
        let settings = SETTINGS.into_iter().filter_map(read).map(|(n, v)| (n, v.trim().to_owned())).collect();
        Ok(Self { folder, created, settings })
    }

    /// Writes the script into the cluster's folder; from then on [`clean_up`] does something.
    pub(super) fn write(&self) -> Result<(), CleanUpError> {
        let path = self.folder.join(SCRIPT);
        std::fs::write(&path, self.script()).map_err(|source| CleanUpError::Write { path, source })
    }

    fn script(&self) -> String {
        let settings: Vec<String> = self.settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let folder = self.folder.to_string_lossy();
        let values = [
            ("FOLDER", folder.as_ref()),
            ("RUN", RUN),
            ("ADDRESS", ADDRESS),
            ("NETWORK", NETWORK),
            ("PODS", PODS),
            ("CREATED", &self.created.join(" ")),
            ("SYSCTLS", &settings.join(" ")),
        ];
        let mut script = String::new();
        for (name, value) in values {
            // A String takes every write.
            let _ = writeln!(script, "{name}='{}'", value.replace('\'', r"'\''"));
        }
        script + include_str!("../../config/clean-up.sh")
    }
}

/// Runs the script of the cluster in the folder, if it has a real node, and removes the script when nothing is left.
pub(crate) fn clean_up(folder: &Path) -> Result<(), CleanUpError> {
    let path = folder.join(SCRIPT);
    if !path.exists() {
        return Ok(());
    }
    run(&path, None)?;
    std::fs::remove_file(&path).map_err(|source| CleanUpError::Run { path, source })
}

/// The part of it that ends containers: processes, mounts and cgroups. The apiserver can still be reached afterwards.
pub(crate) fn end_containers(folder: &Path) -> Result<(), CleanUpError> {
    let path = folder.join(SCRIPT);
    if path.exists() { run(&path, Some("containers")) } else { Ok(()) }
}

fn run(script: &Path, part: Option<&str>) -> Result<(), CleanUpError> {
    let mut shell = Command::new("/bin/sh");
    shell.arg(script).args(part).current_dir("/").env("PATH", search_path());
    let output = shell.output().map_err(|source| CleanUpError::Run { path: script.to_owned(), source })?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(CleanUpError::Left(String::from_utf8_lossy(&said).trim().replace('\n', "; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_without_a_real_node_has_nothing_to_clean_up() {
        let folder = tempfile::tempdir().unwrap();
        clean_up(folder.path()).unwrap();
    }

    #[test]
    fn the_script_is_lawful_shell_and_keeps_an_odd_folder_whole() {
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("it's; rm -rf");
        std::fs::create_dir(&odd).unwrap();
        let clean_up = CleanUp::of_this_machine(&odd).unwrap();
        clean_up.write().unwrap();
        let path = odd.join(SCRIPT);
        assert!(Command::new("/bin/sh").arg("-n").arg(&path).status().unwrap().success());
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.starts_with("FOLDER='"), "{text}");
        assert!(text.contains(r"it'\''s; rm -rf'"), "{text}");
        assert!(text.contains("net/ipv4/ip_forward="));
    }
}
