//! What a real node needs of the machine.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The Debian packages of everything that is looked for here.
pub(super) const PACKAGES: &str = "runc containernetworking-plugins nftables iproute2 gcc libc6-dev";
const PROGRAMS: [&str; 4] = ["runc", "nft", "ip", "cc"];
const PLUGINS: [&str; 2] = ["ptp", "host-local"];
/// Where distributions put network plugins.
const PLUGIN_FOLDERS: [&str; 3] = ["/usr/lib/cni", "/usr/libexec/cni", "/opt/cni/bin"];

/// What is missing on this machine for a real node, in words; nothing when it can run.
pub fn missing() -> Vec<String> {
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let mut missing = Vec::new();
    if !root {
        missing.push("root".to_owned());
    }
    missing.extend(PROGRAMS.iter().filter(|name| find(name).is_none()).map(|name| (*name).to_owned()));
    if plugin_folder().is_none() {
        missing.push("CNI plugins".to_owned());
    }
    // A container's root may lack what its name promises. Only a machine with all the rest is tried.
    if missing.is_empty() && !makes_namespaces() {
        missing.push("the right to make namespaces".to_owned());
    }
    if missing.is_empty() && !makes_control_groups() {
        missing.push("the right to make control groups".to_owned());
    }
    missing
}

/// Whether this process may make a network, and mounts of its own.
fn makes_namespaces() -> bool {
    let tried = Command::new("unshare").args(["--net", "--mount", "true"]).output();
    tried.is_ok_and(|output| output.status.success())
}

/// Whether this process may make a control group that limits memory: in the memory hierarchy of version 1, else in the
/// one hierarchy of version 2.
fn makes_control_groups() -> bool {
    let folders = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"].map(Path::new);
    let Some(folder) = folders.into_iter().find(|folder| folder.is_dir()) else { return false };
    let group = folder.join(format!("plimsoll-preflight-{}", std::process::id()));
    std::fs::create_dir(&group).is_ok() && std::fs::remove_dir(&group).is_ok()
}

/// The folder of the network plugins.
pub(super) fn plugin_folder() -> Option<&'static Path> {
    let complete = |folder: &&Path| PLUGINS.iter().all(|name| folder.join(name).is_file());
    PLUGIN_FOLDERS.iter().map(Path::new).find(complete)
}

/// `PATH` with the folders of system programs, which a user's own may lack.
pub(super) fn search_path() -> std::ffi::OsString {
    let own = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&own).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    // A folder with a colon cannot come out of a split at colons.
    std::env::join_paths(folders).unwrap_or(own)
}

fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&search_path()).map(|folder| folder.join(program)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_by_name_and_unknown_ones_are_not() {
        assert!(find("sh").is_some());
        assert!(find("no-such-program-of-ours").is_none());
    }
}
