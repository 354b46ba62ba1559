//! `cargo xtask up`.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use plimsoll_test_cluster::{Cluster, ClusterSpec, Toolchain};

/// Start a Kubernetes cluster with fake GPU nodes on this machine
///
/// etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok run as ordinary processes on 127.0.0.1, on free
/// ports: no container engine, no root. The first start builds them from source with Go, which takes some minutes; later
/// starts take seconds. The cluster runs until `cargo xtask down`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the cluster, so that several can stand side by side [default: the name in the cluster file]
    #[arg(long)]
    name: Option<String>,
    /// Description of its nodes [default: tests/cluster/clusters/demo.yaml]
    #[arg(long, value_name = "FILE")]
    cluster: Option<PathBuf>,
    /// Add one real node: kubelet, containerd, runc and kube-proxy, whose containers do run
    ///
    /// Needs root and the packages runc, containernetworking-plugins, nftables and iproute2. A machine takes one only.
    /// It carries the label plimsoll.dev/real=true; `down` gives the machine back as it was.
    #[arg(long)]
    real_node: bool,
    /// Keep the logs when the cluster is stopped
    #[arg(long)]
    keep_logs: bool,
}

impl Args {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let started = Instant::now();
        let progress = |line: &str| println!("{line}");
        let spec = self.spec()?;
        let tools = Toolchain::ensure(&progress).await.context("failed to get the cluster's programs")?;
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

    fn spec(&self) -> anyhow::Result<ClusterSpec> {
        let mut spec = match &self.cluster {
            Some(path) => ClusterSpec::load(path)?,
            None => ClusterSpec::demo()?,
        };
        if let Some(name) = &self.name {
            spec = spec.named(name)?;
        }
        if self.real_node {
            spec = spec.with_real_node();
        }
        Ok(if self.keep_logs { spec.keeping_logs() } else { spec })
    }
}
