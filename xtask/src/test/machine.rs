//! The machine that was measured on, without its name.

use std::fs::read_to_string;

use plimsoll_e2e::binaries::checkout;

/// What readings depend on. What the system does not say is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Machine {
    /// Model of its processors.
    pub(super) processor: Option<String>,
    /// Processors that this program may use.
    pub(super) cores: Option<usize>,
    /// Memory in KiB.
    pub(super) memory_kib: Option<u64>,
    /// Release of the kernel.
    pub(super) kernel: Option<String>,
    /// The distribution.
    pub(super) system: Option<String>,
    /// Versions of Kubernetes that the checkout pins, newest first.
    pub(super) kubernetes: Vec<String>,
}

impl Machine {
    /// Reads it from the system's files.
    pub(super) fn read() -> Self {
        let file = |path: &str| read_to_string(path).unwrap_or_default();
        Self {
            processor: value(&file("/proc/cpuinfo"), "model name", ':'),
            cores: std::thread::available_parallelism().ok().map(usize::from),
            memory_kib: value(&file("/proc/meminfo"), "MemTotal", ':')
                .and_then(|text| text.trim_end_matches(" kB").parse().ok()),
            kernel: Some(file("/proc/sys/kernel/osrelease").trim().to_owned()).filter(|text| !text.is_empty()),
            system: value(&file("/etc/os-release"), "PRETTY_NAME", '=').map(|text| text.trim_matches('"').to_owned()),
            kubernetes: kubernetes(),
        }
    }
}

/// The value of the first line `key<separator>value`.
fn value(text: &str, key: &str, separator: char) -> Option<String> {
    let mut lines = text.lines().filter_map(|line| line.split_once(separator));
    lines.find(|(found, _)| found.trim() == key).map(|(_, value)| value.trim().to_owned())
}

/// What `tools/kubernetes*/go.mod` pin.
fn kubernetes() -> Vec<String> {
    let folders = std::fs::read_dir(checkout().join("tools")).into_iter().flatten().flatten();
    let ours = folders.filter(|folder| folder.file_name().to_string_lossy().starts_with("kubernetes"));
    let mut versions: Vec<_> =
        ours.filter_map(|folder| pinned(&read_to_string(folder.path().join("go.mod")).ok()?)).collect();
    versions.sort();
    versions.reverse();
    versions
}

fn pinned(go_mod: &str) -> Option<String> {
    go_mod.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word != "k8s.io/kubernetes");
        words.nth(1).filter(|word| word.starts_with('v')).map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_processor_speaks_for_all() {
        let text = "processor\t: 0\nmodel name\t: One\nprocessor\t: 1\nmodel name\t: Two\n";
        assert_eq!(value(text, "model name", ':').as_deref(), Some("One"));
        assert_eq!(value(text, "model", ':'), None);
    }

    #[test]
    fn this_machine_says_something_of_itself() {
        let machine = Machine::read();
        assert!(machine.cores.is_some_and(|cores| cores > 0));
        assert!(machine.memory_kib.is_some_and(|kib| kib > 0));
        assert!(machine.kubernetes.iter().all(|version| version.starts_with("v1.")) && !machine.kubernetes.is_empty());
    }
}
