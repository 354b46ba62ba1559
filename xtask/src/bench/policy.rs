//! `cargo xtask bench policy`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

/// Compare the planner with its peers' policies over traces, in virtual time
///
/// Prints, for each set of traces, every policy's completion times as a ratio to Sia's on the same trace. The workloads of
/// Pollux are built in; docs/simulator.md says what else a folder may hold.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder with workloads/ and profiles/ as the Sia simulator lays them out
    #[arg(long, value_name = "DIR")]
    traces: Option<PathBuf>,
    /// Only sets whose name begins so; golden: what others published or measured beside what comes out here; bound: how far each
    /// policy is from the lower bound of all; packing: what two jobs on a GPU are worth
    #[arg(long, value_name = "SET")]
    only: Option<String>,
}

impl Args {
    /// Runs the release build of the simulator's example.
    pub(super) fn run(self) -> anyhow::Result<()> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["run", "--quiet", "--release", "--package", "plimsoll-simulator", "--example", "policy", "--"]);
        if let Some(traces) = self.traces {
            command.arg("--traces").arg(traces);
        }
        if let Some(only) = self.only {
            command.arg("--only").arg(only);
        }
        let status = command.status().context("failed to start cargo")?;
        anyhow::ensure!(status.success(), "failed to compare policies: cargo ended with {status}");
        Ok(())
    }
}
