//! The pods of one revision, read: who is bound, who runs, who has ended and how. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodCondition};
use plimsoll_crds::labels;
use plimsoll_lifecycle::{ContainerEnd, Outcome};

/// All pods of a job, by revision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gang {
    /// Pods of the live revision, by index.
    pub members: BTreeMap<u32, Member>,
    /// Pods of earlier revisions.
    pub leftovers: Vec<Member>,
}

/// One pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its revision.
    pub revision: u32,
    /// It stands on a node.
    pub bound: bool,
    /// Its trainer has started (and may have ended).
    pub started: bool,
    /// How its trainer ended, if it has, or if it is certain to end so.
    pub outcome: Option<Outcome>,
    /// It can run no more.
    pub is_final: bool,
    /// Somebody deleted it.
    pub deleting: bool,
    /// It has our finalizer.
    pub kept: bool,
}

impl Gang {
    /// Reads the pods of one job. `live` is its live revision; pods of later revisions are not known yet and are left
    /// alone. `nodes` are the nodes that exist: a pod on one that is gone runs no more.
    pub fn read(pods: &[Arc<Pod>], live: u32, trainer: Option<&str>, nodes: &BTreeSet<&str>) -> Self {
        let mut gang = Self::default();
        for pod in pods {
            let Some((revision, index)) = place(pod) else { continue };
            if revision > live {
                continue;
            }
            let member = Member::read(pod, revision, trainer, nodes);
            if revision == live {
                gang.members.insert(index, member);
            } else {
                gang.leftovers.push(member);
            }
        }
        gang
    }

    /// Every pod, of any revision.
    pub fn all(&self) -> impl Iterator<Item = &Member> {
        self.members.values().chain(&self.leftovers)
    }

    /// Whether no pod can run or write any more.
    pub fn is_gone(&self) -> bool {
        self.all().all(|member| member.is_final)
    }

    /// Whether all `pods` pods are bound.
    pub fn is_bound(&self, pods: u32) -> bool {
        pods > 0 && (0..pods).all(|index| self.members.get(&index).is_some_and(|member| member.bound))
    }

    /// Whether the trainers of all `pods` pods have started.
    pub fn is_started(&self, pods: u32) -> bool {
        pods > 0 && (0..pods).all(|index| self.members.get(&index).is_some_and(|member| member.started))
    }

    /// How trainers ended, by pod index. Once all pods were seen, one that is not there was taken away.
    pub fn outcomes(&self, pods: u32, all_were_seen: bool) -> Vec<Outcome> {
        (0..pods)
            .filter_map(|index| match self.members.get(&index) {
                Some(member) => member.outcome.clone(),
                None => all_were_seen.then_some(Outcome::Disrupted),
            })
            .collect()
    }
}

impl Member {
    fn read(pod: &Pod, revision: u32, trainer: Option<&str>, nodes: &BTreeSet<&str>) -> Self {
        let metadata = &pod.metadata;
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).filter(|name| !name.is_empty());
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
        let deleting = metadata.deletion_timestamp.is_some();
        let node_lost = node.is_some_and(|name| !nodes.contains(name));
        let status = trainer_status(pod, trainer);
        let state = status.and_then(|status| status.state.as_ref());
        let started = state.is_some_and(has_run);
        let ended = is_over(pod);
        Self {
            name: metadata.name.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
            revision,
            bound: node.is_some(),
            started: started && (phase == "Running" || ended),
            outcome: outcome(pod, status, phase, deleting, node_lost),
            // A pod without a node has nobody who would end it.
            is_final: ended || node_lost || (deleting && node.is_none()),
            deleting,
            kept: metadata.finalizers.iter().flatten().any(|name| name == labels::POD_FINALIZER),
        }
    }
}

/// Whether the scheduler looked at a pod and found no node for it.
pub fn is_unschedulable(pod: &Pod) -> bool {
    let bound = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).is_some_and(|name| !name.is_empty());
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let told = |c: &PodCondition| c.reason.as_deref() == Some("Unschedulable") && c.status == "False";
    let marked = conditions.filter(|c| c.type_ == "PodScheduled").any(told);
    marked && !bound && pod.metadata.deletion_timestamp.is_none() && !is_over(pod)
}

/// Whether a pod has ended.
pub fn is_over(pod: &Pod) -> bool {
    matches!(pod.status.as_ref().and_then(|status| status.phase.as_deref()), Some("Succeeded" | "Failed"))
}

/// Revision and index of a pod, by its labels.
pub fn place(pod: &Pod) -> Option<(u32, u32)> {
    let labels = pod.metadata.labels.as_ref()?;
    Some((labels.get(labels::REVISION)?.parse().ok()?, labels.get(labels::POD_INDEX)?.parse().ok()?))
}

/// The status of the trainer container: the one named, else the only one.
fn trainer_status<'a>(pod: &'a Pod, trainer: Option<&str>) -> Option<&'a ContainerStatus> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    match trainer {
        Some(name) => statuses.iter().find(|status| status.name == name),
        None => statuses.first().filter(|_| statuses.len() == 1),
    }
}

