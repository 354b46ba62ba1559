//! When the agents' windows are evidence about a job.

mod common;

use common::{cluster, now, running_job};
use plimsoll_observe::{Coverage, WindowRules, coverage};
use plimsoll_scheduling::JobKey;

const RULES: WindowRules = WindowRules { required_seconds: 300, settle_seconds: 60 };

/// A pod of the job whose trainer started at a time of this hour.
fn pod(index: usize, node: &str, started: &str) -> String {
    format!(
        "
---
kind: Pod
apiVersion: v1
metadata: {{name: llama-r2-{index}, namespace: team, labels: {{plimsoll.dev/job-name: llama}}}}
spec: {{nodeName: {node}, containers: [{{name: main}}]}}
status: {{phase: Running, containerStatuses: [{{name: main, image: '', imageID: '', ready: true, restartCount: 0, state: {{running: {{startedAt: '2026-11-20T11:{started}Z'}}}}}}]}}
"
    )
}

/// A node whose two devices are held by a pod of the job, seen at a time of this hour.
fn agent(node: &str, index: usize, observed: &str, begins: &str, seconds: i32, activity: [&str; 2]) -> String {
    let device = |number: usize| {
        format!(
            "{{uuid: u{number}, index: {number}, health: Healthy, holder: {{namespace: team, pod: llama-r2-{index}, container: main}},
              window: {{start: '2026-11-20T11:{begins}Z', seconds: {seconds}, samples: 30, memoryUsedBytes: {}{}}}}}",
            1000 * (number + 1),
            activity[number]
        )
    };
    format!(
        "
---
kind: AcceleratorNode
apiVersion: plimsoll.dev/v1alpha1
metadata: {{name: {node}}}
spec: {{}}
status: {{observedAt: '2026-11-20T11:{observed}Z', devices: [{}, {}, {{uuid: free, index: 2, health: Healthy}}]}}
",
        device(0),
        device(1)
    )
}

const BUSY: [&str; 2] = [", smActivityPermille: 800", ", smActivityPermille: 600"];

fn seen(yaml: &str) -> Coverage {
    let (objects, jobs) = cluster(&(running_job(&["n1", "n2"]) + yaml));
    let allocation = jobs[0].job.status.as_ref().and_then(|s| s.allocation.as_ref()).expect("an allocation");
    let found = (|name: &str| objects.accelerator_node(name), |name: &str| objects.pod("team", name));
    coverage(found, &JobKey { namespace: "team".to_owned(), name: "llama".to_owned() }, allocation, RULES, now())
}

fn pods() -> String {
    pod(0, "n1", "30:00") + &pod(1, "n2", "31:00")
}

#[test]
fn the_mean_over_all_devices_is_evidence() {
    let quiet = [", smActivityPermille: 400", ", smActivityPermille: 200"];
    let seen =
        seen(&(pods() + &agent("n1", 0, "59:30", "50:00", 570, BUSY) + &agent("n2", 1, "59:00", "50:00", 540, quiet)));
    assert_eq!((seen.devices, seen.readable), (4, 4));
    assert!((seen.sm_activity.expect("all are readable") - 0.5).abs() < 1e-12);
    assert_eq!((seen.window_seconds, seen.memory_used_max), (Some(540), Some(2000)));
    assert_eq!(seen.oldest_observed_at, "2026-11-20T11:59:00Z".parse().ok());
}

#[test]
fn one_device_that_cannot_tell_leaves_no_evidence() {
    let dumb = [", smActivityPermille: 400", ""];
    let seen =
        seen(&(pods() + &agent("n1", 0, "59:30", "50:00", 570, BUSY) + &agent("n2", 1, "59:00", "50:00", 540, dumb)));
    assert_eq!((seen.readable, seen.sm_activity), (3, None));
}

#[test]
fn a_node_without_an_agents_word_leaves_no_evidence() {
    let seen = seen(&(pods() + &agent("n1", 0, "59:30", "50:00", 570, BUSY)));
    assert_eq!((seen.readable, seen.sm_activity, seen.oldest_observed_at), (2, None, None));
}

#[test]
fn an_old_word_leaves_no_evidence() {
    let seen =
        seen(&(pods() + &agent("n1", 0, "59:30", "50:00", 570, BUSY) + &agent("n2", 1, "56:30", "50:00", 390, BUSY)));
    assert_eq!((seen.readable, seen.sm_activity), (2, None));
}

#[test]
fn a_window_that_is_short_or_began_before_the_last_pod_settled_leaves_no_evidence() {
    let first = agent("n1", 0, "59:30", "50:00", 570, BUSY);
    let with = |second: String| seen(&(pods() + &first + &second)).sm_activity;
    assert_eq!(with(agent("n2", 1, "59:00", "55:00", 240, BUSY)), None);
    assert_eq!(with(agent("n2", 1, "59:00", "31:59", 1621, BUSY)), None);
    assert!(with(agent("n2", 1, "59:00", "32:00", 1620, BUSY)).is_some());
}

#[test]
fn while_a_pod_has_not_started_there_is_no_evidence() {
    let agents = agent("n1", 0, "59:30", "50:00", 570, BUSY) + &agent("n2", 1, "59:00", "50:00", 540, BUSY);
    assert_eq!(seen(&(pod(0, "n1", "30:00") + &agents)).sm_activity, None);
}

#[test]
fn devices_that_another_pod_holds_do_not_count() {
    let seen =
        seen(&(pods() + &agent("n1", 0, "59:30", "50:00", 570, BUSY) + &agent("n2", 0, "59:00", "50:00", 540, BUSY)));
    assert_eq!((seen.readable, seen.sm_activity), (2, None));
}
