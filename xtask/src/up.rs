//! `cargo xtask up`.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use plimsoll_test_cluster::{Cluster, ClusterSpec, Progress, Release, Toolchain};

/// Start a Kubernetes cluster with fake GPU nodes on this machine, and a real node where that is possible
///
/// etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok run as ordinary processes of this machine, on
/// free ports, without a container engine. The first start builds them from source with Go, which takes some minutes;
/// later starts take seconds. The cluster runs until `cargo xtask down`.
///
/// As root with runc, CNI plugins, nftables, iproute2 and a C compiler present, it adds one node of kubelet, containerd
/// and kube-proxy beside the fake ones, whose containers do run. It carries the label plimsoll.dev/real=true; `down` gives
/// the machine back as it was. Without root or the packages, or when another cluster has the machine's one place for a
/// real node, it says so and goes on with the fake nodes alone.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the cluster, so that several can stand side by side [default: the name in the cluster file]
    #[arg(long)]
    name: Option<String>,
    /// Description of its nodes [default: tests/cluster/clusters/demo.yaml]
    #[arg(long, value_name = "FILE")]
    cluster: Option<PathBuf>,
    /// Start fake nodes only, even where a real one is possible
    #[arg(long)]
    fake_only: bool,
    /// Release of Kubernetes: 1.37, or 1.34, the oldest that Plimsoll is made for
    #[arg(long, value_name = "RELEASE", default_value_t = Release::Current)]
    kubernetes: Release,
    /// Keep the logs when the cluster is stopped
    #[arg(long)]
    keep_logs: bool,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let started = Instant::now();
        let progress = |line: &str| println!("{line}");
        let spec = self.spec(&progress)?;
        let tools = Toolchain::ensure_release(self.kubernetes, &progress).await;
        let tools = tools.context("failed to get the cluster's programs")?;
        let cluster = Cluster::up(spec, &tools, &progress).await?;
        let (name, kubeconfig) = (cluster.name().to_owned(), cluster.kubeconfig());
        println!("cluster {name} is up after {:.1?}\n", started.elapsed());
        println!("  export KUBECONFIG={}", kubeconfig.display());
        println!("  {} get nodes\n", tools.kubectl.display());
        println!("logs: {}", cluster.folder().join("logs").display());
        println!("stop: cargo xtask down --name {name}");
        cluster.detach();
        Ok(())
    }

    fn spec(&self, progress: Progress<'_>) -> anyhow::Result<ClusterSpec> {
        let mut spec = match &self.cluster {
            Some(path) => ClusterSpec::load(path)?,
            None => ClusterSpec::demo()?,
        };
        if let Some(name) = &self.name {
            spec = spec.named(name)?;
        }
        match self.fake_only {
            true => spec.real_node = false,
            false => spec = spec.with_real_node_if_possible(progress),
        }
        Ok(if self.keep_logs { spec.keeping_logs() } else { spec })
    }
}
