//! One pod on a played node: what is seen of it, who plays it, and how it goes away.

pub(crate) mod contents;
pub(crate) mod environment;
pub(crate) mod mounts;
pub(crate) mod status;
mod write;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};
use plimsoll_crds::labels;
use tokio::sync::watch;

use crate::node::{Holder, Node, RESOURCE};
use crate::world::World;

/// Annotation that names the container which people mean.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// Who plays a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A pod of a training job.
    Job,
    /// A pod of Plimsoll itself.
    System,
    /// Somebody else's: kwok plays it; its devices are ours to hand out.
    Guest,
}

/// What is known of a pod at a moment.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The object.
    pub(crate) pod: Arc<Pod>,
    /// Its node does not exist any more.
    pub(crate) node_gone: bool,
}

/// Why a pod has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Somebody deleted it; it has so much time.
    Deleted(Duration),
    /// The object or its node is gone: nobody is there to be told of the end.
    Gone,
    /// The fleet ends; the pod's status stays as it is.
    FleetStops,
}

/// Follows one pod.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    seen: watch::Receiver<Seen>,
    stop: watch::Receiver<bool>,
}

impl Kind {
    /// Who plays a pod.
    pub(crate) fn of(pod: &Pod) -> Self {
        let labels = pod.metadata.labels.as_ref();
        let label = |key: &str| labels.and_then(|labels| labels.get(key));
        match (label(labels::JOB_NAME), label(labels::PART_OF)) {
            (Some(_), _) => Self::Job,
            (None, Some(part)) if part == "plimsoll" => Self::System,
            _ => Self::Guest,
        }
    }
}

impl Sight {
    /// Follows a pod until the fleet ends.
    pub(crate) fn new(seen: watch::Receiver<Seen>, stop: watch::Receiver<bool>) -> Self {
        Self { seen, stop }
    }

    /// The pod as it was seen last.
    pub(crate) fn pod(&self) -> Arc<Pod> {
        Arc::clone(&self.seen.borrow().pod)
    }

    /// Waits until the pod has to end. May be dropped and called again.
    pub(crate) async fn ending(&mut self) -> Ending {
        loop {
            if *self.stop.borrow() {
                return Ending::FleetStops;
            }
            {
                let seen = self.seen.borrow_and_update();
                if seen.node_gone {
                    return Ending::Gone;
                }
                if seen.pod.metadata.deletion_timestamp.is_some() {
                    let grace = seen.pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
                    return Ending::Deleted(Duration::from_secs(u64::try_from(grace).unwrap_or(0)));
                }
            }
            tokio::select! {
                changed = self.seen.changed() => if changed.is_err() { return Ending::Gone },
                stopped = self.stop.changed() => if stopped.is_err() { return Ending::FleetStops },
            }
        }
    }

    /// Waits until the object is gone.
    async fn gone(&mut self) {
        loop {
            if *self.stop.borrow() || self.seen.borrow_and_update().node_gone {
                return;
            }
            tokio::select! {
                changed = self.seen.changed() => if changed.is_err() { return },
                stopped = self.stop.changed() => if stopped.is_err() { return },
            }
        }
    }
}

/// Plays a pod from its binding to its end.
pub(crate) async fn play(world: Arc<World>, node: Arc<Node>, mut sight: Sight) {
    let pod = sight.pod();
    match Kind::of(&pod) {
        _ if is_over(&pod) => {}
        Kind::Job => crate::training::play(&world, &node, &mut sight).await,
        Kind::System => crate::system::play(&world, &node, &mut sight).await,
        Kind::Guest => return hold_for_guest(&world, &node, &mut sight).await,
    }
    if Kind::of(&pod) != Kind::Guest {
        bury(&world, &mut sight).await;
    }
}

/// The kubelet's last word on a pod that has ended: once it is deleted, the object goes, or stays for its finalizers.
async fn bury(world: &World, sight: &mut Sight) {
    if let Ending::Deleted(_) = sight.ending().await {
        world.remove(&sight.pod()).await;
        sight.gone().await;
    }
}

/// Devices of a pod that kwok plays: the agent shall see that they are held.
async fn hold_for_guest(world: &World, node: &Node, sight: &mut Sight) {
    let pod = sight.pod();
    if wanted(&pod).iter().all(|(_, count)| *count == 0) {
        return;
    }
    admit(world, node, &pod);
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    while !is_over(&sight.pod()) && !sight.seen.borrow().node_gone {
        tokio::select! {
            changed = sight.seen.changed() => if changed.is_err() { break },
            _ = sight.stop.wait_for(|stop| *stop) => break,
        }
    }
    node.devices().release(&uid);
}

