//! One real node beside the fake ones: containerd, kubelet, kube-proxy and CoreDNS, with cgroups, a pod network, Services
//! and their names.
//!
//! A machine has room for one, since Kubernetes fixes some names for all of it: the cgroup `kubepods`, the nft tables
//! `kube-proxy`, the folder of device plugins. [`RUN`] is that one place, and is taken by making it.

mod clean_up;
mod containerd;
mod dns;
mod kube_proxy;
mod kubelet;
mod network;
mod place;
mod preflight;

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use kube::Client;
pub use plimsoll_images::Image;

pub use self::clean_up::CleanUpError;
pub(crate) use self::clean_up::{clean_up, end_containers};
use self::containerd::Containerd;
pub(crate) use self::containerd::NAME as CONTAINERD;
use self::kubelet::Kubelet;
pub(crate) use self::kubelet::{client_certificate, pod_resources};
pub use self::place::PlaceError;
pub use self::preflight::missing;
use crate::credentials::CredentialsError;
use crate::crew::{Crew, CrewError};
use crate::ports;
use crate::spec::Gpus;
use crate::toolchain::{NodeTools, Toolchain, ToolchainError};
use crate::{Progress, Release};

/// The real node's name.
pub const NODE: &str = "real-0";
/// Where device plugins meet the kubelet: a place that Kubernetes fixes for the whole machine.
pub const DEVICE_PLUGINS: &str = "/var/lib/kubelet/device-plugins";
/// The user as which the kubelet speaks; the node authorizer lets it do what concerns its own node.
const USER: &str = "system:node:real-0";
/// Users beside those of the control plane, with their groups.
pub(crate) const USERS: [(&str, &str); 3] =
    [(USER, "system:nodes"), ("system:kube-proxy", "system:authenticated"), (dns::USER, "system:authenticated")];
/// Where apiserver, kubelet and DNS listen: an address of this machine only, which pods can reach and 127.0.0.1 is not.
pub(crate) const ADDRESS: &str = "198.19.77.1";
/// Sockets and run-time state. Short, since a socket's path may have 107 bytes, and some have 42 for their folder.
const RUN: &str = "/run/plimsoll-node";
/// Name of the pod network.
const NETWORK: &str = "plimsoll-node";
/// Addresses of pods.
const PODS: &str = "10.244.0.0/24";
const DNS_BOUND: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);

