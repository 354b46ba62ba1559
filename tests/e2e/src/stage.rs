//! The stage: a Kubernetes cluster with the chart installed, and a fleet that plays what this machine has not.

mod images;
mod values;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::{Api, Client};
use plimsoll_crds::AcceleratorNode;
use plimsoll_test_cluster::{Cluster, ClusterSpec, Release, Toolchain};
use tokio::process::Command;

use crate::binaries::Binaries;
use crate::helm::Helm;
use crate::kubectl::Kubectl;
use crate::story::{Act, acts};
use crate::system::{self, SystemPod};
pub use values::demo_values;
use values::own_values;

/// Name of the fleet among the cluster's processes.
const FLEET: &str = "fleet";

/// What to bring up.
#[derive(Clone, Debug)]
pub struct StageSpec {
    /// Name of the cluster, and of its folder.
    pub name: String,
    /// Another cluster file than the demo's.
    pub cluster: Option<PathBuf>,
    /// Another ground truth than the demo's.
    pub truth: Option<PathBuf>,
    /// Seed of the ground truth.
    pub seed: u64,
    /// How much faster than real time training goes.
    pub time_scale: f64,
    /// No real node, even where this machine could run one.
    pub fake_only: bool,
    /// Release of Kubernetes.
    pub kubernetes: Release,
    /// Files with values of the chart that go over the demo's.
    pub values: Vec<PathBuf>,
}

impl Default for StageSpec {
    fn default() -> Self {
        Self {
            name: "demo".to_owned(),
            cluster: None,
            truth: None,
            seed: 0,
            time_scale: 60.0,
            fake_only: false,
            kubernetes: Release::Current,
            values: Vec::new(),
        }
    }
}

/// A cluster with Plimsoll installed on it.
pub struct Stage {
    /// The cluster and all that runs beside it.
    pub cluster: Cluster,
    /// helm for it.
    pub helm: Helm,
    /// kubectl for it.
    pub kubectl: Kubectl,
    /// A client with all rights.
    pub client: Client,
}

impl Stage {
    /// Brings up everything and waits until the agents of all nodes have spoken. With a real node, the operator runs on it
    /// in containers, and so does its agent; without one, the fleet runs them as processes.
    ///
    /// # Errors
    /// Whatever failed; what was started is stopped again.
    pub async fn set(spec: &StageSpec, binaries: &Binaries, progress: &(dyn Fn(&str) + Sync)) -> anyhow::Result<Self> {
        let tools = Toolchain::ensure_release(spec.kubernetes, progress).await?;
        let file = spec.cluster.clone();
        let described = file.map_or_else(ClusterSpec::demo, |f| ClusterSpec::load(&f))?.named(spec.name.as_str())?;
        let described = if spec.fake_only { described } else { described.with_real_node_if_possible(progress) };
        let cluster = Cluster::up(described, &tools, progress).await?;
        let helm = Helm::new(&tools, cluster.kubeconfig(), cluster.folder());
        let kubectl = Kubectl::new(&tools, cluster.kubeconfig());
        let client = cluster.client().await?;
        let mut stage = Self { cluster, helm, kubectl, client };
        if stage.cluster.has_real_node() {
            images::import(&stage.cluster, binaries, progress).await?;
        }
        let started = Instant::now();
        let port = free_port()?;
        stage.start_fleet(spec, binaries, port)?;
        let own = stage.cluster.folder().join("values.yaml");
        std::fs::write(&own, serde_yaml::to_string(&own_values(&stage, port))?)?;
        let values = [demo_values(), own].into_iter().chain(spec.values.iter().cloned());
        stage.helm.install(&values.collect::<Vec<_>>()).await?;
        progress(&format!("chart installed in {:.1} s", started.elapsed().as_secs_f64()));
        let started = Instant::now();
        stage.agents_have_spoken().await?;
        progress(&format!("operator and agents ready in {:.1} s", started.elapsed().as_secs_f64()));
        Ok(stage)
    }

    /// Where the fleet keeps its files, `fleet.json` among them.
    pub fn fleet_folder(&self) -> PathBuf {
        self.cluster.folder().join(FLEET)
    }

    /// The acts that can be played here.
    pub fn acts(&self) -> Vec<Act> {
        acts(self.cluster.has_real_node())
    }

    /// The programs of the chart that run.
    ///
    /// # Errors
    /// When the cluster or the fleet does not say.
    pub async fn system_pods(&self) -> anyhow::Result<Vec<SystemPod>> {
        system::pods(&self.client, &self.fleet_folder()).await
    }

    fn start_fleet(&mut self, spec: &StageSpec, binaries: &Binaries, port: u16) -> anyhow::Result<()> {
        let mut fleet = Command::new(&binaries.fleet).into_std();
        fleet.arg("--kubeconfig").arg(self.cluster.kubeconfig()).arg("--folder").arg(self.fleet_folder());
        fleet.arg("--seed").arg(spec.seed.to_string()).arg("--time-scale").arg(spec.time_scale.to_string());
        fleet.arg("--agent").arg(&binaries.agent).arg("--nvml-mock").arg(&binaries.nvml_mock);
        if self.cluster.has_real_node() {
            fleet.arg("--pod-resources-folder").arg(self.cluster.pod_resources_folder());
        } else {
            fleet.arg("--operator").arg(&binaries.operator).arg("--progress-bind").arg(format!("127.0.0.1:{port}"));
        }
        if let Some(truth) = &spec.truth {
            fleet.arg("--truth").arg(truth);
        }
        Ok(self.cluster.spawn(FLEET, fleet)?)
    }

    async fn agents_have_spoken(&self) -> anyhow::Result<()> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let with_gpus = nodes.list_metadata(&ListParams::default().labels("nvidia.com/gpu.present=true")).await?;
        let wanted = with_gpus.items.len();
        let seen: Api<AcceleratorNode> = Api::all(self.client.clone());
        let ready = async {
            use futures::TryStreamExt as _;
            let events = kube::runtime::watcher(seen, kube::runtime::watcher::Config::default());
            let mut events = std::pin::pin!(kube::runtime::WatchStreamExt::applied_objects(events));
            let mut spoken = std::collections::BTreeSet::new();
            while let Some(node) = events.try_next().await? {
                if node.status.as_ref().is_some_and(|s| s.observed_at.is_some() && s.device_count > 0) {
                    spoken.insert(kube::ResourceExt::name_any(&node));
                }
                if spoken.len() >= wanted {
                    return anyhow::Ok(());
                }
            }
            Ok(())
        };
        let bound = std::time::Duration::from_secs(90);
        tokio::time::timeout(bound, ready).await.with_context(|| {
            format!(
                "the agents of {wanted} nodes did not all speak within {bound:?}; see the logs in {}",
                self.fleet_folder().display()
            )
        })?
    }
}

fn free_port() -> anyhow::Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("failed to find a free port")?;
    Ok(listener.local_addr()?.port())
}
