//! `cargo xtask bench placement`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

/// Fill a cluster with pods and see how many GPUs each placement leaves unallocated; then time placement on a large cluster
///
/// The trace is Alibaba's openb (cluster-trace-gpu-v2023), which is not in the repository; docs/placement.md says where it is from.
/// Without it only the times are printed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder with openb_node_list_gpu_node.csv and openb_pod_list_*.csv, plain or gzipped, or with a folder alibaba-openb of them
    #[arg(long, value_name = "DIR")]
    traces: Option<PathBuf>,
    /// Seeds to take the mean of
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
}

impl Args {
    /// Runs the release builds of the examples.
    pub(super) fn run(self) -> anyhow::Result<()> {
        if let Some(traces) = self.traces {
            let mut filling = example("plimsoll-simulator", "openb");
            filling.arg("--traces").arg(traces).args(["--seeds", &self.seeds.to_string()]);
            finish(filling, "fill the cluster")?;
        }
        finish(example("plimsoll-scheduling", "placement"), "time placement")
    }
}

fn example(package: &str, name: &str) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "--release", "--package", package, "--example", name, "--"]);
    command
}

fn finish(mut command: Command, what: &str) -> anyhow::Result<()> {
    let status = command.status().context("failed to start cargo")?;
    anyhow::ensure!(status.success(), "failed to {what}, or a bar does not hold: cargo ended with {status}");
    Ok(())
}
