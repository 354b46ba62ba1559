//! A real Kubernetes control plane on this machine, for tests and demos.
//!
//! etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok run as ordinary processes on 127.0.0.1: no
//! container engine, no root, no image; Linux only, since /proc tells processes apart. Nodes are fake: kwok plays their
//! kubelet. Pods of a training job and of Plimsoll itself (labels `plimsoll.dev/job-name`, `app.kubernetes.io/part-of:
//! plimsoll`) are scheduled but never played, so that a test can write what their containers do.
//!
//! With [`ClusterSpec::with_real_node`] one real node stands beside them, called [`REAL_NODE`] and labelled
//! `plimsoll.dev/real: "true"`: kubelet, containerd, runc and kube-proxy, so that containers run, Services answer and
//! cgroups end what takes too much memory. It needs root and some packages ([`real_node_missing`]), and takes images by
//! [`Cluster::import_image`] only.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use plimsoll_test_cluster::{Cluster, ClusterSpec, Toolchain, quiet};
//!
//! let tools = Toolchain::ensure(quiet()).await?;
//! let cluster = Cluster::up(ClusterSpec::demo()?.named("mine")?, &tools, quiet()).await?;
//! let client = cluster.client().await?;
//! cluster.down().await?;
//! # Ok(())
//! # }
//! ```

mod cluster;
mod components;
mod credentials;
mod crew;
mod janitor;
mod nodes;
mod ports;
mod process;
mod real_node;
mod release;
mod spec;
mod state;
mod toolchain;

use std::path::{Path, PathBuf};

pub use cluster::{Cluster, ClusterError, Signal};
pub use credentials::CredentialsError;
pub use crew::CrewError;
pub use nodes::NodesError;
pub use real_node::{
    CleanUpError, DEVICE_PLUGINS, Image, NODE as REAL_NODE, PlaceError, RealNodeError, missing as real_node_missing,
};
pub use release::{Release, UnknownRelease};
pub use spec::{ClusterSpec, Gpus, NodeGroup, SpecError, Taint};
pub use state::StateError;
pub use toolchain::{BuildError, ModuleError, Toolchain, ToolchainError, Tools};

/// Takes one line about what is going on, for a person to read.
pub type Progress<'a> = &'a (dyn Fn(&str) + Sync);

/// Takes such lines and says nothing.
pub fn quiet() -> Progress<'static> {
    &|_| {}
}

/// The checkout that this crate was built from.
fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("/")).to_owned()
}
