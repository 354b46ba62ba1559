//! Which containers hold which devices, as the kubelet says.

mod client;
mod device_id;
pub mod pod_resources;
mod poller;

use std::collections::BTreeMap;

use plimsoll_crds::accelerator_node::Holder;

pub use client::{AskError, PodResources};
pub use device_id::DeviceId;
pub use poller::Poller;

use crate::driver::Identity;

/// Who holds what on this node.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Attribution {
    /// The kubelet has not said, or not for too long. Nothing may be called free.
    #[default]
    Unknown,
    /// The holders by device id, a share of a device counted as the device; a device that is absent is free.
    Known(BTreeMap<String, Vec<Holder>>),
}

impl Attribution {
    /// Reads the kubelet's answer.
    #[must_use]
    pub fn of(answer: pod_resources::ListPodResourcesResponse) -> Self {
        let mut holders = BTreeMap::<String, Vec<Holder>>::new();
        for pod in answer.pod_resources {
            for container in pod.containers {
                let ids = container.devices.into_iter().flat_map(|devices| devices.device_ids);
                for device in ids.filter_map(|id| DeviceId::parse(&id)) {
                    let holder = Holder {
                        namespace: pod.namespace.clone(),
                        pod: pod.name.clone(),
                        container: container.name.clone(),
                    };
                    let known = holders.entry(device.into_uuid()).or_default();
                    if !known.contains(&holder) {
                        known.push(holder);
                    }
                }
            }
        }
        for known in holders.values_mut() {
            // The kubelet's order is that of a map. Ours must not change while the holders do not.
            known.sort_by(|a, b| (&a.namespace, &a.pod, &a.container).cmp(&(&b.namespace, &b.pod, &b.container)));
        }
        Self::Known(holders)
    }

    /// Whether the kubelet has said.
    #[must_use]
    pub fn is_known(&self) -> bool {
        matches!(self, Self::Known(_))
    }

    /// The holders of a device; none while unknown, so ask [`Attribution::is_known`] before calling it free.
    #[must_use]
    pub fn holders(&self, uuid: &str) -> &[Holder] {
        match self {
            Self::Unknown => &[],
            Self::Known(holders) => holders.get(uuid).map_or(&[], Vec::as_slice),
        }
    }

    /// The holders of a device and of its MIG instances. A device of which one instance is held is not free.
    #[must_use]
    pub fn holders_of(&self, device: &Identity) -> Vec<Holder> {
        let mut holders = self.holders(&device.uuid).to_vec();
        for instance in &device.instances {
            holders.extend_from_slice(self.holders(instance));
        }
        holders
    }

    /// Every holding, by device id.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Holder)> {
        let known = match self {
            Self::Unknown => None,
            Self::Known(holders) => Some(holders),
        };
        known
            .into_iter()
            .flatten()
            .flat_map(|(uuid, holders)| holders.iter().map(move |holder| (uuid.as_str(), holder)))
    }
}

#[cfg(test)]
mod tests {
    use super::pod_resources::{ContainerDevices, ContainerResources, ListPodResourcesResponse, PodResources};
    use super::*;

    fn pod(name: &str, ids: &[&str]) -> PodResources {
        let device_ids = ids.iter().map(ToString::to_string).collect();
        let devices = vec![ContainerDevices { resource_name: "nvidia.com/gpu".to_owned(), device_ids }];
        let containers = vec![ContainerResources { name: "train".to_owned(), devices }];
        PodResources { name: name.to_owned(), namespace: "lab".to_owned(), containers }
    }

    #[test]
    fn shares_of_one_device_are_holders_of_it_in_a_stable_order() {
        let pods = vec![
            pod("b", &["GPU-1::0", "GPU-1::1"]),
            pod("a", &["GPU-1::2", "MIG-7", "some-nic"]),
            pod("c", &["GPU-2"]),
            pod("no-devices", &[]),
        ];
        let attribution = Attribution::of(ListPodResourcesResponse { pod_resources: pods });
        let pods = |uuid| attribution.holders(uuid).iter().map(|holder| holder.pod.as_str()).collect::<Vec<_>>();
        assert_eq!(pods("GPU-1"), ["a", "b"]);
        assert_eq!(pods("GPU-2"), ["c"]);
        assert_eq!(pods("MIG-7"), ["a"]);
        assert!(pods("GPU-3").is_empty() && pods("some-nic").is_empty());
        assert_eq!(attribution.all().count(), 4);
    }

    #[test]
    fn nobody_and_unknown_are_not_the_same() {
        let empty = Attribution::of(ListPodResourcesResponse::default());
        assert!(empty.is_known() && empty.holders("GPU-1").is_empty());
        assert!(!Attribution::Unknown.is_known());
    }
}
