//! What was tested: a commit, and whether the checkout differs from it.

use anyhow::{Context as _, ensure};
use plimsoll_e2e::binaries::checkout;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use super::measured;

/// The state of the checkout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sources {
    /// The commit that is checked out.
    pub(super) commit: String,
    /// Whether a file differs from the commit, or is not in it. What the tests themselves write does not count.
    pub(super) changed: bool,
}

impl Sources {
    /// Asks git.
    pub(super) async fn read() -> anyhow::Result<Self> {
        let commit = git(&["rev-parse", "HEAD"]).await?;
        let all_but_ours = format!(":(exclude){}", measured::FILE);
        let changes = git(&["status", "--porcelain", "--untracked-files=normal", "--", ".", &all_but_ours]).await?;
        Ok(Self { commit, changed: !changes.is_empty() })
    }
}

async fn git(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("git").args(arguments).current_dir(checkout()).output().await;
    let output = output.context("failed to run git")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "failed to read the checkout's state: {}", complaint.trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
