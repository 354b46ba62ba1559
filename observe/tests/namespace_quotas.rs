//! Which ResourceQuotas count a job's pods, what they count of them, and what is left to others.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{class, cluster, node, now, pod, running_job};
use plimsoll_observe::{Objects, Planned, Settings};
use plimsoll_scheduling::{Counted, Snapshot, Standing};
use serde_json::json;

fn quota(name: &str, spec: &str, status: &str) -> String {
    format!(
        "
---
kind: ResourceQuota
apiVersion: v1
metadata: {{name: {name}, namespace: team}}
spec: {{{spec}}}
status: {{{status}}}
"
    )
}

/// A cluster of one node whose job holds two devices of it, with these objects besides.
fn world(more: &str, change: impl Fn(&mut Planned)) -> Snapshot {
    let (objects, mut jobs) = cluster(&(node("n1", "") + &class("h100") + &running_job(&["n1"]) + more));
    jobs.iter_mut().for_each(change);
    seen(&objects, &jobs)
}

fn job(snapshot: &Snapshot) -> &plimsoll_scheduling::Job {
    snapshot.jobs.iter().next().expect("one job")
}

fn seen(objects: &Objects, jobs: &[Planned]) -> Snapshot {
    plimsoll_observe::snapshot(objects, jobs, &Settings::default(), now())
}

fn with_pod_spec(spec: serde_json::Value) -> impl Fn(&mut Planned) {
    move |planned| Arc::make_mut(&mut planned.job).spec.template = json!({ "spec": spec })
}

fn limits(snapshot: &Snapshot) -> BTreeMap<&str, (u64, u64)> {
    let quotas: Vec<_> = snapshot.namespace_quotas.iter().collect();
    let [quota] = quotas.as_slice() else { unreachable!("{quotas:?}") };
    quota.limits.iter().map(|(name, limit)| (name.as_str(), (limit.hard, limit.held_by_others))).collect()
}

/// A pod of the job's live revision.
fn own(phase: &str) -> String {
    pod("llama-r2-0", "n1", 2, phase, "plimsoll.dev/job-name: llama")
}

const USED: &str = "hard: {requests.nvidia.com/gpu: '24', pods: '10', count/pods: '10', requests.cpu: '40'},
    used: {requests.nvidia.com/gpu: '16', pods: '3', count/pods: '5', requests.cpu: 9500m}";

#[test]
fn what_its_own_pods_hold_is_not_held_by_others() {
    let counted = |pods: &str| {
        let world = world(&(quota("gpus", "", USED) + pods), |_| ());
        let limits = limits(&world);
        ["requests.nvidia.com/gpu", "pods", "count/pods", "requests.cpu"].map(|name| limits[name].1)
    };
    assert_eq!(counted(""), [16, 3, 5, 9500]);
    assert_eq!(counted(&own("Running")), [14, 2, 4, 5500]);
    assert_eq!(counted(&own("Pending")), [14, 2, 4, 5500]);
    assert_eq!(counted(&own("Succeeded")), [16, 3, 4, 9500], "what has ended counts as an object alone");
    let old = pod("llama-r1-0", "n1", 2, "Running", "plimsoll.dev/job-name: llama");
    assert_eq!(counted(&old), [16, 3, 5, 9500], "a revision that is over is no part of the plan");
    assert_eq!(counted(&pod("other", "n1", 2, "Running", "")), [16, 3, 5, 9500]);
}

#[test]
fn a_pod_that_should_be_gone_by_now_counts_as_an_object_alone() {
    let overdue = own("Running").replace(
        "namespace: team,",
        "namespace: team, deletionTimestamp: '2026-11-20T11:58:00Z', deletionGracePeriodSeconds: 30,",
    );
    let limits_of = |pods: &str| {
        let world = world(&(quota("gpus", "", USED) + pods), |_| ());
        (limits(&world)["pods"].1, limits(&world)["count/pods"].1)
    };
    assert_eq!(limits_of(&overdue), (3, 4));
    assert_eq!(limits_of(&overdue.replace("Seconds: 30", "Seconds: 600")), (2, 4));
}

#[test]
fn nothing_is_free_before_the_apiserver_knows_what_is_used() {
    let world = world(&quota("gpus", "hard: {requests.nvidia.com/gpu: '24', requests.cpu: '1.5'}", ""), |_| ());
    assert_eq!(limits(&world), [("requests.cpu", (1500, 1500)), ("requests.nvidia.com/gpu", (24, 24))].into());
}

#[test]
fn what_counts_no_pods_and_what_is_of_another_namespace_is_left_out() {
    let objects =
        "hard: {configmaps: '9', requests.storage: 1Ti, gold.storageclass.storage.k8s.io/requests.storage: 1Ti}";
    assert!(world(&quota("objects", "", objects), |_| ()).namespace_quotas.is_empty());
    let elsewhere = quota("gpus", "", USED).replace("namespace: team", "namespace: other");
    let world = world(&elsewhere, |_| ());
    assert_eq!((world.namespace_quotas.len(), job(&world).namespace_quotas.len()), (0, 0));
}

/// Whether a quota with these scopes counts the pods of a job with this pod spec.
fn is_in(scopes: &str, spec: &serde_json::Value) -> bool {
    let world = world(&quota("gpus", scopes, USED), with_pod_spec(spec.clone()));
    assert_eq!(job(&world).namespace_quotas.len(), world.namespace_quotas.len());
    !world.namespace_quotas.is_empty()
}

