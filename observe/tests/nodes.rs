//! Which nodes are open, whose they are, and what others hold of them.

mod common;

use common::{class, node, pod, running_job, snapshot};
use plimsoll_scheduling::{Node, Resources};

fn only_node(yaml: &str) -> Node {
    let nodes = snapshot(yaml).nodes;
    assert_eq!(nodes.len(), 1);
    Node::clone(nodes.iter().next().expect("one node"))
}

fn agent(observed_at: &str, health: &str) -> String {
    format!(
        "
---
kind: AcceleratorNode
apiVersion: plimsoll.dev/v1alpha1
metadata: {{name: n1}}
spec: {{}}
status: {{observedAt: '{observed_at}', devices: [{{uuid: a, index: 0, health: Healthy}}, {{uuid: b, index: 3, health: {health}}}]}}
"
    )
}

#[test]
fn a_ready_node_of_a_class_is_open_with_what_it_offers() {
    let node = only_node(&(node("n1", "") + &class("h100")));
    assert_eq!((node.gpus, node.open, node.class.as_str()), (8, true, "h100"));
    let allocatable = Resources { cpu_milli: 95_500, memory_bytes: 1000 << 30, ephemeral_bytes: 400 << 30, pods: 110 };
    assert_eq!(node.allocatable, allocatable);
}

#[test]
fn a_node_that_no_class_selects_is_not_in_the_snapshot() {
    let other = node("n1", "").replace("H100", "A100");
    let empty = node("n1", "").replace("nvidia.com/gpu: '8'", "nvidia.com/gpu: '0'");
    assert!(snapshot(&(other + &class("h100"))).nodes.is_empty());
    assert!(snapshot(&(empty + &class("h100"))).nodes.is_empty());
}

#[test]
fn a_cordoned_node_is_closed() {
    assert_eq!(only_node(&(node("n1", "unschedulable: true") + &class("h100"))).closed_because, "is cordoned");
}

#[test]
fn a_node_that_is_not_ready_or_being_deleted_is_closed() {
    let silent = node("n1", "").replace("status: 'True'", "status: Unknown");
    assert_eq!(only_node(&(silent + &class("h100"))).closed_because, "is not ready");
    let deleted = node("n1", "").replace("{name: n1,", "{name: n1, deletionTimestamp: '2026-11-20T11:00:00Z',");
    assert_eq!(only_node(&(deleted + &class("h100"))).closed_because, "is being deleted");
}

#[test]
fn a_failed_device_closes_its_node_and_an_old_word_of_the_agent_does_not() {
    let base = node("n1", "") + &class("h100");
    let fresh = "2026-11-20T11:58:00Z";
    assert_eq!(only_node(&(base.clone() + &agent(fresh, "Failed"))).closed_because, "device 3 has failed");
    assert!(only_node(&(base.clone() + &agent(fresh, "Unresponsive"))).open);
    assert!(only_node(&(base.clone() + &agent("2026-11-20T11:56:59Z", "Failed"))).open);
    assert!(only_node(&base).open);
}

#[test]
fn a_node_that_two_classes_claim_is_closed_and_names_both() {
    let node = only_node(&(node("n1", "") + &class("zeta") + &class("alpha")));
    assert_eq!((node.class.as_str(), node.open), ("alpha", false));
    assert_eq!(node.closed_because, "is claimed by classes alpha and zeta");
}

#[test]
fn a_state_that_will_pass_closes_a_node_and_is_no_taint() {
    for (key, because) in
        [("not-ready", "is not ready"), ("unreachable", "is not ready"), ("unschedulable", "is cordoned")]
    {
        let taint = format!("taints: [{{key: node.kubernetes.io/{key}, effect: NoExecute}}]");
        let node = only_node(&(node("n1", &taint) + &class("h100")));
        assert_eq!((node.closed_because.as_str(), node.taints.len()), (because, 0), "{key}");
    }
}

#[test]
fn only_taints_that_keep_a_jobs_pods_away_are_carried_over() {
    // The operator tolerates the first, the second keeps nobody away.
    let taints = "taints: [{key: nvidia.com/gpu, effect: NoSchedule}, {key: soft, effect: PreferNoSchedule},
      {key: team, value: a, effect: NoSchedule}, {key: nvidia.com/gpu, effect: NoExecute}]";
    let node = only_node(&(node("n1", taints) + &class("h100")));
    let keys: Vec<_> = node.taints.iter().map(|t| (t.key.as_str(), t.value.as_str(), t.effect.as_str())).collect();
    assert_eq!(keys, [("nvidia.com/gpu", "", "NoExecute"), ("team", "a", "NoSchedule")]);
}

#[test]
fn pods_of_others_count_until_they_have_ended() {
    let node = only_node(
        &(node("n1", "")
            + &class("h100")
            + &pod("notebook", "n1", 1, "Running", "")
            + &pod("starting", "n1", 2, "Pending", "")
            + &pod("done", "n1", 4, "Succeeded", "")
            + &pod("elsewhere", "n2", 4, "Running", "")),
    );
    assert_eq!(node.gpus_held_by_others, 3);
    let held = Resources { cpu_milli: 8000, memory_bytes: 32 << 30, ephemeral_bytes: 0, pods: 2 };
    assert_eq!(node.held_by_others, held);
}

#[test]
fn pods_of_a_jobs_revision_in_force_are_not_others() {
    let label = "plimsoll.dev/job-name: llama";
    let base = node("n1", "") + &class("h100") + &running_job(&["n1"]);
    let held = |yaml: &str| only_node(yaml).gpus_held_by_others;
    assert_eq!(held(&(base.clone() + &pod("llama-r2-0", "n1", 2, "Running", label))), 0);
    // Left over from the revision before.
    assert_eq!(held(&(base.clone() + &pod("llama-r1-0", "n1", 2, "Running", label))), 2);
    // Wears the label only.
    assert_eq!(held(&(base.clone() + &pod("notebook", "n1", 1, "Running", label))), 1);
    // Its job holds nothing any more, or is not there.
    let gone = node("n1", "") + &class("h100") + &pod("llama-r2-0", "n1", 2, "Running", label);
    assert_eq!(held(&gone), 2);
}
