//! Plays the kubelets, devices and programs of a cluster's fake nodes, and the devices of a real one, until it is told to end.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use plimsoll_test_fleet::{Binaries, Fleet, FleetSpec};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Plays what runs on the fake GPU nodes of a cluster: Plimsoll's own pods as processes, training jobs as simulations. Of a
/// real node it plays the GPUs alone
#[derive(Debug, Parser)]
#[command(name = "plimsoll-fleet", version)]
struct Args {
    /// Kubeconfig of an administrator
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    kubeconfig: PathBuf,
    /// Where the fleet keeps its files: fleet.json, nodes, logs, checkpoints
    #[arg(long, value_name = "FOLDER")]
    folder: PathBuf,
    /// Seed of the ground truth: what jobs really need
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How much faster than real time training goes
    #[arg(long, default_value_t = 60.0)]
    time_scale: f64,
    /// Another ground truth [default: the one that is built in, tests/fleet/truth/default.yaml]
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// plimsoll-operator, where operators are not to run in containers
    #[arg(long, value_name = "FILE")]
    operator: Option<PathBuf>,
    /// plimsoll-agent
    #[arg(long, value_name = "FILE")]
    agent: PathBuf,
    /// The library that stands in for the driver
    #[arg(long, value_name = "FILE")]
    nvml_mock: PathBuf,
    /// Seconds between two reports of a training program
    #[arg(long, default_value_t = 2.0)]
    report_interval: f64,
    /// Seconds that a training container takes to start
    #[arg(long, default_value_t = 2.0)]
    startup_seconds: f64,
    /// Where an operator that the fleet runs listens for reports once it leads
    #[arg(long, default_value = "127.0.0.1:18443")]
    progress_bind: SocketAddr,
    /// The real kubelet's folder of its PodResources socket, where there is a real node
    #[arg(long, value_name = "FOLDER")]
    pod_resources_folder: Option<PathBuf>,
    /// Which log lines to write; by default not each connection that was not made, which the fleet tells itself
    #[arg(long, env = "PLIMSOLL_LOG", default_value = "info,kube_client::client::builder=off")]
    log: String,
}

// One thread: the fleet waits more than it works, and programs die with the thread that started them.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(&args.log)?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for signals")?;
    let fleet = Fleet::start(FleetSpec {
        kubeconfig: args.kubeconfig,
        folder: args.folder,
        seed: args.seed,
        time_scale: args.time_scale,
        truth: args.truth,
        binaries: Binaries { operator: args.operator, agent: args.agent, nvml_mock: args.nvml_mock },
        report_interval: args.report_interval,
        startup_seconds: args.startup_seconds,
        progress_bind: args.progress_bind,
        pod_resources_folder: args.pod_resources_folder,
    })
    .await?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("ends");
    fleet.stop().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory as _;
        Args::command().debug_assert();
    }
}
