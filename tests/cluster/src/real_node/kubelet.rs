//! The kubelet, with folder and ports of its own, and the certificate by which it knows the apiserver.

use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use serde_json::json;

use super::preflight::search_path;
use super::{ADDRESS, NODE, RealNodeError, USER, containerd, create_folder, dns, write};
use crate::credentials::{kubeconfig_path, write_private};
use crate::spec::Gpus;
use crate::toolchain::NodeTools;

/// Makes the kubelet's command line.
#[derive(Debug)]
pub(super) struct Kubelet<'a> {
    pub(super) tools: &'a NodeTools,
    pub(super) folder: &'a Path,
    pub(super) port: u16,
    /// Accelerators that the node is labelled with.
    pub(super) gpus: Option<&'a Gpus>,
}

impl Kubelet<'_> {
    /// Writes its configuration and gives the command that runs it.
    pub(super) fn command(&self) -> Result<Command, RealNodeError> {
        let root = root(self.folder);
        create_folder(&root)?;
        let configuration = self.folder.join("kubelet.yaml");
        write(&configuration, format!("{:#}\n", self.configuration(&root)).as_bytes())?;
        let mut c = Command::new(&self.tools.kubelet);
        c.current_dir(self.folder).env("PATH", search_path());
        c.arg("--config").arg(configuration);
        c.arg("--kubeconfig").arg(kubeconfig_path(self.folder, USER));
        c.arg("--root-dir").arg(&root).arg("--cert-dir").arg(root.join("pki"));
        c.args(["--hostname-override", NODE, "--node-ip", ADDRESS]);
        c.args(["--node-labels", &self.labels()]);
        Ok(c)
    }

    fn labels(&self) -> String {
        let gpus = self.gpus.into_iter().flat_map(Gpus::labels).map(|(key, value)| format!(",{key}={value}"));
        gpus.fold("plimsoll.dev/real=true".to_owned(), |all, label| all + &label)
    }

    fn configuration(&self, root: &Path) -> serde_json::Value {
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": ADDRESS,
            "port": self.port,
            "healthzPort": 0,
            "readOnlyPort": 0,
            "authentication": {
                "anonymous": {"enabled": false},
                "webhook": {"enabled": true},
                "x509": {"clientCAFile": client_certificate(self.folder).0},
            },
            "authorization": {"mode": "Webhook"},
            "containerRuntimeEndpoint": format!("unix://{}", containerd::socket().display()),
            "podLogsDir": self.folder.join("pod-logs"),
            "volumePluginDir": root.join("volume-plugins"),
            "resolvConf": "", // nothing leaves the machine, so there is no name server to ask but the cluster's own
            "clusterDNS": [ADDRESS],
            "clusterDomain": dns::DOMAIN,
            "cgroupDriver": "cgroupfs",
            "failCgroupV1": false,
            "failSwapOn": false,
            "enforceNodeAllocatable": [],
            "makeIPTablesUtilChains": false,
            "oomScoreAdj": 0,
            // Images come by import only and cannot be fetched again; and a full disk is not for the tests to judge.
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {
                "memory.available": "0%",
                "nodefs.available": "0%",
                "nodefs.inodesFree": "0%",
                "imagefs.available": "0%",
            },
        })
    }
}

/// Its folder: pods' volumes, and the sockets that it serves.
fn root(folder: &Path) -> PathBuf {
    folder.join("kubelet")
}

/// The folder of the socket at which it tells who holds which device.
pub(crate) fn pod_resources(folder: &Path) -> PathBuf {
    root(folder).join("pod-resources")
}

/// Certificate and key by which the apiserver shows itself to the kubelet.
pub(crate) fn client_certificate(folder: &Path) -> (PathBuf, PathBuf) {
    (folder.join("kubelet-client.crt"), folder.join("kubelet-client.key"))
}

/// Makes it.
pub(super) fn write_client_certificate(folder: &Path) -> Result<(), RealNodeError> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    parameters.distinguished_name.push(DnType::OrganizationName, "system:masters");
    parameters.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
    let key = KeyPair::generate().map_err(RealNodeError::Certificate)?;
    let certificate = parameters.self_signed(&key).map_err(RealNodeError::Certificate)?;
    let (certificate_path, key_path) = client_certificate(folder);
    write(&certificate_path, certificate.pem().as_bytes())?;
    Ok(write_private(&key_path, key.serialize_pem().as_bytes())?)
}
