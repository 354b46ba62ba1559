//! `cargo xtask bench plan`.

use std::process::Command;

use anyhow::Context as _;

/// Time whole plans, events and refusals at 64, 2,048 and 16,384 GPUs
///
/// Prints CPU milliseconds of one thread beside a yardstick: the snapshot's events, a full plan, a plan after one event, its
/// proof, the gap to the bound, and the most memory held.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only one size: 0, 1 or 2
    #[arg(long, value_name = "SIZE")]
    only: Option<usize>,
}

impl Args {
    /// Runs the release build of the planner's example.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["run", "--quiet", "--release", "--package", "plimsoll-scheduling", "--example", "plan", "--"]);
        if let Some(only) = self.only {
            command.arg(only.to_string());
        }
        let status = command.status().context("failed to start cargo")?;
        anyhow::ensure!(status.success(), "failed to time plans: cargo ended with {status}");
        Ok(())
    }
}
