//! The values that the chart is installed with.

use std::path::PathBuf;

use plimsoll_test_cluster::REAL_NODE;
use serde_json::{Value, json};

use super::Stage;
use crate::binaries::checkout;

/// The values that the demo installs the chart with: short windows, so that a person can watch.
pub fn demo_values() -> PathBuf {
    checkout().join("tests/e2e/demo-values.yaml")
}

/// What depends on this very cluster: where the operator runs, and how it is reached.
pub(super) fn own_values(stage: &Stage, port: u16) -> Value {
    if !stage.cluster.has_real_node() {
        return json!({
            // Nothing of a fake node has a network: the fleet's operators listen on this machine.
            "progress": {"url": format!("https://127.0.0.1:{port}")},
            "operator": {"nodeSelector": {"node-role.kubernetes.io/plimsoll-system": ""}},
        });
    }
    json!({
        "global": {"imageRegistry": "localhost"},
        "operator": {"nodeSelector": {"plimsoll.dev/real": "true"}},
        "agent": {
            "podResourcesPath": stage.cluster.pod_resources_folder(),
            "driverRoot": stage.fleet_folder().join("nodes").join(REAL_NODE).join("driver"),
        },
    })
}
