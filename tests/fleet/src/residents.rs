//! Pods of a real node: which of its devices they hold, and what they do with them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use plimsoll_agent::attribution::{Attribution, PodResources};
use plimsoll_crds::accelerator_node::Holder as Container;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::node::{Holder, Load, Node};
use crate::training;
use crate::truth::Truth;
use crate::world::World;

/// How often the kubelet is asked at least.
const PERIOD: Duration = Duration::from_secs(1);

/// The pods of a real node, by UID.
pub(crate) type Residents = BTreeMap<String, Arc<Pod>>;

/// Gives the devices of a real node the holders that its kubelet names and the load that they make, until it is dropped.
pub(crate) async fn follow(world: Arc<World>, node: Arc<Node>, mut pods: watch::Receiver<Residents>) {
    let Some(folder) = &world.spec.pod_resources_folder else {
        tracing::warn!(node = node.name, "devices stay idle: nobody says where the kubelet tells who holds them");
        return;
    };
    let mut kubelet = PodResources::at(&folder.join("kubelet.sock"));
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut silent = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            changed = pods.changed() => if changed.is_err() { return },
        }
        match kubelet.ask().await {
            Ok(Attribution::Known(holders)) => {
                silent = false;
                let uses = uses(&world.truth, &node.product, &holders, &pods.borrow_and_update());
                node.devices().assign(&uses);
            }
            Ok(Attribution::Unknown) => {}
            // Containers run on while their kubelet does not, and so does what they do.
            Err(error) => {
                if !std::mem::replace(&mut silent, true) {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(node = node.name, error, "the kubelet does not say who holds devices");
                }
            }
        }
    }
}

/// Who holds what and what it does, by UUID of the device.
fn uses(
    truth: &Truth,
    product: &str,
    holders: &BTreeMap<String, Vec<Container>>,
    pods: &Residents,
) -> BTreeMap<String, (Holder, Load)> {
    let used = |(uuid, containers): (&String, &Vec<Container>)| {
        let container = containers.first()?;
        let is_it = |pod: &&Arc<Pod>| {
            pod.metadata.name.as_ref() == Some(&container.pod)
                && pod.metadata.namespace.as_ref() == Some(&container.namespace)
        };
        let pod = pods.values().find(is_it);
        let holder = Holder {
            uid: pod.and_then(|pod| pod.metadata.uid.clone()).unwrap_or_default(),
            namespace: container.namespace.clone(),
            pod: container.pod.clone(),
            container: container.container.clone(),
        };
        let load = pod.and_then(|pod| training::load(truth, product, pod)).unwrap_or_default();
        Some((uuid.clone(), (holder, load)))
    };
    holders.iter().filter_map(used).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, labels: serde_json::Value, phase: &str) -> (String, Arc<Pod>) {
        let pod = json!({
            "metadata": {"name": name, "namespace": "ns", "uid": name, "labels": labels,
                "annotations": {"fleet.plimsoll.dev/profile": "host"}},
            "spec": {"containers": [{"name": "train", "resources": {"limits": {"nvidia.com/gpu": "1"}},
                "env": [{"name": "BATCH", "value": "16"}, {"name": "PLIMSOLL_MICRO_BATCH", "value": "$(BATCH)"}]}]},
            "status": {"phase": phase},
        });
        (name.to_owned(), Arc::new(serde_json::from_value(pod).unwrap()))
    }

    #[test]
    fn only_a_job_that_runs_makes_its_devices_work() {
        let job = || json!({"plimsoll.dev/job-name": "f"});
        let pods =
            [pod("trains", job(), "Running"), pod("starts", job(), "Pending"), pod("guest", json!({}), "Running")];
        let held = |name: &str| {
            let container = Container { namespace: "ns".into(), pod: name.into(), container: "train".into() };
            (format!("GPU-{name}"), vec![container])
        };
        let holders = ["trains", "starts", "guest", "unseen"].map(held).into();
        for file in ["default.yaml", "other.yaml"] {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("truth");
            let truth = Truth::load(&folder.join(file), 0).unwrap();
            let uses = uses(&truth, "NVIDIA-L4", &holders, &pods.clone().into());
            let load = |name: &str| uses[&format!("GPU-{name}")].1;
            assert!((0.6..0.9).contains(&load("trains").sm), "{file}: {:?}", load("trains"));
            assert!(load("trains").memory_bytes > 1 << 30 && load("trains").memory_bytes < 22 << 30);
            for idle in ["starts", "guest", "unseen"] {
                assert_eq!(load(idle), Load::default(), "{idle}");
            }
            assert_eq!((uses["GPU-guest"].0.uid.as_str(), uses["GPU-unseen"].0.uid.as_str()), ("guest", ""));
        }
    }
}
