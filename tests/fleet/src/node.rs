//! One GPU node: its devices, the socket that tells who holds them, and its driver.

mod card;
mod devices;
mod driver;
mod socket;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1 as core;

pub use card::Card;
pub use devices::{Device, Devices, Holder, Load, RESOURCE, Unavailable};
pub use driver::Faults;
pub use socket::{SocketError, serve};

/// kwok plays nodes with this annotation; so do we.
const PLAYED: (&str, &str) = ("kwok.x-k8s.io/node", "fake");
/// A node with this label has a kubelet and containers; its GPUs alone are ours.
const REAL: (&str, &str) = ("plimsoll.dev/real", "true");
/// How many GPUs a real node is to have; a kwok node says so in its status.
const COUNT: &str = "nvidia.com/gpu.count";

/// One node whose GPUs we play, and whose kubelet too unless it is real.
#[derive(Debug)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Label `nvidia.com/gpu.product`; empty without GPUs.
    pub product: String,
    /// It has a kubelet, and its pods run in containers.
    pub is_real: bool,
    folder: PathBuf,
    address: Option<String>,
    devices: Mutex<Devices>,
}

impl Node {
    /// The node of an object, if it is one that we play.
    pub fn of(object: &core::Node, nodes: &Path) -> Option<Self> {
        let note = |key: &str| object.metadata.annotations.as_ref().and_then(|all| all.get(key)).map(String::as_str);
        let label = |key: &str| object.metadata.labels.as_ref().and_then(|all| all.get(key)).map(String::as_str);
        let allocatable = object.status.as_ref().and_then(|status| status.allocatable.as_ref());
        let is_real = label(REAL.0) == Some(REAL.1);
        let count = match is_real {
            true => label(COUNT)?.parse().ok()?,
            false if note(PLAYED.0) == Some(PLAYED.1) => {
                allocatable.and_then(|all| all.get(RESOURCE)?.0.parse().ok()).unwrap_or(0)
            }
            false => return None,
        };
        let name = object.metadata.name.clone()?;
        let product = label("nvidia.com/gpu.product").unwrap_or_default().to_owned();
        let devices = Mutex::new(Devices::of(&name, count));
        let addresses = object.status.as_ref().and_then(|status| status.addresses.as_ref());
        let internal = addresses.and_then(|all| all.iter().find(|address| address.type_ == "InternalIP"));
        let address = internal.map(|address| address.address.clone());
        Some(Self { address, folder: nodes.join(&name), product, is_real, devices, name })
    }

    /// Its devices.
    pub fn devices(&self) -> MutexGuard<'_, Devices> {
        // A holder of the lock only moves values, so that what a panic leaves behind is whole.
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes its folder and installs its driver, for which the given library stands in.
    ///
    /// # Errors
    /// When a folder cannot be made or the library not be copied.
    pub fn prepare(&self, nvml_mock: &Path) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        self.install_driver(nvml_mock)
    }

    /// Whether it has devices at all.
    pub fn has_gpus(&self) -> bool {
        !self.devices().all().is_empty()
    }

    /// Its address, as it stands in pods' statuses.
    pub fn address(&self) -> Option<&str> {
        self.address.as_deref()
    }

    /// Its folder, which holds what its kubelet's folder would.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where its kubelet listens for questions about devices.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("kubelet.sock")
    }

    /// What is wrong with its devices, written by a test.
    pub fn faults(&self) -> PathBuf {
        self.folder.join("faults.json")
    }

    /// The containers that hold devices, by pod, with the UUIDs.
    pub fn holdings(&self) -> BTreeMap<Holder, Vec<String>> {
        let mut holdings: BTreeMap<Holder, Vec<String>> = BTreeMap::new();
        for device in self.devices().all() {
            if let Some(holder) = &device.holder {
                holdings.entry(holder.clone()).or_default().push(device.uuid.clone());
            }
        }
        holdings
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    pub(crate) fn node(folder: &Path, gpus: u32) -> Node {
        let object = json!({
            "metadata": {"name": "h100-0", "annotations": {"kwok.x-k8s.io/node": "fake"},
                "labels": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}},
            "status": {"allocatable": {"nvidia.com/gpu": gpus.to_string()}},
        });
        Node::of(&serde_json::from_value(object).unwrap(), folder).unwrap()
    }

    #[test]
    fn a_node_that_somebody_else_plays_is_left_alone() {
        let object = serde_json::from_value(json!({"metadata": {"name": "real"}})).unwrap();
        assert!(Node::of(&object, Path::new("/x")).is_none());
    }

    #[test]
    fn a_real_node_has_the_devices_that_its_label_says() {
        let labelled = |labels: serde_json::Value| {
            let object = json!({"metadata": {"name": "real-0", "labels": labels}});
            Node::of(&serde_json::from_value(object).unwrap(), Path::new("/x"))
        };
        assert!(labelled(json!({"plimsoll.dev/real": "true"})).is_none(), "not labelled so far");
        let node = labelled(json!({"plimsoll.dev/real": "true", "nvidia.com/gpu.count": "4"})).unwrap();
        assert!(node.is_real);
        assert_eq!(node.devices().all().len(), 4);
    }

    #[test]
    fn a_node_has_the_devices_that_it_says_it_has() {
        let node = node(Path::new("/x"), 8);
        assert_eq!(node.devices().all().len(), 8);
        assert_eq!(node.socket(), Path::new("/x/h100-0/kubelet.sock"));
    }
}