/// Gives a pod its devices. False when there are too few, which no scheduler may let happen.
pub(crate) fn admit(world: &World, node: &Node, pod: &Pod) -> bool {
    let given = node.devices().allocate(&wanted(pod));
    if let Err(error) = &given {
        world.record.overcommitted();
        let pod = pod.metadata.name.as_deref().unwrap_or_default();
        tracing::error!(pod, node = node.name, %error, "a node was given more than it has");
    }
    given.is_ok()
}

/// Devices that the containers of a pod ask for.
fn wanted(pod: &Pod) -> Vec<(Holder, u32)> {
    let metadata = &pod.metadata;
    let holder = |container: &Container| Holder {
        uid: metadata.uid.clone().unwrap_or_default(),
        namespace: metadata.namespace.clone().unwrap_or_default(),
        pod: metadata.name.clone().unwrap_or_default(),
        container: container.name.clone(),
    };
    containers(pod).iter().map(|container| (holder(container), gpus(container))).collect()
}

/// Devices that a container asks for.
pub(crate) fn gpus(container: &Container) -> u32 {
    let limits = container.resources.as_ref().and_then(|resources| resources.limits.as_ref());
    limits.and_then(|limits| limits.get(RESOURCE)?.0.parse().ok()).unwrap_or(0)
}

/// Containers of a pod.
pub(crate) fn containers(pod: &Pod) -> &[Container] {
    pod.spec.as_ref().map_or(&[], |spec| spec.containers.as_slice())
}

/// The container that trains: the one with devices, else the one that people mean, else the first.
pub(crate) fn trainer(pod: &Pod) -> Option<&Container> {
    let all = containers(pod);
    let meant = pod.metadata.annotations.as_ref().and_then(|all| all.get(DEFAULT_CONTAINER));
    let by_name = || all.iter().find(|container| Some(&container.name) == meant);
    all.iter().find(|container| gpus(container) > 0).or_else(by_name).or_else(|| all.first())
}

/// Whether a pod's containers run, as its status has it.
pub(crate) fn is_running(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
}

/// Whether a pod has ended.
pub(crate) fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(value: serde_json::Value) -> Pod {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn labels_tell_who_plays_a_pod() {
        let of = |labels: serde_json::Value| Kind::of(&pod(json!({"metadata": {"labels": labels}})));
        assert_eq!(of(json!({"plimsoll.dev/job-name": "a", "app.kubernetes.io/part-of": "plimsoll"})), Kind::Job);
        assert_eq!(of(json!({"app.kubernetes.io/part-of": "plimsoll"})), Kind::System);
        assert_eq!(of(json!({"app.kubernetes.io/part-of": "kueue"})), Kind::Guest);
        assert_eq!(of(json!({})), Kind::Guest);
    }

    #[test]
    fn the_container_with_devices_trains() {
        let pod = pod(json!({"spec": {"containers": [
            {"name": "proxy"}, {"name": "train", "resources": {"limits": {"nvidia.com/gpu": "4"}}}]}}));
        assert_eq!(trainer(&pod).unwrap().name, "train");
        assert_eq!(wanted(&pod).iter().map(|(_, count)| *count).collect::<Vec<_>>(), [0, 4]);
    }

    #[tokio::test]
    async fn a_deletion_is_an_ending_with_its_grace_and_a_lost_node_with_none() {
        let (stop, stopped) = watch::channel(false);
        let live = Arc::new(pod(json!({"metadata": {"name": "a"}})));
        let (sender, receiver) = watch::channel(Seen { pod: live.clone(), node_gone: false });
        let mut sight = Sight::new(receiver, stopped);
        let dying = pod(json!({"metadata": {"name": "a",
            "deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30}}));
        sender.send_replace(Seen { pod: Arc::new(dying), node_gone: false });
        assert_eq!(sight.ending().await, Ending::Deleted(Duration::from_secs(30)));
        sender.send_replace(Seen { pod: live.clone(), node_gone: true });
        assert_eq!(sight.ending().await, Ending::Gone);
        sender.send_replace(Seen { pod: live, node_gone: false });
        stop.send_replace(true);
        assert_eq!(sight.ending().await, Ending::FleetStops);
    }
}
