//! The command line of each process of the control plane.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::credentials::kubeconfig_path;
use crate::real_node;
use crate::toolchain::Tools;

/// Files that are embedded here and written into the state folder on each start.
pub(crate) const CONFIG_FILES: [(&str, &str); 3] = [
    ("audit-policy.yaml", include_str!("../config/audit-policy.yaml")),
    ("pod-ready.yaml", include_str!("../config/pod-ready.yaml")),
    ("pod-delete.yaml", include_str!("../config/pod-delete.yaml")),
];

/// Ports of one cluster, on 127.0.0.1; the apiserver's on another address of this machine when there is a real node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) etcd: u16,
    pub(crate) etcd_peer: u16,
    pub(crate) apiserver: u16,
}

/// Makes command lines for one cluster.
#[derive(Debug)]
pub(crate) struct Components<'a> {
    pub(crate) tools: &'a Tools,
    pub(crate) folder: &'a Path,
    pub(crate) ports: Ports,
    /// Whether pods of a real node are to reach the apiserver, and it their kubelet.
    pub(crate) real_node: bool,
}

impl Components<'_> {
    pub(crate) fn etcd(&self) -> Command {
        let client = format!("http://127.0.0.1:{}", self.ports.etcd);
        let peer = format!("http://127.0.0.1:{}", self.ports.etcd_peer);
        self.command(&self.tools.etcd, |c| {
            c.arg("--data-dir").arg(self.folder.join("etcd"));
            c.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
            c.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
            c.arg("--initial-cluster").arg(format!("default={peer}"));
            // The data is thrown away with the cluster: durability would cost time and protect nothing.
            c.args(["--unsafe-no-fsync", "--log-level", "warn"]);
        })
    }

    pub(crate) fn apiserver(&self) -> Command {
        self.command(&self.tools.kube_apiserver, |c| {
            c.arg("--etcd-servers").arg(format!("http://127.0.0.1:{}", self.ports.etcd));
            // Were our etcd's port taken by another cluster's etcd, nothing of that one's would be read or overwritten.
            c.arg("--etcd-prefix").arg(format!("/plimsoll/{}/{}", std::process::id(), self.ports.apiserver));
            c.arg("--secure-port").arg(self.ports.apiserver.to_string());
            let address = apiserver_address(self.real_node);
            c.args(["--bind-address", address, "--advertise-address", address]);
            if self.real_node {
                let (certificate, key) = real_node::client_certificate(self.folder);
                c.arg("--kubelet-client-certificate").arg(certificate).arg("--kubelet-client-key").arg(key);
                c.args(["--kubelet-preferred-address-types", "InternalIP"]);
            } else {
                // The `kubernetes` Service may not point at a loopback address, and no fake pod has a network.
                c.args(["--endpoint-reconciler-type", "none"]);
            }
            c.arg("--cert-dir").arg(self.certificates());
            c.args(["--service-account-issuer", "https://kubernetes.default.svc"]);
            c.arg("--service-account-key-file").arg(self.folder.join("sa.pub"));
            c.arg("--service-account-signing-key-file").arg(self.folder.join("sa.key"));
            c.arg("--token-auth-file").arg(self.folder.join("tokens.csv"));
            c.args(["--authorization-mode", "Node,RBAC", "--service-cluster-ip-range", "10.96.0.0/16"]);
            c.args(["--max-requests-inflight", "2000", "--max-mutating-requests-inflight", "1000"]);
            c.args(["--allow-privileged", "--profiling=false"]);
            c.arg("--audit-policy-file").arg(self.folder.join("audit-policy.yaml"));
            c.arg("--audit-log-path").arg(self.folder.join("logs/audit.log"));
            // One file, in order: a reader need not know about rotation.
            c.args(["--audit-log-maxsize", "1024", "--audit-log-mode", "blocking"]);
        })
    }

    pub(crate) fn controller_manager(&self) -> Command {
        self.command(&self.tools.kube_controller_manager, |c| {
            c.arg("--kubeconfig").arg(kubeconfig_path(self.folder, "system:kube-controller-manager"));
            c.arg("--service-account-private-key-file").arg(self.folder.join("sa.key"));
            c.arg("--root-ca-file").arg(self.certificates().join("apiserver.crt"));
            // No pod network, hence no node CIDRs to hand out; and the apiserver's self-made certificate is not a CA's,
            // which is what the publisher of trust bundles asks for again and again.
            let unused = "-nodeipam,-kube-apiserver-serving-clustertrustbundle-publisher-controller";
            c.args(["--controllers", &format!("*,{unused}"), "--secure-port", "0"]);
            client_flags(c);
        })
    }

    pub(crate) fn scheduler(&self) -> Command {
        self.command(&self.tools.kube_scheduler, |c| {
            c.arg("--kubeconfig").arg(kubeconfig_path(self.folder, "system:kube-scheduler"));
            c.args(["--secure-port", "0"]);
            client_flags(c);
        })
    }

    pub(crate) fn kwok(&self) -> Command {
        self.command(&self.tools.kwok, |c| {
            // kwok reads its folder's kwok.yaml too, and the user's own must not matter.
            c.env("KWOK_WORKDIR", self.folder.join("kwok"));
            c.arg("--kubeconfig").arg(kubeconfig_path(self.folder, "kwok"));
            c.args(["--manage-all-nodes=false", "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake"]);
            c.args(["--node-lease-duration-seconds", "40"]);
            for stage in ["node-initialize.yaml", "node-heartbeat-with-lease.yaml"] {
                c.arg("-c").arg(self.tools.kwok_stages.join(stage));
            }
            for stage in ["pod-ready.yaml", "pod-delete.yaml"] {
                c.arg("-c").arg(self.folder.join(stage));
            }
        })
    }

    /// The folder where the apiserver writes its certificate.
    pub(crate) fn certificates(&self) -> PathBuf {
        self.folder.join("certificates")
    }

    fn command(&self, program: &Path, arguments: impl FnOnce(&mut Command)) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder);
        arguments(&mut command);
        command
    }
}

/// Where the apiserver listens.
pub(crate) fn apiserver_address(real_node: bool) -> &'static str {
    if real_node { real_node::ADDRESS } else { "127.0.0.1" }
}

/// There is one of each, so nothing to elect; and the default client limits are made for shared clusters.
fn client_flags(command: &mut Command) {
    command.args(["--leader-elect=false", "--kube-api-qps", "1000", "--kube-api-burst", "2000"]);
}
