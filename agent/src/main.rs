//! Entry point.

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use kube::Client;
use plimsoll_agent::{Agent, Args};
use plimsoll_telemetry::{Signal, logging};

// One thread for everything that waits; the driver has threads of its own.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
    logging::init(args.log_format, &args.log).context("failed to start logging")?;
    let shutdown = Signal::install().context("failed to prepare for the end")?;
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow!("failed to choose cryptography: it is chosen already"))?;
    let client = Client::try_default().await.context("failed to find the apiserver")?;
    let agent = Agent::bind(&args.settings, client).await?;
    agent.run(&shutdown).await?;
    tracing::info!("ended");
    Ok(())
}