/// Why there is no real node.
#[derive(Debug, thiserror::Error)]
pub enum RealNodeError {
    /// Something has to be installed, or this is not root.
    #[error("failed to start a real node: {} missing (Debian: apt-get install {})", .0.join(", "), preflight::PACKAGES)]
    Missing(Vec<String>),
    /// The cluster has none.
    #[error("failed to find a real node in this cluster: it was started without one")]
    None,
    /// Its programs were not built.
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    /// Its processes did not start.
    #[error(transparent)]
    Crew(#[from] Box<CrewError>),
    /// No port is free.
    #[error("failed to find free ports for the real node")]
    Ports(#[source] io::Error),
    /// The machine's one place is taken.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The apiserver refused to let DNS in.
    #[error("failed to create the role of the cluster's DNS")]
    Dns(#[source] Box<kube::Error>),
    /// A file was not written.
    #[error("failed to write {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// An image has a file with too long a path.
    #[error(transparent)]
    Image(#[from] plimsoll_images::NameTooLong),
    /// A key was not written.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// A certificate was not made.
    #[error("failed to make the apiserver's client certificate")]
    Certificate(#[source] rcgen::Error),
    /// A program could not be run.
    #[error("failed to run {program}")]
    Run {
        /// The program.
        program: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A program did not do what it was to do.
    #[error("failed to {what}: {complaint}")]
    Refused {
        /// What it was to do.
        what: &'static str,
        /// What it said.
        complaint: String,
    },
}

/// Says where its programs are, once everything else that it needs is there.
pub(crate) async fn tools(release: Release, progress: Progress<'_>) -> Result<NodeTools, RealNodeError> {
    let missing = missing();
    if !missing.is_empty() {
        return Err(RealNodeError::Missing(missing));
    }
    Ok(Toolchain::from_environment()?.build_node(release, progress).await?)
}

/// Why there can be no real node here and now, if so.
pub(crate) fn hindrance() -> Option<RealNodeError> {
    match missing() {
        missing if missing.is_empty() => place::hindrance().map(RealNodeError::Place),
        missing => Some(RealNodeError::Missing(missing)),
    }
}

/// Takes the machine's place and sets up what the apiserver needs: its address, and its certificate for the kubelet.
pub(crate) fn prepare(folder: &Path) -> Result<(), RealNodeError> {
    place::take(folder)?;
    kubelet::write_client_certificate(folder)?;
    network::set_up(folder)
}

/// Starts the node's processes, in the order in which they can be ended from the back.
pub(crate) async fn start(
    crew: &mut Crew,
    tools: &NodeTools,
    gpus: Option<&Gpus>,
    client: &Client,
) -> Result<(), RealNodeError> {
    // Without symbolic links, as the kernel lists mounts and as the clean-up looks for them.
    let folder = crew.folder.canonicalize().unwrap_or_else(|_| crew.folder.clone());
    let containerd = Containerd { tools, folder: &folder };
    spawn(crew, CONTAINERD, containerd.command()?)?;
    let pause = pause_image(&folder)?;
    containerd.listening().await?;
    containerd.import(&pause)?;
    let [port, health, metrics] = ports::free_ports().map_err(RealNodeError::Ports)?;
    spawn(crew, "kube-proxy", kube_proxy::command(tools, &folder, [health, metrics]))?;
    dns::allow(client).await?;
    spawn(crew, dns::NAME, dns::command(tools, &folder)?)?;
    spawn(crew, "kubelet", Kubelet { tools, folder: &folder, port, gpus }.command()?)?;
    names_are_known(crew).await
}

/// Waits until DNS answers, or a process has ended, of which the caller knows more to say.
async fn names_are_known(crew: &Crew) -> Result<(), RealNodeError> {
    let deadline = Instant::now() + DNS_BOUND;
    while !dns::answers() && crew.first_dead().is_none() {
        if Instant::now() >= deadline {
            let complaint = format!("it does not answer after {DNS_BOUND:?}; see its log");
            return Err(RealNodeError::Refused { what: "start CoreDNS", complaint });
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// Makes an image known to a running real node. Blocks.
pub(crate) fn import(tools: &NodeTools, folder: &Path, image: &Image) -> Result<(), RealNodeError> {
    Containerd { tools, folder }.import(image)
}

fn spawn(crew: &mut Crew, name: &str, command: Command) -> Result<(), RealNodeError> {
    crew.spawn(name, command).map_err(|error| RealNodeError::Crew(Box::new(error)))
}

/// The first container of every pod, which holds the pod's namespaces: one static program.
fn pause_image(folder: &Path) -> Result<Image, RealNodeError> {
    let (source, program) = (folder.join("pause.c"), folder.join("pause"));
    write(&source, include_bytes!("../config/pause.c"))?;
    let mut cc = Command::new("cc");
    cc.args(["-static", "-Os", "-s", "-o"]).arg(&program).arg(&source);
    run("compile the pause program", &mut cc)?;
    let bytes = std::fs::read(&program).map_err(|source| RealNodeError::Write { path: program, source })?;
    Ok(Image::new(containerd::PAUSE_IMAGE).file("pause", bytes).command(["/pause"]))
}

/// Runs a program to its end and returns what it printed.
fn run(what: &'static str, command: &mut Command) -> Result<String, RealNodeError> {
    let output = command.output().map_err(|source| {
        let program = command.get_program().to_string_lossy().into_owned();
        RealNodeError::Run { program, source }
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(RealNodeError::Refused { what, complaint: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
}

fn create_folder(path: &Path) -> Result<(), RealNodeError> {
    std::fs::create_dir_all(path).map_err(|source| RealNodeError::Write { path: path.to_owned(), source })
}

fn write(path: &Path, content: &[u8]) -> Result<(), RealNodeError> {
    std::fs::write(path, content).map_err(|source| RealNodeError::Write { path: path.to_owned(), source })
}