fn outcome(
    pod: &Pod,
    trainer: Option<&ContainerStatus>,
    phase: &str,
    deleting: bool,
    node_lost: bool,
) -> Option<Outcome> {
    let status = pod.status.as_ref();
    let marked = status
        .and_then(|status| status.conditions.as_ref())
        .is_some_and(|all| all.iter().any(|c| c.type_ == "DisruptionTarget" && c.status == "True"));
    let reason = status.and_then(|status| status.reason.as_deref()).unwrap_or_default();
    let evicted = matches!(reason, "Evicted" | "Preempting" | "NodeLost" | "NodeShutdown" | "Shutdown" | "Terminated");
    // Where we delete pods ourselves, nobody listens to how they end.
    let disrupted = marked || evicted || deleting || node_lost;
    // Taken away by the cluster comes first: then the node had accepted it.
    if !marked && !deleting && !node_lost && is_refused(pod) {
        let words = status.and_then(|status| status.message.as_deref()).unwrap_or_default();
        return Some(Outcome::refused_by_node(reason, words));
    }
    if let Some(end) = trainer.and_then(|t| t.state.as_ref()).and_then(|state| state.terminated.as_ref()) {
        return Some(Outcome::of(&ContainerEnd {
            exit_code: end.exit_code,
            reason: end.reason.as_deref().unwrap_or_default(),
            message: end.message.as_deref().unwrap_or_default(),
            disrupted,
        }));
    }
    if disrupted {
        return Some(Outcome::Disrupted);
    }
    // It ended before its trainer had a status.
    (phase == "Failed").then(|| {
        let words = status.and_then(|status| status.message.as_deref()).unwrap_or_default();
        Outcome::of(&ContainerEnd { exit_code: -1, reason, message: &format!("{reason}: {words}"), disrupted: false })
    })
}

/// Whether the kubelet refused a pod (UnexpectedAdmissionError, OutOfnvidia.com/gpu, NodeAffinity, Evicted, ...): it failed
/// with a reason before any of its containers ran. A deadline of the pod's own is the user's.
fn is_refused(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let reason = status.reason.as_deref().unwrap_or_default();
    let containers = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    let ran = containers.filter_map(|container| container.state.as_ref()).any(has_run);
    status.phase.as_deref() == Some("Failed") && !matches!(reason, "" | "DeadlineExceeded") && !ran
}

