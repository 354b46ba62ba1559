//! kube-proxy in nftables mode: Services for the pods of the real node.

use std::path::Path;
use std::process::Command;

use super::NODE;
use super::preflight::search_path;
use crate::credentials::kubeconfig_path;
use crate::toolchain::NodeTools;

/// Its command line.
pub(super) fn command(tools: &NodeTools, folder: &Path, [health, metrics]: [u16; 2]) -> Command {
    let mut c = Command::new(&tools.kube_proxy);
    c.current_dir(folder).env("PATH", search_path());
    c.arg("--kubeconfig").arg(kubeconfig_path(folder, "system:kube-proxy"));
    c.args(["--proxy-mode", "nftables", "--hostname-override", NODE]);
    c.args(["--healthz-bind-address", &format!("127.0.0.1:{health}")]);
    c.args(["--metrics-bind-address", &format!("127.0.0.1:{metrics}")]);
    // The machine's own settings stay as they are.
    c.args(["--conntrack-max-per-core", "0", "--conntrack-tcp-timeout-established", "0s"]);
    c.args(["--conntrack-tcp-timeout-close-wait", "0s", "--oom-score-adj", "0"]);
    c
}
