//! How a pod ended, or is certain to end. Pure.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodStatus};
use plimsoll_lifecycle::{ContainerEnd, Outcome};

/// Reasons by which a kubelet or the control plane says that it took a pod away.
const EVICTED: [&str; 6] = ["Evicted", "Preempting", "NodeLost", "NodeShutdown", "Shutdown", "Terminated"];

/// How the trainer of a pod ended, if it has, or if it is certain to end so. `node_lost` says that its node is gone.
pub(super) fn outcome(pod: &Pod, trainer: Option<&ContainerStatus>, node_lost: bool) -> Option<Outcome> {
    let unknown = PodStatus::default();
    let status = pod.status.as_ref().unwrap_or(&unknown);
    let reason = status.reason.as_deref().unwrap_or_default();
    let words = status.message.as_deref().unwrap_or_default();
    let since = taken_away_since(pod);
    // Where we delete pods ourselves, nobody listens to how they end.
    let taken = since.is_some() || EVICTED.contains(&reason);
    // Taken away by the cluster comes first: then the node had accepted it.
    if since.is_none() && !node_lost && is_refused(status) {
        return Some(Outcome::refused_by_node(reason, words));
    }
    let before = |end: &ContainerStateTerminated| {
        since.is_some_and(|since| end.finished_at.as_ref().is_some_and(|finished| finished.0 < since))
    };
    if let Some(end) = trainer.and_then(ended) {
        // A node that goes afterwards takes nothing back that had ended well.
        let disrupted = (taken && !before(end)) || (node_lost && end.exit_code != 0);
        return Some(Outcome::of(&container_end(end, disrupted)));
    }
    let init = failed_init(pod, status);
    if (taken && !init.is_some_and(|(_, end)| before(end))) || node_lost {
        return Some(Outcome::Disrupted);
    }
    if let Some((name, end)) = init {
        return Some(Outcome::init_failed(name, &container_end(end, false)));
    }
    // It ended before its trainer had a status.
    (status.phase.as_deref() == Some("Failed")).then(|| {
        Outcome::of(&ContainerEnd { exit_code: -1, reason, message: &format!("{reason}: {words}"), disrupted: false })
    })
}

/// Whether a container has started, and may have ended. The kubelet writes ContainerStatusUnknown for one that it cannot
/// find; without a time it never was.
pub(super) fn has_run(state: &ContainerState) -> bool {
    let found = |end: &ContainerStateTerminated| {
        end.reason.as_deref() != Some("ContainerStatusUnknown") || end.started_at.is_some()
    };
    state.running.is_some() || state.terminated.as_ref().is_some_and(found)
}

/// Whether an init container runs beside the others: a sidecar, which is started again and has no end of its own.
pub(super) fn is_sidecar(pod: &Pod, init_container: &str) -> bool {
    let init = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    init.filter(|c| c.restart_policy.as_deref() == Some("Always")).any(|c| c.name == init_container)
}

/// Since when somebody takes a pod away: it is deleted, or marked as a target of a disruption.
fn taken_away_since(pod: &Pod) -> Option<Timestamp> {
    let grace = SignedDuration::from_secs(pod.metadata.deletion_grace_period_seconds.unwrap_or(0));
    let deleted = pod.metadata.deletion_timestamp.as_ref().map(|end| end.0.checked_sub(grace).unwrap_or(end.0));
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let marked = conditions.filter(|c| c.type_ == "DisruptionTarget" && c.status == "True");
    // A condition without a time is no later than anything.
    let marked = marked.map(|c| c.last_transition_time.as_ref().map_or(Timestamp::MIN, |time| time.0));
    deleted.into_iter().chain(marked).min()
}

/// Whether the kubelet refused a pod (UnexpectedAdmissionError, OutOfnvidia.com/gpu, NodeAffinity, Evicted, ...): it failed
/// with a reason before any of its containers ran. A deadline of the pod's own is the user's.
fn is_refused(status: &PodStatus) -> bool {
    let reason = status.reason.as_deref().unwrap_or_default();
    let containers = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    let ran = containers.filter_map(|container| container.state.as_ref()).any(has_run);
    status.phase.as_deref() == Some("Failed") && !matches!(reason, "" | "DeadlineExceeded") && !ran
}

/// The init container by which a pod failed. The trainer of such a pod never ran.
fn failed_init<'a>(pod: &Pod, status: &'a PodStatus) -> Option<(&'a str, &'a ContainerStateTerminated)> {
    if status.phase.as_deref() != Some("Failed") {
        return None;
    }
    let mut ends = status.init_container_statuses.iter().flatten().filter_map(|init| Some((init, ended(init)?)));
    ends.find(|(init, end)| end.exit_code != 0 && !is_sidecar(pod, &init.name))
        .map(|(init, end)| (init.name.as_str(), end))
}

fn ended(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    container.state.as_ref()?.terminated.as_ref()
}

fn container_end(end: &ContainerStateTerminated, disrupted: bool) -> ContainerEnd<'_> {
    ContainerEnd {
        exit_code: end.exit_code,
        reason: end.reason.as_deref().unwrap_or_default(),
        message: end.message.as_deref().unwrap_or_default(),
        disrupted,
    }
}
