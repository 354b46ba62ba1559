//! Ctrl-C and SIGTERM end a command by dropping it, so that whatever it started is ended by its own `Drop`.

use std::future::Future;

use anyhow::{Context as _, bail};
use tokio::signal::unix::{SignalKind, signal};

/// Runs to the end, or until the user or the system wants it to stop.
pub(crate) async fn or_interrupted(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for Ctrl-C")?;
    tokio::select! {
        result = command => result,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}
