//! containerd, with root, state and socket of its own.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::preflight::{plugin_folder, search_path};
use super::{Image, RUN, RealNodeError, create_folder, run, write};
use crate::toolchain::NodeTools;

/// Its name among the cluster's processes.
pub(crate) const NAME: &str = "containerd";
/// The image of every pod's first container.
pub(super) const PAUSE_IMAGE: &str = "localhost/plimsoll/pause:1";
const SOCKET_BOUND: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);

/// Makes command lines for containerd and its client.
#[derive(Debug)]
pub(super) struct Containerd<'a> {
    pub(super) tools: &'a NodeTools,
    pub(super) folder: &'a Path,
}

impl Containerd<'_> {
    /// Writes its configuration and gives the command that runs it.
    pub(super) fn command(&self) -> Result<Command, RealNodeError> {
        let own = self.folder.join("containerd");
        create_folder(&own)?;
        let configuration = own.join("config.toml");
        write(&configuration, self.configuration(&own).as_bytes())?;
        let mut command = Command::new(&self.tools.containerd);
        command.current_dir(self.folder).arg("--config").arg(configuration);
        // It looks for its shim, and the shim for runc, on PATH.
        let shims = self.tools.containerd.parent().into_iter().map(Path::to_owned);
        let folders = shims.chain(std::env::split_paths(&search_path()).collect::<Vec<_>>());
        if let Ok(path) = std::env::join_paths(folders) {
            command.env("PATH", path);
        }
        Ok(command)
    }

    /// Waits until it takes connections.
    pub(super) async fn listening(&self) -> Result<(), RealNodeError> {
        let deadline = Instant::now() + SOCKET_BOUND;
        while UnixStream::connect(socket()).is_err() {
            if Instant::now() >= deadline {
                let complaint = format!("it does not listen after {SOCKET_BOUND:?}; see its log");
                return Err(RealNodeError::Refused { what: "start containerd", complaint });
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Makes an image known to the node. Blocks.
    pub(super) fn import(&self, image: &Image) -> Result<(), RealNodeError> {
        let archive = self.folder.join("image.tar");
        write(&archive, &image.archive()?.bytes)?;
        let mut ctr = Command::new(&self.tools.ctr);
        ctr.arg("--address").arg(socket()).args(["--namespace", "k8s.io", "images", "import"]).arg(&archive);
        let imported = run("import an image", &mut ctr).map(drop);
        // It is in containerd's own store now; and if it is not, that error says more.
        let _ = std::fs::remove_file(archive);
        imported
    }

    fn configuration(&self, own: &Path) -> String {
        let plugins = plugin_folder().unwrap_or(Path::new("/usr/lib/cni"));
        let path = |path: PathBuf| quoted(&path);
        let run = Path::new(RUN);
        format!(
            r#"version = 3
imports = []
root = {root}
state = {state}
temp = {temp}
disabled_plugins = [
  'io.containerd.nri.v1.nri', 'io.containerd.snapshotter.v1.blockfile', 'io.containerd.snapshotter.v1.devmapper',
  'io.containerd.snapshotter.v1.erofs', 'io.containerd.snapshotter.v1.zfs',
]
[grpc]
address = {socket}
[ttrpc]
address = {ttrpc}
[plugins.'io.containerd.internal.v1.opt']
path = {opt}
[plugins.'io.containerd.shim.v1.manager']
socket_dir = {shims}
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = '{PAUSE_IMAGE}'
[plugins.'io.containerd.cri.v1.runtime']
# Whoever may not lower a process's OOM score must not ask runc to.
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
cdi_spec_dirs = [{cdi}]
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
SystemdCgroup = false
Root = {runc}
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = [{plugins}]
conf_dir = {cni}
use_internal_loopback = true
"#,
            root = path(own.join("root")),
            state = path(run.join("state")),
            temp = path(own.join("temp")),
            socket = path(socket()),
            ttrpc = path(run.join("ttrpc.sock")),
            opt = path(own.join("opt")),
            shims = path(run.join("s")),
            cdi = path(own.join("cdi")),
            runc = path(run.join("runc")),
            plugins = quoted(plugins),
            cni = path(self.folder.join("cni")),
        )
    }
}

/// Where it listens.
pub(super) fn socket() -> PathBuf {
    // The clean-up script knows the shims by this argument.
    Path::new(RUN).join("containerd.sock")
}

/// As a TOML string, which has the escapes of JSON.
fn quoted(path: &Path) -> String {
    serde_json::Value::from(path.to_string_lossy().as_ref()).to_string()
}
