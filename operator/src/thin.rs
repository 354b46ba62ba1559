//! Makes watched objects small: a large cluster's pods must fit into a small operator. Pure.

use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStatus, Node, Pod, PodSpec, PodStatus,
};
use kube::Resource;
use plimsoll_crds::labels;

/// Drops what says who wrote which field.
pub fn metadata<K: Resource>(object: &mut K) {
    let metadata = object.meta_mut();
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
}

/// Keeps of a node what placing needs.
pub fn node(node: &mut Node) {
    metadata(node);
    if let Some(status) = &mut node.status {
        status.images = None;
        status.volumes_attached = None;
        status.volumes_in_use = None;
        status.node_info = None;
    }
    // The kubelet's heartbeat is no news.
    for condition in node.status.iter_mut().flat_map(|status| status.conditions.iter_mut().flatten()) {
        condition.last_heartbeat_time = None;
    }
}

/// Keeps of a pod what it requests, where it stands and how it ended.
pub fn pod(pod: &mut Pod) {
    metadata(pod);
    pod.metadata.annotations = None;
    let ours = pod.metadata.labels.as_ref().is_some_and(|l| l.contains_key(labels::JOB_NAME));
    if !ours {
        pod.metadata.labels = None;
        pod.metadata.owner_references = None;
    }
    pod.spec = pod.spec.take().map(|old| spec(old, ours));
    pod.status = pod.status.take().map(|old| status(old, ours));
}

/// Whether a pod asks for an extended resource.
pub fn holds_devices(pod: &Pod) -> bool {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let resources = containers.filter_map(|container| container.resources.as_ref());
    resources.flat_map(|r| r.requests.iter().chain(&r.limits)).any(|list| list.keys().any(|name| name.contains('/')))
}

fn spec(old: PodSpec, ours: bool) -> PodSpec {
    PodSpec {
        containers: old.containers.into_iter().map(container).collect(),
        init_containers: old.init_containers.map(|list| list.into_iter().map(container).collect()),
        node_name: old.node_name,
        // By these, and by what containers request, a ResourceQuota tells which pods it counts.
        active_deadline_seconds: old.active_deadline_seconds.filter(|_| ours),
        priority_class_name: old.priority_class_name.filter(|_| ours),
        overhead: old.overhead,
        resources: old.resources,
        ..PodSpec::default()
    }
}

fn container(old: Container) -> Container {
    Container { name: old.name, resources: old.resources, restart_policy: old.restart_policy, ..Container::default() }
}

fn status(old: PodStatus, ours: bool) -> PodStatus {
    PodStatus {
        phase: old.phase,
        reason: old.reason,
        message: old.message.filter(|_| ours),
        conditions: old.conditions.filter(|_| ours),
        container_statuses: old
            .container_statuses
            .map(|list| list.into_iter().map(|c| container_status(c, ours)).collect()),
        init_container_statuses: old
            .init_container_statuses
            .map(|list| list.into_iter().map(|c| container_status(c, ours)).collect()),
        ..PodStatus::default()
    }
}

fn container_status(old: ContainerStatus, ours: bool) -> ContainerStatus {
    let state = old.state.map(|state| ContainerState {
        running: state.running.map(|running| ContainerStateRunning { started_at: running.started_at }),
        terminated: state.terminated,
        waiting: state.waiting.filter(|_| ours),
    });
    ContainerStatus {
        name: old.name,
        state,
        resources: old.resources,
        allocated_resources: old.allocated_resources,
        ..ContainerStatus::default()
    }
}
