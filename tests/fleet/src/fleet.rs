//! The fleet as a whole: what it is told, its start and its end.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use crate::access::{AccessError, Door};
use crate::cluster::Cluster;
use crate::node::Node;
use crate::record::Record;
use crate::training::{Gangs, Storage};
use crate::truth::{Truth, TruthError};
use crate::world::World;

/// How often drivers show something new.
const TICK: Duration = Duration::from_secs(1);
/// How long programs may take to end with the fleet.
const FAREWELL: Duration = Duration::from_secs(8);
/// The kernel's limit on the path of a socket.
const SOCKET_PATH: usize = 107;

/// The programs under test.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// `plimsoll-operator`; none where operators run in containers.
    pub operator: Option<PathBuf>,
    /// `plimsoll-agent`.
    pub agent: PathBuf,
    /// The library that stands in for the driver.
    pub nvml_mock: PathBuf,
}

/// What a fleet is told at its start.
#[derive(Clone, Debug)]
pub struct FleetSpec {
    /// Kubeconfig of an administrator.
    pub kubeconfig: PathBuf,
    /// Where the fleet keeps its files.
    pub folder: PathBuf,
    /// Seed of the ground truth.
    pub seed: u64,
    /// How much faster than real time training goes.
    pub time_scale: f64,
    /// What jobs really need; the demo's unless given.
    pub truth: Option<PathBuf>,
    /// The programs under test.
    pub binaries: Binaries,
    /// Seconds between two reports of a training program.
    pub report_interval: f64,
    /// Seconds that a training container takes to start.
    pub startup_seconds: f64,
    /// Where the operator that leads listens for reports.
    pub progress_bind: SocketAddr,
    /// The real kubelet's folder of its PodResources socket.
    pub pod_resources_folder: Option<PathBuf>,
}

/// The fleet did not start.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The kubeconfig cannot be used.
    #[error("failed to use kubeconfig {}", path.display())]
    Kubeconfig {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<KubeconfigError>,
    },
    /// The kubeconfig names no cluster.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// No client can be made of it.
    #[error("failed to make a client")]
    Client(#[source] Box<kube::Error>),
    /// The ground truth cannot be used.
    #[error(transparent)]
    Truth(#[from] TruthError),
    /// A number makes no sense.
    #[error("failed to accept {0}")]
    Value(&'static str),
    /// A program is not there.
    #[error("failed to find {}", .0.display())]
    Missing(PathBuf),
    /// The folder cannot be made.
    #[error("failed to make folder {}", path.display())]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Sockets in the folder would have paths that the kernel does not take.
    #[error("failed to use folder {}: it is too deep for the sockets in it; take a shorter path", .0.display())]
    TooDeep(PathBuf),
}

/// GPU nodes that behave. Dropping it ends it hard; [`Fleet::stop`] ends it in order.
#[derive(Debug)]
pub struct Fleet {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Fleet {
    /// Starts to play the cluster.
    ///
    /// # Errors
    /// When something that it was told cannot be used. What the apiserver does later is not an error of the fleet.
    pub async fn start(spec: FleetSpec) -> Result<Self, FleetError> {
        let spec = checked(spec)?;
        // Whoever uses this library may have chosen already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let truth = match &spec.truth {
            Some(file) => Truth::load(file, spec.seed)?,
            None => Truth::built_in(spec.seed)?,
        };
        let failed = |source| FleetError::Kubeconfig { path: spec.kubeconfig.clone(), source: Box::new(source) };
        let kubeconfig = Kubeconfig::read_from(&spec.kubeconfig).map_err(failed)?;
        let door = Door::of(&kubeconfig)?;
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(failed)?;
        let client = Client::try_from(config).map_err(|e| FleetError::Client(Box::new(e)))?;
        let (stop, stopped) = watch::channel(false);
        let world = Arc::new(World {
            record: Record::new(&spec.folder),
            storage: Storage::new(&spec.folder),
            gangs: Gangs::default(),
            addresses: AtomicU32::new(0),
            stop: stopped,
            client,
            door,
            truth,
            spec,
        });
        world.record.write();
        let (cluster, nodes) = Cluster::new(Arc::clone(&world));
        let tasks = vec![tokio::spawn(cluster.follow()), tokio::spawn(tick(world, nodes))];
        Ok(Self { stop, tasks })
    }

    /// Ends all programs and waits for them.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let deadline = Instant::now() + FAREWELL;
        for task in &mut self.tasks {
            if tokio::time::timeout_at(deadline, &mut *task).await.is_err() {
                tracing::warn!("some programs did not end in time");
                task.abort();
            }
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn checked(mut spec: FleetSpec) -> Result<FleetSpec, FleetError> {
    if !(spec.time_scale.is_finite() && spec.time_scale > 0.0) {
        return Err(FleetError::Value("a time scale that is not above zero"));
    }
    if !(spec.report_interval.is_finite() && spec.report_interval >= 0.1) {
        return Err(FleetError::Value("a report interval below 0.1 seconds"));
    }
    if !(spec.startup_seconds.is_finite() && spec.startup_seconds >= 0.0) {
        return Err(FleetError::Value("a start-up time below zero"));
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| FleetError::Folder { path, source }
    };
    std::fs::create_dir_all(&spec.folder).map_err(failed(&spec.folder))?;
    // Programs run in folders of their own.
    spec.folder = spec.folder.canonicalize().map_err(failed(&spec.folder))?;
    let Binaries { operator, agent, nvml_mock } = &mut spec.binaries;
    for program in operator.iter_mut().chain([agent, nvml_mock]) {
        *program = program.canonicalize().map_err(|_| FleetError::Missing(program.clone()))?;
    }
    // Names of nodes are rarely longer than this.
    if spec.folder.join("nodes/a-node-with-a-name/kubelet.sock").as_os_str().len() > SOCKET_PATH {
        return Err(FleetError::TooDeep(spec.folder));
    }
    Ok(spec)
}

/// Lets time pass for the devices of all nodes.
async fn tick(world: Arc<World>, nodes: watch::Receiver<Vec<Arc<Node>>>) {
    let mut stop = world.stop.clone();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = Instant::now();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
        let now = Instant::now();
        for node in nodes.borrow().iter().filter(|node| node.has_gpus()) {
            if let Err(error) = node.show(now - before) {
                tracing::warn!(
                    node = node.name,
                    error = &error as &dyn std::error::Error,
                    "a driver shows nothing new"
                );
            }
        }
        world.record.write();
        before = now;
    }
    world.record.write();
}