#[test]
fn a_quota_counts_the_pods_that_all_its_scopes_match() {
    let plain = json!({"containers": [{"name": "main"}]});
    let asking = json!({"containers": [{"name": "main", "resources": {"limits": {"cpu": 2}}}]});
    let deadline = json!({"containers": [{"name": "main"}], "activeDeadlineSeconds": 60});
    let select = |operator: &str, values: &str| {
        format!(
            "scopeSelector: {{matchExpressions: [{{scopeName: PriorityClass, operator: {operator}, values: [{values}]}}]}}"
        )
    };
    for (scopes, pod, expected) in [
        ("scopes: [Terminating]".to_owned(), &plain, false),
        ("scopes: [Terminating]".to_owned(), &deadline, true),
        ("scopes: [NotTerminating]".to_owned(), &plain, true),
        ("scopes: [NotTerminating]".to_owned(), &deadline, false),
        ("scopes: [BestEffort]".to_owned(), &plain, true),
        ("scopes: [BestEffort]".to_owned(), &asking, false),
        ("scopes: [NotBestEffort]".to_owned(), &asking, true),
        ("scopes: [NotBestEffort, Terminating]".to_owned(), &asking, false),
        ("scopes: [PriorityClass]".to_owned(), &plain, true),
        ("scopes: [CrossNamespacePodAffinity]".to_owned(), &plain, false),
        (select("In", "high, training"), &plain, true),
        (select("In", "high"), &plain, false),
        (select("NotIn", "high"), &plain, true),
        (select("NotIn", "training"), &plain, false),
        (select("Exists", ""), &plain, true),
        (select("DoesNotExist", ""), &plain, false),
    ] {
        assert_eq!(is_in(&scopes, pod), expected, "{scopes} {pod}");
    }
}

#[test]
fn a_live_pod_is_taken_off_only_where_its_own_scopes_match() {
    let with = |scopes: &str, fields: &str| {
        let pod = own("Running").replace("nodeName: n1", &format!("nodeName: n1\n  {fields}"));
        let world = world(&(quota("gpus", scopes, USED) + &pod), |_| ());
        limits(&world)["requests.nvidia.com/gpu"].1
    };
    assert_eq!(with("scopes: [PriorityClass]", "priorityClassName: training"), 14);
    assert_eq!(with("scopes: [PriorityClass]", "schedulerName: other"), 16);
    assert_eq!(with("scopes: [NotTerminating]", "activeDeadlineSeconds: 60"), 16);
}

#[test]
fn requests_and_limits_of_a_pod_are_counted_with_what_each_device_adds() {
    let all = "hard: {pods: 1, cpu: 1, requests.cpu: 1, limits.cpu: 1, memory: 1, requests.memory: 1, limits.memory: 1,
        requests.nvidia.com/gpu: 1, requests.rdma/hca: 1, requests.ephemeral-storage: 1}"
        .replace(": 1", ": '1'");
    let world = world(&quota("all", "", &all), |planned| {
        with_pod_spec(json!({"containers": [
            {"name": "main", "resources": {"requests": {"cpu": 2, "rdma/hca": 1}, "limits": {"memory": "4Gi", "rdma/hca": 1}}},
            {"name": "logs", "resources": {"limits": {"cpu": "100m", "memory": "1Gi"}}}]}))(planned);
        let per_gpu = serde_json::from_value(json!({"cpu": "1500m", "memory": "16Gi"}));
        Arc::make_mut(&mut planned.job).spec.accelerators.resources_per_gpu = Some(per_gpu.expect("amounts"));
    });
    let gib = 1 << 30;
    let counted = |base, per_gpu| Counted { base, per_gpu };
    let expected = [
        ("cpu", counted(2100, 1500)),
        ("limits.cpu", counted(100, 0)),
        ("limits.memory", counted(5 * gib, 17 * gib)),
        ("memory", counted(5 * gib, 17 * gib)),
        ("pods", counted(1, 0)),
        ("requests.cpu", counted(2100, 1500)),
        ("requests.memory", counted(5 * gib, 17 * gib)),
        ("requests.rdma/hca", counted(1, 0)),
    ];
    let expected: BTreeMap<String, Counted> = expected.map(|(name, counted)| (name.to_owned(), counted)).into();
    assert_eq!(job(&world).counted, expected);
}

#[test]
fn pods_of_a_template_that_cannot_be_read_any_more_count_as_somebody_elses() {
    let (objects, mut jobs) = cluster(
        &(node("n1", "") + &class("h100") + &running_job(&["n1"]) + &own("Running") + &quota("gpus", "", USED)),
    );
    with_pod_spec(json!({"containers": []}))(&mut jobs[0]);
    let mut other = jobs[0].clone();
    let job = Arc::make_mut(&mut other.job);
    (job.metadata.name, job.spec.template) = (Some("b".into()), json!({"spec": {"containers": [{"name": "main"}]}}));
    other.standing = Standing::Waiting;
    jobs.push(other);
    let world = seen(&objects, &jobs);
    assert_eq!(limits(&world)["requests.nvidia.com/gpu"], (24, 16));
    assert!(world.jobs.iter().any(|job| job.key.name == "llama" && job.namespace_quotas.is_empty()));
}
