//! Wiring: stores, lease, progress endpoint and the loop of cycles. Client required.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum_server::tls_rustls::RustlsConfig;
use jiff::Timestamp;
use kube::Client;
use plimsoll_telemetry::shutdown::Signal;
use plimsoll_telemetry::{Readiness, Registry, registry::RegistryError};
use tokio::sync::Notify;

use crate::args::Args;
use crate::config::ConfigError;
use crate::cycle::Cycle;
use crate::job::apply::Hands;
use crate::lease::{Election, LeaseError};
use crate::metrics::Metrics;
use crate::notes::Notes;
use crate::progress::auth::Doorkeeper;
use crate::progress::endpoint::Leader;
use crate::progress::server;
use crate::progress::state::Progress;
use crate::progress::tls::{self, TlsError};
use crate::sentence::sentence;
use crate::settings::Settings;
use crate::stores::{StoreError, Stores};

/// First wait before the progress endpoint is bound again; doubles up to [`LONGEST_BIND_WAIT`].
const FIRST_BIND_WAIT: Duration = Duration::from_millis(200);
/// Longest wait before the progress endpoint is bound again.
const LONGEST_BIND_WAIT: Duration = Duration::from_secs(10);

/// Why the operator ended.
#[derive(Debug, thiserror::Error)]
pub enum LeadError {
    /// Settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Metrics.
    #[error(transparent)]
    Metrics(#[from] RegistryError),
    /// Watches.
    #[error(transparent)]
    Stores(#[from] StoreError),
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The serving certificate cannot be used.
    #[error("failed to load the serving certificate of the progress endpoint")]
    Certificate(#[source] std::io::Error),
    /// The lease.
    #[error(transparent)]
    Lease(#[from] LeaseError),
}

/// Runs until `shutdown`, or until the lease is lost: whoever lost it starts anew, with nothing half known.
///
/// # Errors
/// When something that it cannot do without is not to be had.
pub async fn run(
    args: &Args,
    file: Option<&str>,
    identity: &str,
    client: Client,
    telemetry: (&Registry, &Readiness),
    shutdown: Signal,
) -> Result<(), LeadError> {
    let (registry, readiness) = telemetry;
    let mut settings = Settings::new(file, args.progress_url.clone())?;
    let metrics = Metrics::register(registry)?;
    let synced = readiness.condition("stores");
    let wake = Arc::new(Notify::new());
    let stores = Stores::start(&client, args, &wake);
    tokio::select! {
        ready = stores.ready() => ready?,
        () = shutdown.wait() => return Ok(()),
    }
    synced.met();
    settings.read(stores.settings().as_deref());
    let names = tls::names(&settings.current().progress.url, &args.namespace);
    let certificates = tls::ensure(&client, &args.namespace, &names, Timestamp::now()).await?;
    let (chain, key) = (certificates.serving.into_bytes(), certificates.serving_key.into_bytes());
    let tls = RustlsConfig::from_pem(chain, key).await.map_err(LeadError::Certificate)?;

    let duration = Duration::from_secs(args.lease_duration_seconds);
    let mut election = Election::new(client.clone(), &args.namespace, &args.lease_name, identity, duration);
    tokio::select! {
        () = election.acquire() => {}
        () = shutdown.wait() => return Ok(()),
    }
    tracing::info!(identity, "leads");
    metrics.leader.set(1);

    let progress = Progress::new(wake.clone());
    let door = Arc::new(Doorkeeper::new(client.clone(), stores.pods.clone()));
    tokio::spawn(listen(args.progress_bind, tls, server::router(progress.clone(), door), shutdown.clone()));
    let hands = Hands {
        client: client.clone(),
        fence: election.fence(),
        leader: Leader::of(args, client.clone(), election.fence()),
        notes: Notes::new(client, identity),
        authority: certificates.authority.into(),
    };
    // Renewing has a task of its own: a long thought must not cost the lease.
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut holding = tokio::spawn(async move {
        let lost = tokio::select! {
            lost = election.hold() => Some(lost),
            _ = stopped => None,
        };
        (election, lost)
    });
    // Reports are led here before the first thought: it may be a long one.
    hands.lead_reports(&stores.slices()).await;
    let cycle = Cycle::new(stores, hands, settings, progress, metrics.clone());
    let cycle = cycle.keep_snapshots_in(args.snapshots.clone());
    let outcome = tokio::select! {
        () = cycles(cycle, &wake, shutdown) => {
            drop(stop);
            if let Ok((mut election, _)) = holding.await {
                election.release().await;
            }
            Ok(())
        }
        held = &mut holding => match held {
            Ok((_, Some(lost))) => Err(lost.into()),
            Ok((_, None)) | Err(_) => Ok(()),
        },
    };
    metrics.leader.set(0);
    outcome
}

/// Cycle after cycle: at once after a change, but not more often than the debounce allows, and at every deadline.
async fn cycles(mut cycle: Cycle, wake: &Notify, shutdown: Signal) {
    let mut last: Option<Instant> = None;
    loop {
        let debounce = Duration::from_millis(cycle.config().cycle.debounce_milliseconds.into());
        if let Some(rest) = last.and_then(|last| debounce.checked_sub(last.elapsed())) {
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = shutdown.wait() => return,
            }
        }
        last = Some(Instant::now());
        let now = Timestamp::now();
        let next = cycle.run(now).await;
        if shutdown.is_raised() {
            return;
        }
        if next.again {
            continue;
        }
        let tick = Duration::from_secs(cycle.config().cycle.tick_seconds.into());
        let due = next.deadline.map(|at| at.duration_since(Timestamp::now()));
        let wait = due.map_or(tick, |due| tick.min(Duration::try_from(due).unwrap_or(Duration::ZERO)));
        tokio::select! {
            () = wake.notified() => {}
            () = tokio::time::sleep(wait) => {}
            () = shutdown.wait() => return,
        }
    }
}

/// Binds the progress endpoint for as long as this replica leads; the address may still belong to the one before it.
async fn listen(address: std::net::SocketAddr, tls: RustlsConfig, router: axum::Router, shutdown: Signal) {
    let mut wait = FIRST_BIND_WAIT;
    while !shutdown.is_raised() {
        match server::serve(address, tls.clone(), router.clone(), shutdown.wait()).await {
            Ok(()) => return,
            Err(error) => tracing::warn!(error = sentence(&error), "the progress endpoint is bound again"),
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.wait() => return,
        }
        wait = (wait * 2).min(LONGEST_BIND_WAIT);
    }
}
