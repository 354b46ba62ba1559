//! `cargo xtask bench queues`.

use std::process::Command;

use anyhow::Context as _;

/// Play Kueue's published scenarios (15,000 workloads in 30 queues; 50,000 in 1,000) through the planner, in virtual time
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this scenario: baseline or large-scale
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Have every plan inspected
    #[arg(long)]
    check: bool,
}

impl Args {
    /// Runs the release build of the simulator's example.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["run", "--quiet", "--release", "--package", "plimsoll-simulator", "--example", "queues", "--"]);
        command.args(self.only);
        if self.check {
            command.arg("--check");
        }
        let status = command.status().context("failed to start cargo")?;
        anyhow::ensure!(status.success(), "failed to play the scenarios: cargo ended with {status}");
        Ok(())
    }
}
