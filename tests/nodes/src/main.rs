//! `plimsoll-fleet`: plays the nodes of a test cluster until it is told to end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use plimsoll_test_nodes::{Fleet, FleetSpec};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Plays the GPU nodes of a test cluster: kubelet, device plugin, driver and training programs.
#[derive(Debug, Parser)]
#[command(name = "plimsoll-fleet", version, about)]
struct Args {
    /// Kubeconfig of an administrator.
    #[arg(long)]
    kubeconfig: PathBuf,
    /// Where the fleet keeps its files, fleet.json among them.
    #[arg(long)]
    folder: PathBuf,
    /// Seed of the ground truth.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How much faster than real time training goes.
    #[arg(long, default_value_t = 60.0, value_parser = positive)]
    time_scale: f64,
    /// The operator's program.
    #[arg(long)]
    operator: PathBuf,
    /// The agent's program.
    #[arg(long)]
    agent: PathBuf,
    /// The library that stands in for the driver.
    #[arg(long)]
    nvml_mock: PathBuf,
    /// Where the operator that leads listens for reports.
    #[arg(long, default_value = "127.0.0.1:8443")]
    progress_bind: SocketAddr,
    /// What jobs really need; the demo's unless given.
    #[arg(long)]
    truth: Option<PathBuf>,
    /// Seconds between two reports of a program.
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    report_interval: f64,
    /// Seconds that a container takes to start.
    #[arg(long, default_value_t = 1.0)]
    startup_seconds: f64,
    /// Filter of log lines. What a client says of its own failures is said better by whoever asked.
    #[arg(long, default_value = "info,kube_client=off")]
    log: String,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err(format!("{text:?} is not a number above 0")),
    }
}

impl Args {
    fn spec(self) -> anyhow::Result<FleetSpec> {
        // Programs are started elsewhere than here.
        let found = |path: PathBuf| path.canonicalize().with_context(|| format!("failed to find {}", path.display()));
        let seconds = |value| Duration::try_from_secs_f64(value).context("failed to read a number of seconds");
        Ok(FleetSpec {
            kubeconfig: self.kubeconfig,
            folder: self.folder,
            seed: self.seed,
            time_scale: self.time_scale,
            operator: found(self.operator)?,
            agent: found(self.agent)?,
            nvml_mock: found(self.nvml_mock)?,
            progress_bind: self.progress_bind,
            truth: self.truth,
            report_interval: seconds(self.report_interval)?,
            startup: seconds(self.startup_seconds)?,
        })
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let filter = EnvFilter::try_new(&args.log).context("failed to read the filter of log lines")?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    let spec = args.spec()?;
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut fleet = Fleet::start(spec).await.context("failed to start the fleet")?;
    tracing::info!("the fleet plays");
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = fleet.ended() => anyhow::bail!("the fleet ended by itself"),
    }
    fleet.stop().await;
    Ok(())
}
