//! Entry point of the operator.

use anyhow::Context as _;
use clap::Parser as _;
use plimsoll_operator::args::{Args, Command};
use plimsoll_operator::{check, lead};
use plimsoll_telemetry::{AdminServer, Readiness, Registry, Signal, logging};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    logging::init(args.log_format.parse()?, &args.log)?;
    // A second provider among the dependencies would leave the choice open; this is the only one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    if let Some(Command::Check(args)) = &args.command {
        return Ok(check::run(args).await?);
    }
    let shutdown = Signal::install()?;
    let file = match &args.config {
        Some(path) => {
            Some(std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?)
        }
        None => None,
    };
    let registry = Registry::new("operator", env!("CARGO_PKG_VERSION"))?;
    let readiness = Readiness::new();
    let admin = AdminServer::bind(args.admin_bind, registry.clone(), readiness.clone()).await?;
    let serving = tokio::spawn(admin.serve(shutdown.wait()));
    let client = kube::Client::try_default().await.context("failed to find a cluster")?;
    let identity = args.identity.clone().unwrap_or_else(|| format!("plimsoll-operator-{}", std::process::id()));
    let ended = lead::run(&args, file.as_deref(), &identity, client, (&registry, &readiness), shutdown.clone()).await;
    if shutdown.is_raised() {
        let _ = serving.await;
    }
    ended.context("the operator has ended")
}
