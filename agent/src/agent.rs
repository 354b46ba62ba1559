//! The agent as a whole.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use plimsoll_telemetry::admin::AdminError;
use plimsoll_telemetry::prometheus;
use plimsoll_telemetry::registry::RegistryError;
use plimsoll_telemetry::{AdminServer, Readiness, Registry, Signal};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::args::Settings;
use crate::attribution::{PodResources, Poller};
use crate::metrics::{AgentMetrics, DeviceMetrics};
use crate::sampler::{Pulse, SampleError, Sampler};
use crate::snapshot::Snapshot;
use crate::status::{Pace, Publisher};

/// How long scrapes that have begun may take to end.
const FAREWELL: Duration = Duration::from_secs(3);

/// The agent of one node, ready to run.
#[derive(Debug)]
pub struct Agent {
    admin: AdminServer,
    poller: Poller,
    sampler: Sampler,
    publisher: Publisher,
    snapshots: watch::Receiver<Arc<Snapshot>>,
}

/// The agent did not start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The metrics contradict each other.
    #[error("failed to set up metrics")]
    Metrics(#[source] RegistryError),
    /// The metrics of devices are not sound.
    #[error("failed to set up device metrics")]
    DeviceMetrics(#[source] prometheus::Error),
    /// Probes and scrapes.
    #[error("failed to answer probes and scrapes")]
    Admin(#[source] AdminError),
    /// The devices.
    #[error("failed to sample")]
    Sample(#[source] SampleError),
}

impl Agent {
    /// Takes the admin address and puts the parts together. Asks nothing yet.
    pub async fn bind(settings: &Settings, client: Client) -> Result<Self, AgentError> {
        let node = settings.node_name.as_str();
        let readiness = Readiness::new();
        let registry = Registry::new("agent", env!("CARGO_PKG_VERSION")).map_err(AgentError::Metrics)?;
        let metrics = AgentMetrics::register(&registry, node).map_err(AgentError::Metrics)?;

        let kubelet = PodResources::at(&settings.pod_resources_socket);
        let condition = readiness.condition("attribution");
        let (poller, attribution) = Poller::new(kubelet, settings.attribution_interval, metrics.clone(), condition);

        let pulse = Pulse {
            library: settings.nvml_library.clone(),
            every: settings.sample_interval,
            window: settings.window,
            driver_timeout: settings.driver_timeout,
        };
        let (sampler, snapshots) = Sampler::new(pulse, attribution, metrics.clone(), readiness.condition("driver"));
        let devices = DeviceMetrics::new(node, snapshots.clone()).map_err(AgentError::DeviceMetrics)?;
        registry.register(devices).map_err(AgentError::Metrics)?;

        let pace = Pace::new(settings.status_interval, settings.window);
        let publisher = Publisher::new(client, node, pace, metrics);
        let admin = AdminServer::bind(settings.admin_bind, registry, readiness).await.map_err(AgentError::Admin)?;
        Ok(Self { admin, poller, sampler, publisher, snapshots })
    }

    /// The address of probes and scrapes.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// What the agent knows, as it comes to know it.
    #[must_use]
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.clone()
    }

    /// Works until told to end. Threads under which the driver hangs are left behind: the process must end without them.
    pub async fn run(self, shutdown: &Signal) -> Result<(), AgentError> {
        let Self { admin, poller, sampler, publisher, snapshots } = self;
        let ended = shutdown.wait();
        tokio::select! {
            served = admin.serve(shutdown.wait()) => served.map_err(AgentError::Admin),
            sampled = sampler.run() => sampled.map_err(AgentError::Sample),
            () = poller.run() => Ok(()),
            () = publisher.run(snapshots) => Ok(()),
            () = async { ended.await; sleep(FAREWELL).await } => Ok(()),
        }
    }
}
