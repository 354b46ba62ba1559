//! The fleet: watches nodes and pods, and plays what belongs to it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{Node as NodeObject, Pod};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Config};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::access::{AccessError, Door};
use crate::node::{self, Node};
use crate::pod::{Kind, node_name, wanted_devices};
use crate::program::{Checkpoints, Programs, World};
use crate::register::Register;
use crate::site::{Site, stopped};
use crate::spec::FleetSpec;
use crate::truth::{Truth, TruthError};
use crate::{job, system};

/// How long the fleet waits for its processes when it ends.
const LAST_GRACE: Duration = Duration::from_secs(10);
/// Time between two states of the driver.
const DRIVER_PERIOD: Duration = Duration::from_secs(1);

/// Why there is no fleet.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The apiserver cannot be reached as an administrator.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// No client can be had.
    #[error("failed to make a client")]
    Client(#[source] Box<kube::Error>),
    /// The kubeconfig cannot be used.
    #[error("failed to use the kubeconfig")]
    Kubeconfig(#[source] Box<kube::config::KubeconfigError>),
    /// There is no ground truth.
    #[error(transparent)]
    Truth(#[from] TruthError),
    /// Its folder cannot be made.
    #[error("failed to make {}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Nodes that behave. Ends when it is dropped; its processes are killed then.
pub struct Fleet {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

type Nodes = Arc<Mutex<BTreeMap<String, Arc<Node>>>>;

impl Fleet {
    /// Starts to play the nodes and pods of a cluster.
    ///
    /// # Errors
    /// When the cluster, the ground truth or the folder cannot be had.
    pub async fn start(mut spec: FleetSpec) -> Result<Self, FleetError> {
        // Another part of the process may have chosen one; any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let failed = |source| FleetError::Folder { folder: spec.folder.clone(), source };
        std::fs::create_dir_all(&spec.folder).map_err(failed)?;
        // Processes get these paths, wherever they are started.
        spec.folder = std::path::absolute(&spec.folder).map_err(failed)?;
        let truth = Truth::load(&spec.truth.clone().unwrap_or_else(Truth::default_file), spec.seed)?;
        let door = Door::of(&spec.kubeconfig)?;
        let client = client(&spec).await?;
        let (stop, stopping) = watch::channel(false);
        let programs = Programs::new(World {
            client: client.clone(),
            truth,
            checkpoints: Checkpoints::under(spec.folder.join("checkpoints")),
            time_scale: spec.time_scale,
            report_interval: spec.report_interval,
        });
        let register = Register::new(&spec.folder);
        let site = Arc::new(Site { spec, client, door, register, programs, stop: stopping });
        let task = tokio::spawn(Dispatcher::new(site).run());
        Ok(Self { stop, task })
    }

    /// Waits until the fleet ends by itself, which it does not.
    pub async fn ended(&mut self) {
        let _ = (&mut self.task).await;
    }

    /// Ends all processes, and with them the fleet.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let _ = self.task.await;
    }
}

async fn client(spec: &FleetSpec) -> Result<Client, FleetError> {
    let unusable = |error| FleetError::Kubeconfig(Box::new(error));
    let kubeconfig = kube::config::Kubeconfig::read_from(&spec.kubeconfig).map_err(unusable)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default()).await;
    Client::try_from(config.map_err(unusable)?).map_err(|error| FleetError::Client(Box::new(error)))
}

/// Gives every pod to whoever plays it.
struct Dispatcher {
    site: Arc<Site>,
    nodes: Nodes,
    /// Tasks that play the kubelet's socket of a node, by node.
    sockets: BTreeMap<String, JoinSet<()>>,
    /// Pods that are played, by UID: who is told of them, and their node.
    played: BTreeMap<String, (watch::Sender<Arc<Pod>>, Arc<Node>)>,
    /// Pods whose node is not known yet, by UID.
    early: BTreeMap<String, Pod>,
    /// UIDs that the running list has shown so far.
    listed: BTreeSet<String>,
    processes: JoinSet<()>,
    tasks: JoinSet<()>,
}

impl Dispatcher {
    fn new(site: Arc<Site>) -> Self {
        Self {
            site,
            nodes: Nodes::default(),
            sockets: BTreeMap::new(),
            played: BTreeMap::new(),
            early: BTreeMap::new(),
            listed: BTreeSet::new(),
            processes: JoinSet::new(),
            tasks: JoinSet::new(),
        }
    }

    async fn run(mut self) {
        let mut nodes = std::pin::pin!(watched::<NodeObject>(&self.site.client));
        let mut pods = std::pin::pin!(watched::<Pod>(&self.site.client));
        let mut stop = self.site.stop.clone();
        self.tasks.spawn(drive(self.nodes.clone()));
        loop {
            tokio::select! {
                Some(event) = nodes.next() => self.node_event(event),
                Some(event) = pods.next() => self.pod_event(event),
                () = stopped(&mut stop) => break,
                // What has ended is forgotten, so that it does not pile up.
                Some(_) = self.processes.join_next() => {}
                Some(_) = self.tasks.join_next() => {}
            }
        }
        self.tasks.abort_all();
        let all = async { while self.processes.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_GRACE, all).await.is_err() {
            tracing::warn!("some processes did not end in time and are killed");
        }
    }

    fn node_event(&mut self, event: watcher::Event<NodeObject>) {
        use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};
        match event {
            Apply(object) | InitApply(object) => self.see_node(&object),
            Delete(object) => {
                let name = object.metadata.name.unwrap_or_default();
                self.sockets.remove(&name);
                lock(&self.nodes).remove(&name);
            }
            Init | InitDone => {}
        }
    }

    fn see_node(&mut self, object: &NodeObject) {
        let name = object.metadata.name.clone().unwrap_or_default();
        if lock(&self.nodes).contains_key(&name) {
            return;
        }
        let Some(node) = Node::of(object, &self.site.spec.folder.join("nodes")) else { return };
        let node = Arc::new(node);
        // The driver is there before anybody asks it.
        let shown = node.prepare().and_then(|()| node.show(Duration::ZERO).map_err(io::Error::other));
        if let Err(error) = shown {
            tracing::error!(node = name, %error, "a node cannot be played");
            return;
        }
        if node.has_gpus() {
            let served = node.clone();
            self.sockets.entry(name.clone()).or_default().spawn(async move {
                if let Err(error) = node::serve(served).await {
                    tracing::error!(error = &error as &dyn std::error::Error, "a node's socket is closed");
                }
            });
        }
        lock(&self.nodes).insert(name.clone(), node);
        for (_, pod) in std::mem::take(&mut self.early) {
            self.see_pod(pod);
        }
    }

    fn pod_event(&mut self, event: watcher::Event<Pod>) {
        use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};
        match event {
            Init => self.listed.clear(),
            InitApply(pod) => {
                self.listed.insert(pod.metadata.uid.clone().unwrap_or_default());
                self.see_pod(pod);
            }
            Apply(pod) => self.see_pod(pod),
            Delete(pod) => self.lose_pod(&pod.metadata.uid.unwrap_or_default()),
            InitDone => {
                let known = self.played.keys().filter(|uid| !self.listed.contains(*uid));
                let lost: Vec<String> = known.cloned().collect();
                lost.iter().for_each(|uid| self.lose_pod(uid));
            }
        }
    }

    fn see_pod(&mut self, pod: Pod) {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        if let Some((news, _)) = self.played.get(&uid) {
            news.send_replace(Arc::new(pod));
            return;
        }
        let kind = Kind::of(&pod);
        let Some(name) = node_name(&pod).map(str::to_owned) else { return };
        if kind == Kind::Foreign && wanted_devices(&pod).is_empty() {
            return;
        }
        let Some(node) = lock(&self.nodes).get(&name).cloned() else {
            self.early.insert(uid, pod);
            return;
        };
        let (tell, news) = watch::channel(Arc::new(pod));
        self.played.insert(uid, (tell, node.clone()));
        let site = self.site.clone();
        match kind {
            Kind::System => drop(self.processes.spawn(system::play(site, node, news))),
            Kind::Job => drop(self.tasks.spawn(job::play(site, node, news))),
            Kind::Foreign => drop(self.tasks.spawn(job::hold(site, node, news))),
        }
    }

    fn lose_pod(&mut self, uid: &str) {
        self.early.remove(uid);
        if let Some((_, node)) = self.played.remove(uid) {
            // Here and not only by who plays it: the scheduler may give the devices away in this moment.
            node.devices().release(uid);
        }
    }
}

/// Lets time pass for the devices of all nodes.
async fn drive(nodes: Nodes) {
    let mut last = Instant::now();
    let mut beat = tokio::time::interval(DRIVER_PERIOD);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let now = beat.tick().await;
        let passed = now.saturating_duration_since(last);
        last = now;
        let all: Vec<Arc<Node>> = lock(&nodes).values().cloned().collect();
        for node in all.iter().filter(|node| node.has_gpus()) {
            if let Err(error) = node.show(passed) {
                tracing::error!(node = node.name, %error, "a driver shows nothing new");
            }
        }
    }
}

fn watched<K>(client: &Client) -> impl Stream<Item = watcher::Event<K>> + use<K>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let events = watcher(Api::<K>::all(client.clone()), watcher::Config::default()).default_backoff();
    events.filter_map(|event| {
        let event = event.inspect_err(|error| tracing::warn!(%error, "a watch was interrupted")).ok();
        std::future::ready(event)
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
