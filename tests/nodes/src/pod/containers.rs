//! The containers of a pod: who asks for devices.

use k8s_openapi::api::core::v1::{Container, Pod};

use crate::node::{Holder, RESOURCE};

/// Devices that a container asks for.
pub fn gpus(container: &Container) -> u32 {
    let limits = container.resources.as_ref().and_then(|resources| resources.limits.as_ref());
    limits.and_then(|limits| limits.get(RESOURCE)?.0.parse().ok()).unwrap_or(0)
}

/// The container that trains: the one that has devices, else the first.
pub fn trainer(pod: &Pod) -> Option<&Container> {
    let containers = &pod.spec.as_ref()?.containers;
    containers.iter().find(|container| gpus(container) > 0).or_else(|| containers.first())
}

/// The containers that ask for devices, with how many each wants.
pub fn wanted_devices(pod: &Pod) -> Vec<(Holder, u32)> {
    let metadata = &pod.metadata;
    let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let holder = |container: &Container| Holder {
        uid: metadata.uid.clone().unwrap_or_default(),
        namespace: metadata.namespace.clone().unwrap_or_default(),
        pod: metadata.name.clone().unwrap_or_default(),
        container: container.name.clone(),
    };
    let wanted = containers.iter().map(|container| (holder(container), gpus(container)));
    wanted.filter(|(_, count)| *count > 0).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_container_with_devices_is_the_trainer() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {"containers": [
                {"name": "side"},
                {"name": "train", "resources": {"limits": {"nvidia.com/gpu": "4"}}},
            ]},
        }))
        .unwrap();
        assert_eq!(trainer(&pod).unwrap().name, "train");
        let wanted = wanted_devices(&pod);
        assert_eq!((wanted.len(), wanted[0].0.container.as_str(), wanted[0].1), (1, "train", 4));
    }
}
