//! A node that is played, with the real agent on it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nvidia_ml_mock::{GpuState, STATE_FILE, State, count_logged_calls, install_library};
use plimsoll_agent::snapshot::{DeviceSnapshot, Snapshot};
use plimsoll_agent::{Agent, AgentError, Settings};
use plimsoll_telemetry::Signal;
use plimsoll_telemetry::shutdown::Trigger;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::api::Api;
use crate::kubelet::Kubelet;

/// A test that waits longer has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A node that is played.
pub struct Rig {
    folder: TempDir,
    pub state: State,
    pub kubelet: Kubelet,
    pub settings: Settings,
}

/// The agent at work.
pub struct Working {
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    pub api: Api,
    pub end: Trigger,
    pub ended: JoinHandle<Result<(), AgentError>>,
    admin: SocketAddr,
}

impl Rig {
    /// A node with a busy H100 (`GPU-0`) and an idle T4 (`GPU-1`). The kubelet does not serve yet.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let h100 = GpuState {
            uuid: "GPU-0".to_owned(),
            memory_used_bytes: 3 << 30,
            busy_percent: 97,
            sm_activity: 0.5,
            tensor_activity: 0.25,
            dram_activity: 0.125,
            power_milliwatts: 412_500,
            energy_millijoules: 1_234_500,
            temperature_celsius: 61,
            ..GpuState::default()
        };
        let t4 = GpuState {
            uuid: "GPU-1".to_owned(),
            index: 1,
            name: "Tesla T4".to_owned(),
            memory_total_bytes: 16 << 30,
            gpm: false,
            compute_capability: (7, 5),
            ..GpuState::default()
        };
        let call_log = Some(folder.path().join("calls"));
        let state = State { gpus: vec![h100, t4], call_log, ..State::default() };
        let settings = Settings {
            node_name: "node-1".to_owned(),
            nvml_library: folder.path().join(nvidia_ml_mock::LIBRARY_FILE),
            pod_resources_socket: folder.path().join("kubelet.sock"),
            sample_interval: Duration::from_millis(20),
            window: Duration::from_secs(1),
            status_interval: Duration::from_secs(1),
            attribution_interval: Duration::from_millis(20),
            driver_timeout: Duration::from_millis(500),
            admin_bind: "127.0.0.1:0".parse().unwrap(),
        };
        let rig = Self { folder, state, kubelet: Kubelet::default(), settings };
        rig.write_state();
        rig
    }

    /// Puts the driver's library where the agent looks for it.
    pub fn install_driver(&self) -> PathBuf {
        install_library(self.folder.path()).unwrap()
    }

    /// Changes one device.
    pub fn change(&mut self, gpu: usize, change: impl FnOnce(&mut GpuState)) {
        change(&mut self.state.gpus[gpu]);
        self.write_state();
    }

    /// Has the driver say what [`Rig::state`] says.
    pub fn write_state(&self) {
        self.state.write_atomically(&self.folder.path().join(STATE_FILE)).unwrap();
    }

    /// Calls into the driver so far.
    pub fn driver_calls(&self) -> u64 {
        count_logged_calls(self.call_log()).unwrap().values().sum()
    }

    fn call_log(&self) -> &Path {
        self.state.call_log.as_deref().unwrap()
    }

    /// Starts the kubelet and the driver, then the agent.
    pub async fn work(&self) -> Working {
        self.install_driver();
        self.kubelet.serve(&self.settings.pod_resources_socket);
        self.work_without_help().await
    }

    /// Starts the agent alone.
    pub async fn work_without_help(&self) -> Working {
        let (client, api) = Api::new();
        let agent = Agent::bind(&self.settings, client).await.unwrap();
        let (admin, snapshots) = (agent.admin_address(), agent.snapshots());
        let (end, signal) = Signal::manual();
        let ended = tokio::spawn(async move { agent.run(&signal).await });
        Working { snapshots, api, end, ended, admin }
    }
}

impl Working {
    /// The first snapshot that fits.
    pub async fn until(&mut self, what: &str, fits: impl FnMut(&Arc<Snapshot>) -> bool) -> Arc<Snapshot> {
        let fitting = timeout(PATIENCE, self.snapshots.wait_for(fits)).await;
        Arc::clone(&fitting.unwrap_or_else(|_| panic!("not in time: {what}")).unwrap())
    }

    /// The first snapshot in which a device fits.
    pub async fn until_device(
        &mut self,
        gpu: usize,
        what: &str,
        fits: impl Fn(&DeviceSnapshot) -> bool,
    ) -> Arc<Snapshot> {
        self.until(what, |snapshot| snapshot.devices.get(gpu).is_some_and(&fits)).await
    }

    /// Waits until a counter is above zero.
    pub async fn until_metric(&mut self, name: &str, labels: &str) {
        let counts = |text: &str| {
            let line = text.lines().find(|line| line.starts_with(name) && line.contains(labels));
            line.is_some_and(|line| !line.ends_with(" 0"))
        };
        let looks = async {
            while !counts(&self.get("/metrics").await.1) {
                self.snapshots.changed().await.unwrap();
            }
        };
        timeout(PATIENCE, looks).await.unwrap_or_else(|_| panic!("not in time: {name} {labels}"));
    }

    /// Status code and body of a path.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: agent\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        (code, body.to_owned())
    }
}
