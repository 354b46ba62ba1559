//! What is read off pods, one pod at a time.

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
    Gang::read(pods, 2, Some("train"), &BTreeSet::from(["n1".to_owned()]))
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
fn a_deadline_of_the_pod_is_a_failure() {
    let late = json!({"status": {"phase": "Failed", "reason": "DeadlineExceeded", "message": "too long"}});
    let outcomes = gang(&[pod(2, 0, late)]).outcomes(1, true);
    assert!(matches!(&outcomes[0], Outcome::Failed { exit_code: -1, .. }), "{outcomes:?}");
}

/// A pod whose init containers are in these states, and whose trainer waits for them.
fn initializing(phase: &str, init: &[(&str, serde_json::Value)]) -> serde_json::Value {
    let status = |name: &str, state: serde_json::Value| json!({"name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
    let trainer = status("train", json!({"waiting": {"reason": "PodInitializing"}}));
    let init: Vec<_> = init.iter().map(|(name, state)| status(name, state.clone())).collect();
    json!({"spec": {"initContainers": [{"name": "logs", "restartPolicy": "Always"}, {"name": "fetch"}]},
        "status": {"phase": phase, "containerStatuses": [trainer], "initContainerStatuses": init}})
}

#[test]
fn an_init_container_that_fails_is_named_and_a_sidecar_that_was_ended_with_it_is_not() {
    let logs = json!({"terminated": {"exitCode": 143, "reason": "Error"}});
    let fetch = json!({"terminated": {"exitCode": 2, "reason": "Error", "message": "no such bucket"}});
    let gang = gang(&[pod(2, 0, initializing("Failed", &[("logs", logs), ("fetch", fetch)]))]);
    let message = "init container fetch failed with exit code 2: no such bucket".to_owned();
    assert_eq!(gang.outcomes(1, true), [Outcome::InitFailed { message }]);
    assert!(!gang.is_started(1) && gang.is_gone());
}

/// A pod that was deleted at noon with a grace of 40 seconds, whose trainer exited with 0 at a second of that minute.
fn deleted_at_noon(exited_at_second: &str) -> serde_json::Value {
    let mut doc = ended(0, "Completed", "");
    doc["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"] = json!(exited_at_second);
    merge(
        &mut doc,
        json!({"metadata": {"deletionTimestamp": "2026-01-01T12:00:40Z", "deletionGracePeriodSeconds": 40}}),
    );
    doc
}

#[test]
fn exiting_with_0_because_it_is_taken_away_is_no_end_of_the_training() {
    let told = gang(&[pod(2, 0, deleted_at_noon("2026-01-01T12:00:01Z"))]);
    assert_eq!(told.outcomes(1, true), [Outcome::Disrupted]);
    let done = gang(&[pod(2, 0, deleted_at_noon("2026-01-01T11:59:59Z"))]);
    assert_eq!(done.outcomes(1, true), [Outcome::Succeeded], "it was done before");
    let mut evicted = ended(0, "Completed", "");
    evicted["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"] = json!("2026-01-01T12:00:01Z");
    merge(
        &mut evicted,
        json!({"status": {"conditions": [
            {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": "2026-01-01T12:00:00Z"}]}}),
    );
    assert_eq!(gang(&[pod(2, 0, evicted)]).outcomes(1, true), [Outcome::Disrupted]);
}

#[test]
fn a_program_that_failed_before_its_pod_was_deleted_has_failed() {
    let mut doc = deleted_at_noon("2026-01-01T11:59:59Z");
    doc["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] = json!(3);
    assert!(matches!(gang(&[pod(2, 0, doc)]).outcomes(1, true)[..], [Outcome::Failed { exit_code: 3, .. }]));
}

#[test]
fn a_node_that_goes_afterwards_takes_nothing_back_that_had_ended_well() {
    let lost = |doc| Gang::read(&[pod(2, 0, doc)], 2, Some("train"), &BTreeSet::new()).outcomes(1, true);
    assert_eq!(lost(ended(0, "Completed", "")), [Outcome::Succeeded]);
    assert_eq!(lost(ended(143, "Error", "")), [Outcome::Disrupted]);
}

#[test]
fn a_trainer_that_is_done_does_not_wait_for_its_sidecars() {
    let mut doc = ended(0, "Completed", "");
    merge(&mut doc, json!({"status": {"phase": "Running"}}));
    let one = gang(&[pod(2, 0, doc)]);
    assert_eq!(one.outcomes(1, true), [Outcome::Succeeded]);
    assert!(!one.is_gone(), "its sidecar still runs");
}

fn held_up(doc: serde_json::Value) -> Option<HoldUp> {
    gang(&[pod(2, 0, doc)]).held_up().map(|(_, hold_up)| hold_up.clone())
}

#[test]
fn an_image_that_cannot_be_pulled_keeps_the_kubelets_words() {
    let words = "Back-off pulling image \"localhost/none:1\"";
    let waits = |reason: &str, message: &str| {
        let mut doc = initializing("Pending", &[]);
        doc["status"]["containerStatuses"][0]["state"]["waiting"] = json!({"reason": reason, "message": message});
        held_up(doc)
    };
    let message = format!("container train waits: ImagePullBackOff: {words}");
    assert_eq!(waits("ImagePullBackOff", words), Some(HoldUp::Stuck { reason: "ImagePullBackOff".into(), message }));
    for reason in ["ErrImagePull", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError"] {
        assert!(matches!(waits(reason, ""), Some(HoldUp::Stuck { .. })), "{reason}");
    }
    assert_eq!(waits("ContainerCreating", ""), None, "that takes its time");
}

#[test]
fn a_slow_start_says_which_init_container_runs_and_a_sidecar_that_crashes_is_stuck() {
    let running = || json!({"running": {"startedAt": "2026-01-01T12:00:00Z"}});
    let slow = initializing("Pending", &[("logs", running()), ("fetch", running())]);
    assert_eq!(held_up(slow), Some(HoldUp::Waits { message: "init container fetch runs".into() }));
    let crashes = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}});
    let hold_up = held_up(initializing("Pending", &[("logs", crashes)])).unwrap();
    assert_eq!(hold_up.message(), "init container logs waits: CrashLoopBackOff: back-off 10s");
}

#[test]
fn a_pod_without_a_node_says_what_the_scheduler_said_and_one_that_runs_says_nothing() {
    let doc = json!({"spec": {"nodeName": ""}, "status": {"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes are available"}]}});
    assert_eq!(held_up(doc).unwrap().message(), "no node takes it: 0/2 nodes are available");
    assert_eq!(held_up(running()), None);
}

#[test]
fn of_two_pods_the_one_that_is_stuck_is_named() {
    let slow = initializing("Pending", &[("fetch", json!({"running": {}}))]);
    let mut stuck = initializing("Pending", &[]);
    stuck["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] = json!("ErrImagePull");
    let gang = gang(&[pod(2, 0, slow), pod(2, 1, stuck)]);
    assert_eq!(gang.held_up().map(|(name, _)| name), Some("llm-r2-1"));
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
