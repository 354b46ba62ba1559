//! A running control plane with fake nodes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, Client, Config};
pub use nix::sys::signal::Signal;

use crate::components::{CONFIG_FILES, Components, Ports, apiserver_address};
use crate::credentials::{self, CredentialsError, Endpoint};
use crate::crew::{Crew, CrewError};
use crate::nodes::{self, NodesError};
use crate::ports;
use crate::real_node::{self, Image, RealNodeError};
use crate::spec::{ClusterSpec, SpecError, check_name};
use crate::toolchain::{NodeTools, Tools};
use crate::{Progress, Release};

/// Why a cluster did not start, answer or end.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The description is wrong.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Processes or the folder are not as they should be.
    #[error(transparent)]
    Crew(#[from] CrewError),
    /// Tokens, keys or kubeconfigs were not made.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The nodes are not there.
    #[error(transparent)]
    Nodes(#[from] NodesError),
    /// The real node did not start.
    #[error(transparent)]
    RealNode(#[from] RealNodeError),
    /// No port is free.
    #[error("failed to find free ports")]
    Ports(#[source] std::io::Error),
    /// A process ended while the cluster was starting.
    #[error("failed to start {name}: it ended at once; the end of {}:\n{tail}", log.display())]
    Died {
        /// The process.
        name: String,
        /// Its log, which may be gone with the cluster's folder.
        log: PathBuf,
        /// Its last lines.
        tail: String,
        /// It ended since somebody else took its port.
        lost_its_port: bool,
    },
    /// Something took too long.
    #[error("failed to wait for {what} within {bound:?}")]
    Late {
        /// What was waited for.
        what: &'static str,
        /// For how long.
        bound: Duration,
    },
    /// A client cannot be made from the kubeconfig.
    #[error("failed to make a client")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The task that ends processes did not finish.
    #[error("failed to end the cluster")]
    Interrupted(#[source] tokio::task::JoinError),
}

const APISERVER_BOUND: Duration = Duration::from_secs(60);
const NODES_BOUND: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);
const ATTEMPTS: u32 = 3;

/// A control plane (etcd, apiserver, controller manager, scheduler) and kwok as processes of this machine.
///
/// Dropping it ends it, and so does the death of this process, however it dies; see [`Cluster::detach`].
#[derive(Debug)]
pub struct Cluster {
    crew: Crew,
}

impl Cluster {
    /// Starts a cluster and waits until its nodes take pods. Dropping the future ends what it started so far.
    pub async fn up(spec: ClusterSpec, tools: &Tools, progress: Progress<'_>) -> Result<Self, ClusterError> {
        check_name(&spec.name)?;
        let node_tools = match spec.real_node {
            true => Some(real_node::tools(tools.release, progress).await?),
            false => None,
        };
        let mut attempt = 1;
        loop {
            match Self::attempt(&spec, tools, node_tools.as_ref(), progress).await {
                Err(ClusterError::Died { name, lost_its_port: true, .. }) if attempt < ATTEMPTS => {
                    progress(&format!("the port of {name} was taken meanwhile: trying again with others"));
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    /// Finds a running cluster that another process started. Dropping this handle does not end it.
    pub fn attach(name: &str, state_root: Option<&Path>) -> Result<Self, ClusterError> {
        check_name(name)?;
        Ok(Self { crew: Crew::attach(&state_root.map_or_else(default_root, Path::to_owned), name)? })
    }

    async fn attempt(
        spec: &ClusterSpec,
        tools: &Tools,
        node_tools: Option<&NodeTools>,
        progress: Progress<'_>,
    ) -> Result<Self, ClusterError> {
        let root = spec.state_root.clone().unwrap_or_else(default_root);
        let root = std::path::absolute(&root).unwrap_or(root);
        let mut cluster = Self { crew: Crew::claim(&root, &spec.name, spec.keep_logs)? };
        let [etcd, etcd_peer, apiserver] = ports::free_ports().map_err(ClusterError::Ports)?;
        cluster.crew.state.apiserver_port = apiserver;
        cluster.crew.state.real_node = spec.real_node;
        let folder = cluster.folder().to_owned();
        let components = Components {
            tools,
            folder: &folder,
            ports: Ports { etcd, etcd_peer, apiserver },
            real_node: spec.real_node,
        };

        let started = Instant::now();
        credentials::write_all(&folder, &cluster.endpoint(), if spec.real_node { &real_node::USERS } else { &[] })?;
        if spec.real_node {
            real_node::prepare(&folder)?;
        }
        for (name, text) in CONFIG_FILES {
            let path = folder.join(name);
            std::fs::write(&path, text).map_err(|source| CrewError::Folder { path, source })?;
        }
        cluster.crew.spawn("etcd", components.etcd())?;
        cluster.crew.spawn("kube-apiserver", components.apiserver())?;
        let client = cluster.apiserver_ready().await?;
        progress(&format!("etcd and apiserver ready after {:.1?}", started.elapsed()));

        let started = Instant::now();
        cluster.crew.spawn("kube-controller-manager", components.controller_manager())?;
        cluster.crew.spawn("kube-scheduler", components.scheduler())?;
        cluster.crew.spawn("kwok", components.kwok())?;
        nodes::create(&client, spec, &tools.kubernetes_version).await?;
        if let Some(node_tools) = node_tools {
            real_node::start(&mut cluster.crew, node_tools, spec.real_node_gpus.as_ref(), &client).await?;
        }
        let ready = nodes::wait_ready(&client, spec.node_count(), NODES_BOUND).await;
        cluster.all_alive()?; // says more than "not ready" about why they are not
        ready?;
        cluster.pods_can_be_created(&client).await?;
        progress(&format!("controllers running and {} nodes ready after {:.1?}", spec.node_count(), started.elapsed()));
        cluster.crew.started()?;
        Ok(cluster)
    }

    async fn apiserver_ready(&self) -> Result<Client, ClusterError> {
        let certificate = self.endpoint().certificate;
        let deadline = Instant::now() + APISERVER_BOUND;
        let mut client = None;
        loop {
            self.all_alive()?;
            if client.is_none() && certificate.exists() {
                // The file may be half-written the first time.
                client = self.client().await.ok();
            }
            if let Some(client) = &client
                && is_ready(client).await
            {
                return Ok(client.clone());
            }
            if Instant::now() >= deadline {
                return Err(ClusterError::Late { what: "the apiserver", bound: APISERVER_BOUND });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// A pod needs its namespace's service account, which the controller manager makes some time after its start.
    async fn pods_can_be_created(&self, client: &Client) -> Result<(), ClusterError> {
        let api: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
        let deadline = Instant::now() + NODES_BOUND;
        while !matches!(api.get_opt("default").await, Ok(Some(_))) {
            self.all_alive()?;
            if Instant::now() >= deadline {
                return Err(ClusterError::Late { what: "the default service account", bound: NODES_BOUND });
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    fn all_alive(&self) -> Result<(), ClusterError> {
        let Some(name) = self.crew.first_dead() else { return Ok(()) };
        let log = self.log(name);
        let text = std::fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let mut tail: Vec<&str> = text.lines().rev().take(8).collect();
        tail.reverse();
        Err(ClusterError::Died {
            name: name.to_owned(),
            log,
            tail: tail.join("\n"),
            lost_its_port: ports::lost_its_port(&text),
        })
    }

    /// The cluster's name.
    pub fn name(&self) -> &str {
        &self.crew.state.name
    }

    /// The folder of everything the cluster writes.
    pub fn folder(&self) -> &Path {
        &self.crew.folder
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        credentials::kubeconfig_path(self.folder(), "admin")
    }

    /// Writes a kubeconfig for another bearer token, such as a service account's, and returns its path.
    pub fn kubeconfig_for(&self, user: &str, token: &str) -> Result<PathBuf, ClusterError> {
        check_name(user)?;
        let path = self.folder().join(format!("{user}.kubeconfig"));
        credentials::write_kubeconfig(&path, &self.endpoint(), user, token)?;
        Ok(path)
    }

    /// The administrator's client.
    pub async fn client(&self) -> Result<Client, ClusterError> {
        self.client_for(&self.kubeconfig()).await
    }

    /// A client by a kubeconfig of this cluster.
    pub async fn client_for(&self, kubeconfig: &Path) -> Result<Client, ClusterError> {
        let kubeconfig = credentials::read_kubeconfig(kubeconfig)?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default())
            .await
            .map_err(|error| ClusterError::Client(Box::new(error)))?;
        Client::try_from(config).map_err(|error| ClusterError::Client(Box::new(error)))
    }

    /// The log of one process.
    pub fn log(&self, name: &str) -> PathBuf {
        self.crew.log(name)
    }

    /// The apiserver's audit log, one JSON event a line.
    pub fn audit_log(&self) -> PathBuf {
        self.folder().join("logs/audit.log")
    }

    /// Whether a real node stands beside the fake ones.
    pub fn has_real_node(&self) -> bool {
        self.crew.state.real_node
    }

    /// The folder of the socket at which the real node's kubelet tells which pod holds which device.
    pub fn pod_resources_folder(&self) -> PathBuf {
        real_node::pod_resources(self.folder())
    }

    /// Starts a further program as part of the cluster: logged under its name, and ended first when the cluster is.
    pub fn spawn(&mut self, name: &str, command: Command) -> Result<(), ClusterError> {
        check_name(name)?;
        Ok(self.crew.spawn(name, command)?)
    }

    /// Ends one process of the cluster (SIGTERM, after a bound SIGKILL) and waits for it. Blocks for so long.
    pub fn stop(&mut self, name: &str) -> Result<(), ClusterError> {
        Ok(self.crew.end_one(name)?)
    }

    /// Starts a process of the cluster again that was stopped or has ended, by the same command.
    ///
    /// A handle by [`Cluster::attach`] may do so once the process that started the cluster has detached it. Variables
    /// of the environment that the command does not set are those of the caller.
    pub fn start_again(&mut self, name: &str) -> Result<(), ClusterError> {
        Ok(self.crew.start_again(name)?)
    }

    /// Sends a signal to one process of the cluster: SIGKILL for a crash, SIGSTOP and SIGCONT for a pause.
    pub fn signal(&self, name: &str, signal: Signal) -> Result<(), ClusterError> {
        Ok(self.crew.signal(name, signal)?)
    }

    /// Whether a process of the cluster runs.
    pub fn is_running(&self, name: &str) -> bool {
        self.crew.process(name).is_ok_and(|process| process.is_alive())
    }

    /// Lets the cluster run on after this process; [`Cluster::attach`] finds it again.
    pub fn detach(mut self) {
        self.crew.release();
    }

    /// Ends every process, the last started first, and removes the folder, save the logs if they are to be kept.
    pub async fn down(self) -> Result<(), ClusterError> {
        let mut crew = self.crew;
        let ended = tokio::task::spawn_blocking(move || crew.end()).await.map_err(ClusterError::Interrupted)?;
        Ok(ended?)
    }

    /// Makes an image known to the real node, whose kubelet can fetch none.
    pub async fn import_image(&self, image: Image) -> Result<(), ClusterError> {
        if !self.has_real_node() {
            return Err(RealNodeError::None.into());
        }
        let (tools, folder) = (real_node::tools(Release::Current, crate::quiet()).await?, self.folder().to_owned());
        let import = move || real_node::import(&tools, &folder, &image);
        Ok(tokio::task::spawn_blocking(import).await.map_err(ClusterError::Interrupted)??)
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint {
            cluster: self.crew.state.name.clone(),
            address: apiserver_address(self.crew.state.real_node),
            port: self.crew.state.apiserver_port,
            certificate: self.folder().join("certificates/apiserver.crt"),
        }
    }
}

/// Asks the apiserver whether all of its start-up work is done.
async fn is_ready(client: &Client) -> bool {
    let request = http::Request::get("/readyz").body(Vec::new());
    match request {
        Ok(request) => client.request_text(request).await.is_ok_and(|text| text == "ok"),
        Err(_) => false,
    }
}

fn default_root() -> PathBuf {
    crate::checkout().join(".plimsoll")
}
