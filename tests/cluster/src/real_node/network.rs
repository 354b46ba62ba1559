//! The pod network: an address that pods reach the apiserver at, a plugin's configuration, and forwarding.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::preflight::search_path;
use super::{ADDRESS, NETWORK, PODS, RealNodeError, create_folder, run, write};

/// Sets it up. What it changes is in the clean-up script.
pub(super) fn set_up(folder: &Path) -> Result<(), RealNodeError> {
    let configuration = folder.join("cni");
    create_folder(&configuration)?;
    let text = format!("{:#}\n", plugin_configuration(&folder.join("cni-addresses")));
    write(&configuration.join("10-pods.conflist"), text.as_bytes())?;
    write(Path::new("/proc/sys/net/ipv4/ip_forward"), b"1")?;
    let mut add = Command::new("ip");
    add.env("PATH", search_path()).args(["address", "add", &format!("{ADDRESS}/32"), "dev", "lo"]);
    run("add an address to lo", &mut add).map(drop)
}

/// A pair of interfaces per pod, and no masquerading: nothing of a pod leaves the machine.
fn plugin_configuration(addresses: &Path) -> serde_json::Value {
    json!({
        "cniVersion": "1.0.0",
        "name": NETWORK,
        "plugins": [{
            "type": "ptp",
            "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "dataDir": addresses,
                "ranges": [[{"subnet": PODS}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
}
