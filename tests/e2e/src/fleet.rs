//! What the fleet says of the programs that it runs: its `fleet.json`.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

/// One program of the chart, run on this machine for a pod of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SystemPod {
    /// Name of its pod.
    pub name: String,
    /// `operator` or `agent`.
    pub component: String,
    /// Process id; absent while it is not running.
    pub pid: Option<u32>,
    /// Where its admin server listens.
    pub admin: SocketAddr,
}

/// The fleet's own account.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FleetState {
    /// Programs that it runs.
    #[serde(default)]
    pub system_pods: Vec<SystemPod>,
    /// Times that a pod asked for more devices than its node had left. Must stay 0.
    #[serde(default)]
    pub overcommitted: u64,
}

impl FleetState {
    /// Reads `fleet.json` in the fleet's folder.
    ///
    /// # Errors
    /// When it is missing or is not what the fleet writes.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let file = folder.join("fleet.json");
        let text = std::fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))?;
        serde_json::from_str(&text).with_context(|| format!("failed to understand {}", file.display()))
    }
}
