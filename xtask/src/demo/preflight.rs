//! What the demo needs of the machine.

use std::path::PathBuf;

use anyhow::bail;

/// Programs that must be there, and what they are for.
const NEEDED: [(&str, &str); 2] = [
    ("go", "builds Kubernetes from source: install Go 1.26 or later"),
    ("cc", "links: install a C compiler, such as gcc"),
];

/// Ends with one sentence for everything that is missing.
pub(super) fn say_what_is_missing() -> anyhow::Result<()> {
    let missing: Vec<_> = NEEDED.iter().filter(|(program, _)| find(program).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list: Vec<_> = missing.iter().map(|(program, what)| format!("{program} ({what})")).collect();
    bail!("missing on this machine: {}", list.join("; "))
}

#[allow(clippy::disallowed_methods, reason = "PATH is read once, to find programs as a shell would")]
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").ok()?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
