//! The programs of the chart, wherever they run: in containers of the real node, or as processes of the fleet.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use plimsoll_test_cluster::REAL_NODE;

use crate::fleet::FleetState;
use crate::helm::NAMESPACE;

/// Name of the port of every admin server.
const ADMIN: &str = "admin";

/// One program of the chart that runs.
#[derive(Clone, Debug)]
pub struct SystemPod {
    /// Name of its pod.
    pub name: String,
    /// `operator` or `agent`.
    pub component: String,
    /// Process id on this machine; absent while it is not running.
    pub pid: Option<u32>,
    /// Where its admin server listens.
    pub admin: SocketAddr,
    /// Whether it runs in a container.
    pub contained: bool,
}

/// All of them: those that the fleet runs, and those that the real node does.
pub(crate) async fn pods(client: &Client, fleet_folder: &Path) -> Result<Vec<SystemPod>> {
    let mut all: Vec<_> = FleetState::read(fleet_folder)?.system_pods.into_iter().map(SystemPod::from).collect();
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let here = ListParams::default()
        .labels("app.kubernetes.io/part-of=plimsoll")
        .fields(&format!("spec.nodeName={REAL_NODE},status.phase=Running"));
    all.extend(pods.list(&here).await?.items.iter().filter_map(SystemPod::of));
    Ok(all)
}

impl SystemPod {
    fn of(pod: &Pod) -> Option<Self> {
        let ip: IpAddr = pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?;
        let ports = pod.spec.as_ref()?.containers.iter().flat_map(|container| container.ports.iter().flatten());
        let admin = ports.into_iter().find(|port| port.name.as_deref() == Some(ADMIN))?;
        let component = pod.labels().get("app.kubernetes.io/component")?.clone();
        Some(Self {
            name: pod.name_any(),
            pid: process_of(&pod.uid()?, &component),
            admin: SocketAddr::new(ip, u16::try_from(admin.container_port).ok()?),
            component,
            contained: true,
        })
    }

    /// Resident memory in bytes; `None` when it does not run.
    pub fn resident_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid?)).ok()?;
        let line = status.lines().find(|l| l.starts_with("VmRSS:"))?;
        Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
    }

    /// Its metrics page.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metrics(&self) -> Result<String> {
        let address = format!("http://{}", self.admin).parse().context("failed to read its address")?;
        let client = Client::try_from(kube::Config::new(address))?;
        let request = http::Request::get("/metrics").body(Vec::new())?;
        Ok(client.request_text(request).await?)
    }
}

impl From<crate::fleet::SystemPod> for SystemPod {
    fn from(pod: crate::fleet::SystemPod) -> Self {
        let crate::fleet::SystemPod { name, component, pid, admin } = pod;
        Self { name, component, pid, admin, contained: false }
    }
}

/// The process of a component in the cgroup of a pod.
fn process_of(uid: &str, component: &str) -> Option<u32> {
    let name = format!("plimsoll-{component}");
    // The kernel keeps 15 bytes of a name.
    let name = &name[..name.len().min(15)];
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        read("comm").trim_end() == name && read("cgroup").contains(uid)
    })
}