/// Whether a container has started, and may have ended. The kubelet writes ContainerStatusUnknown for one that it cannot
/// find; without a time it never was.
fn has_run(state: &ContainerState) -> bool {
    let found = |end: &ContainerStateTerminated| {
        end.reason.as_deref() != Some("ContainerStatusUnknown") || end.started_at.is_some()
    };
    state.running.is_some() || state.terminated.as_ref().is_some_and(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(revision: u32, index: u32, rest: serde_json::Value) -> Arc<Pod> {
        let mut pod = json!({
            "metadata": {
                "name": format!("llm-r{revision}-{index}"),
                "uid": format!("uid-{revision}-{index}"),
                "labels": {"plimsoll.dev/revision": revision.to_string(), "plimsoll.dev/pod-index": index.to_string()},
                "finalizers": ["plimsoll.dev/outcome"],
            },
            "spec": {"containers": [{"name": "train"}], "nodeName": "n1"},
        });
        merge(&mut pod, rest);
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    fn merge(into: &mut serde_json::Value, from: serde_json::Value) {
        match (into, from) {
            (serde_json::Value::Object(into), serde_json::Value::Object(from)) => {
                for (key, value) in from {
                    merge(into.entry(key).or_insert(json!({})), value);
                }
            }
            (into, from) => *into = from,
        }
    }

    fn running() -> serde_json::Value {
        json!({"status": {"phase": "Running", "containerStatuses": [{"name": "train", "image": "", "imageID": "",
            "ready": true, "restartCount": 0, "state": {"running": {}}}]}})
    }

    fn ended(code: i32, reason: &str, message: &str) -> serde_json::Value {
        json!({"status": {"phase": if code == 0 { "Succeeded" } else { "Failed" }, "containerStatuses": [
            {"name": "train", "image": "", "imageID": "", "ready": false, "restartCount": 0,
             "state": {"terminated": {"exitCode": code, "reason": reason, "message": message}}}]}})
    }

    fn gang(pods: &[Arc<Pod>]) -> Gang {
        Gang::read(pods, 2, Some("train"), &BTreeSet::from(["n1"]))
    }

    #[test]
    fn a_gang_runs_when_the_trainer_has_started_in_every_pod() {
        let one = gang(&[pod(2, 0, running())]);
        assert!(one.is_started(1) && !one.is_started(2) && !one.is_bound(2));
        let both = gang(&[pod(2, 0, running()), pod(2, 1, running())]);
        assert!(both.is_started(2) && both.is_bound(2) && !both.is_gone());
        assert!(both.outcomes(2, true).is_empty());
    }

    #[test]
    fn a_pod_that_vanished_after_all_were_seen_was_taken_away() {
        let one = gang(&[pod(2, 0, running())]);
        assert_eq!(one.outcomes(2, true), [Outcome::Disrupted]);
        assert!(one.outcomes(2, false).is_empty(), "it may be about to be created");
    }

    #[test]
    fn the_words_of_the_trainer_are_read() {
        let out = gang(&[pod(2, 0, ended(1, "Error", r#"{"reason":"OutOfMemory","peakMemoryBytes":5}"#))]);
        assert_eq!(out.outcomes(1, true), [Outcome::DeviceOutOfMemory { peak_bytes: Some(5) }]);
        let killed = gang(&[pod(2, 0, ended(137, "OOMKilled", ""))]);
        assert_eq!(killed.outcomes(1, true), [Outcome::HostOutOfMemory]);
        let well = gang(&[pod(2, 0, ended(0, "Completed", ""))]);
        assert_eq!(well.outcomes(1, true), [Outcome::Succeeded]);
        assert!(well.is_gone(), "a pod that has ended runs no more");
    }

    #[test]
    fn a_disruption_is_known_before_the_pod_ends() {
        let target = json!({"status": {"conditions": [{"type": "DisruptionTarget", "status": "True"}]}});
        let mut doc = running();
        merge(&mut doc, target);
        assert_eq!(gang(&[pod(2, 0, doc)]).outcomes(1, true), [Outcome::Disrupted]);
        let mut deleted = running();
        merge(&mut deleted, json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}));
        let gang = gang(&[pod(2, 0, deleted)]);
        assert_eq!(gang.outcomes(1, true), [Outcome::Disrupted]);
        assert!(!gang.is_gone(), "it may still write");
    }

    #[test]
    fn a_pod_on_a_node_that_is_gone_runs_no_more() {
        let lost = Gang::read(&[pod(2, 0, running())], 2, Some("train"), &BTreeSet::new());
        assert!(lost.is_gone());
        assert_eq!(lost.outcomes(1, true), [Outcome::Disrupted]);
    }

    #[test]
    fn a_pod_that_was_deleted_before_it_was_bound_runs_no_more() {
        let doc = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"nodeName": ""},
            "status": {"phase": "Pending"}});
        assert!(gang(&[pod(2, 0, doc)]).is_gone());
    }

    #[test]
    fn earlier_revisions_are_leftovers_and_later_ones_are_not_known_yet() {
        let gang = gang(&[pod(1, 0, running()), pod(3, 0, running())]);
        assert_eq!((gang.members.len(), gang.leftovers.len()), (0, 1));
        assert!(!gang.is_gone(), "the leftover may still write");
    }

    #[test]
    fn what_the_kubelet_refuses_carries_its_words_and_is_no_failure() {
        for reason in ["UnexpectedAdmissionError", "OutOfnvidia.com/gpu", "NodeAffinity", "Evicted", "NodeShutdown"] {
            let doc = json!({"status": {"phase": "Failed", "reason": reason, "message": "no device"}});
            let gang = gang(&[pod(2, 0, doc)]);
            assert_eq!(gang.outcomes(1, true), [Outcome::refused_by_node(reason, "no device")]);
            assert!(!gang.is_started(1) && gang.is_gone());
        }
    }

    #[test]
    fn a_container_that_the_kubelet_cannot_find_never_ran() {
        let mut doc = ended(137, "ContainerStatusUnknown", "The container could not be located");
        merge(&mut doc, json!({"status": {"reason": "Evicted", "message": "low on memory"}}));
        let outcomes = gang(&[pod(2, 0, doc.clone())]).outcomes(1, true);
        assert_eq!(outcomes, [Outcome::refused_by_node("Evicted", "low on memory")]);
        doc["status"]["containerStatuses"][0]["state"]["terminated"]["startedAt"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(gang(&[pod(2, 0, doc)]).outcomes(1, true), [Outcome::Disrupted], "it had run");
    }

    #[test]
    fn a_deadline_of_the_pod_and_an_init_container_that_fails_are_failures() {
        let late = json!({"status": {"phase": "Failed", "reason": "DeadlineExceeded", "message": "too long"}});
        let init = json!({"status": {"phase": "Failed", "initContainerStatuses": [{"name": "fetch", "image": "",
            "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 2, "reason": "Error"}}}]}});
        for doc in [late, init] {
            let outcomes = gang(&[pod(2, 0, doc)]).outcomes(1, true);
            assert!(matches!(&outcomes[0], Outcome::Failed { exit_code: -1, .. }), "{outcomes:?}");
        }
    }

    #[test]
    fn only_a_pod_that_the_scheduler_gave_up_on_is_unschedulable() {
        let marked = json!({"spec": {"nodeName": ""}, "status": {"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}});
        assert!(is_unschedulable(&pod(2, 0, marked.clone())));
        let mut gated = marked.clone();
        gated["status"]["conditions"][0]["reason"] = json!("SchedulingGated");
        let mut bound = marked.clone();
        bound["spec"]["nodeName"] = json!("n1");
        let mut going = marked;
        merge(&mut going, json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}));
        for doc in [gated, bound, going, json!({})] {
            assert!(!is_unschedulable(&pod(2, 0, doc)));
        }
    }
}
