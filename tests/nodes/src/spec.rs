//! What a fleet is told at its start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What a fleet is told at its start.
#[derive(Clone, Debug)]
pub struct FleetSpec {
    /// Kubeconfig of an administrator.
    pub kubeconfig: PathBuf,
    /// Where the fleet keeps its files.
    pub folder: PathBuf,
    /// Seed of the ground truth.
    pub seed: u64,
    /// How much faster than real time training goes.
    pub time_scale: f64,
    /// The operator's program.
    pub operator: PathBuf,
    /// The agent's program.
    pub agent: PathBuf,
    /// The library that stands in for the driver.
    pub nvml_mock: PathBuf,
    /// Where the operator that leads listens for reports.
    pub progress_bind: SocketAddr,
    /// What jobs really need; the demo's unless given.
    pub truth: Option<PathBuf>,
    /// Time between two reports of a program.
    pub report_interval: Duration,
    /// How long a container takes to start.
    pub startup: Duration,
}
