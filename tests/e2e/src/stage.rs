//! The stage: a control plane, the chart, and a fleet that plays its nodes.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::{Api, Client};
use plimsoll_crds::AcceleratorNode;
use plimsoll_test_cluster::{Cluster, ClusterSpec, Toolchain, Tools};
use tokio::process::Command;

use crate::binaries::{Binaries, checkout};
use crate::helm::Helm;
use crate::kubectl::Kubectl;

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
}

impl Default for StageSpec {
    fn default() -> Self {
        Self { name: "demo".to_owned(), cluster: None, truth: None, seed: 0, time_scale: 60.0 }
    }
}

/// A control plane with Plimsoll installed on it.
pub struct Stage {
    /// The control plane and all that runs beside it.
    pub cluster: Cluster,
    /// kubectl for it.
    pub kubectl: Kubectl,
    /// A client with all rights.
    pub client: Client,
}

impl Stage {
    /// Brings up a control plane with the chart installed, and nothing that runs on it.
    ///
    /// # Errors
    /// Whatever failed; what was started is stopped again.
    pub async fn installed(spec: &StageSpec, progress: &(dyn Fn(&str) + Sync)) -> anyhow::Result<(Self, Tools, u16)> {
        let tools = Toolchain::ensure(progress).await?;
        let file = spec.cluster.clone();
        let cluster_spec = file.map_or_else(ClusterSpec::demo, |f| ClusterSpec::load(&f))?.named(spec.name.as_str())?;
        let cluster = Cluster::up(cluster_spec, &tools, progress).await?;
        let port = free_port()?;
        let started = Instant::now();
        let values = cluster.folder().join("values.yaml");
        std::fs::write(&values, format!("progress:\n  url: https://127.0.0.1:{port}\n"))?;
        let helm = Helm::new(&tools, cluster.kubeconfig(), cluster.folder());
        helm.install(&[&demo_values(), &values]).await?;
        progress(&format!("chart installed in {:.1} s", started.elapsed().as_secs_f64()));
        let kubectl = Kubectl::new(&tools, cluster.kubeconfig());
        let client = cluster.client().await?;
        Ok((Self { cluster, kubectl, client }, tools, port))
    }

    /// Brings up everything and waits until the agents of all nodes have spoken.
    ///
    /// # Errors
    /// Whatever failed; what was started is stopped again.
    pub async fn set(spec: &StageSpec, binaries: &Binaries, progress: &(dyn Fn(&str) + Sync)) -> anyhow::Result<Self> {
        let (mut stage, _tools, port) = Self::installed(spec, progress).await?;
        let started = Instant::now();
        let mut fleet = Command::new(&binaries.fleet).into_std();
        fleet.arg("--kubeconfig").arg(stage.cluster.kubeconfig()).arg("--folder").arg(stage.fleet_folder());
        fleet.arg("--seed").arg(spec.seed.to_string()).arg("--time-scale").arg(spec.time_scale.to_string());
        fleet.arg("--operator").arg(&binaries.operator).arg("--agent").arg(&binaries.agent);
        fleet.arg("--nvml-mock").arg(&binaries.nvml_mock).arg("--progress-bind").arg(format!("127.0.0.1:{port}"));
        if let Some(truth) = &spec.truth {
            fleet.arg("--truth").arg(truth);
        }
        stage.cluster.spawn(FLEET, fleet)?;
        stage.agents_have_spoken().await?;
        progress(&format!("operator and agents ready in {:.1} s", started.elapsed().as_secs_f64()));
        Ok(stage)
    }

    /// Where the fleet keeps its files, `fleet.json` among them.
    pub fn fleet_folder(&self) -> PathBuf {
        self.cluster.folder().join(FLEET)
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

/// The values that the demo installs the chart with: short windows, so that a person can watch.
pub fn demo_values() -> PathBuf {
    checkout().join("tests/e2e/demo-values.yaml")
}

fn free_port() -> anyhow::Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("failed to find a free port")?;
    Ok(listener.local_addr()?.port())
}
