//! A snapshot that follows its objects is the one that would be built anew.

mod common;

use std::sync::Arc;

use common::{class, cluster, node, now, pod, running_job};
use jiff::{SignedDuration, Timestamp};
use plimsoll_observe::{Follower, Objects, Planned, Settings};
use plimsoll_scheduling::{Event, Standing};
use proptest::prelude::*;
use serde_json::{Value, json};

/// What may happen in a cluster. The numbers choose among what is there.
#[derive(Clone, Debug)]
enum Change {
    Node(u8, u8),
    Agent(u8, u8),
    Pod(u8, u8),
    Queue(u8, u8),
    Class(u8),
    Namespace(u8),
    PriorityClass(u8),
    Quota(u8),
    Job(u8, u8),
    Gone(u8, u8),
    Shuffle,
    Minutes(u16),
    Moves(bool),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let two = || (any::<u8>(), any::<u8>());
    let change = prop_oneof![
        two().prop_map(|(a, b)| Change::Node(a, b)),
        two().prop_map(|(a, b)| Change::Agent(a, b)),
        two().prop_map(|(a, b)| Change::Pod(a, b)),
        two().prop_map(|(a, b)| Change::Queue(a, b)),
        any::<u8>().prop_map(Change::Class),
        any::<u8>().prop_map(Change::Namespace),
        any::<u8>().prop_map(Change::PriorityClass),
        any::<u8>().prop_map(Change::Quota),
        two().prop_map(|(a, b)| Change::Job(a, b)),
        two().prop_map(|(a, b)| Change::Gone(a, b)),
        Just(Change::Shuffle),
        (0..2000_u16).prop_map(Change::Minutes),
        any::<bool>().prop_map(Change::Moves),
    ];
    prop::collection::vec(change, 1..30)
}

struct Cluster {
    objects: Objects,
    jobs: Vec<Planned>,
    settings: Settings,
    now: Timestamp,
}

fn object<K: serde::de::DeserializeOwned>(value: Value) -> Arc<K> {
    Arc::new(serde_json::from_value(value).expect("an object of its kind"))
}

/// Puts an object in the place of that of its name, or beside the others.
fn put<K: kube::Resource>(list: &mut Vec<Arc<K>>, object: Arc<K>) {
    let is = |known: &Arc<K>| {
        (&known.meta().namespace, &known.meta().name) == (&object.meta().namespace, &object.meta().name)
    };
    match list.iter_mut().find(|known| is(known)) {
        Some(known) => *known = object,
        None => list.push(object),
    }
}

fn drop_one<T>(list: &mut Vec<T>, which: u8) {
    if !list.is_empty() {
        list.swap_remove(usize::from(which) % list.len());
    }
}

impl Cluster {
    fn new() -> Self {
        let yaml = node("n0", "") + &node("n1", "") + &class("h100") + &running_job(&["n0"]);
        let (objects, jobs) = cluster(&yaml);
        Self { objects, jobs, settings: Settings::default(), now: now() }
    }

    fn take_in(&mut self, change: Change) {
        let (Objects { nodes, pods, queues, .. }, now) = (&mut self.objects, self.now);
        match change {
            Change::Node(which, how) => {
                let spec = if how.is_multiple_of(3) { "unschedulable: true" } else { "" };
                let (mut read, _) = cluster(&node(&format!("n{}", which % 4), spec));
                if how.is_multiple_of(2) {
                    let labels = json!({"nvidia.com/gpu.product": "H100", "nvidia.com/gpu.clique": format!("c{how}")});
                    Arc::make_mut(&mut read.nodes[0]).metadata.labels = serde_json::from_value(labels).expect("labels");
                }
                put(nodes, read.nodes.remove(0));
            }
            Change::Agent(which, how) => {
                let health = if how.is_multiple_of(2) { "Failed" } else { "Healthy" };
                let seen = now - SignedDuration::from_secs(i64::from(how));
                let agent = json!({"metadata": {"name": format!("n{}", which % 4)}, "spec": {}, "status": {
                    "observedAt": seen.to_string(), "devices": [{"uuid": "a", "index": 0, "health": health}]}});
                put(&mut self.objects.accelerator_nodes, object(agent));
            }
            Change::Pod(which, how) => {
                let label = if which.is_multiple_of(2) { "plimsoll.dev/job-name: llama" } else { "" };
                let name = ["llama-r2-0", "other", "llama-r1-0", "third"][usize::from(which % 4)];
                let phase = ["Pending", "Running", "Succeeded"][usize::from(how % 3)];
                let (mut read, _) = cluster(&pod(name, &format!("n{}", how % 4), u32::from(how % 5), phase, label));
                if how.is_multiple_of(7) {
                    let pod = Arc::make_mut(&mut read.pods[0]);
                    pod.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now));
                    pod.metadata.deletion_grace_period_seconds = Some(i64::from(how));
                }
                put(pods, read.pods.remove(0));
            }
            Change::Queue(which, how) => {
                let queue = json!({"metadata": {"name": (["default", "research"][usize::from(which % 2)])},
                    "spec": {"weight": 1 + how % 3, "parentName": "all", "budgets": [
                            {"unit": "GpuHours", "limit": "10", "period": (if how.is_multiple_of(2) { "Day" } else { "Month" })}],
                        "allowedPriorityClasses": (if how.is_multiple_of(5) { vec!["high"] } else { vec![] }),
                        "namespaceSelector": (if how.is_multiple_of(3) { json!({"matchLabels": {"team": "a"}}) } else { json!(null) }),
                        "classes": [{"class": "h100", "nominalQuota": how, "borrowingLimit": 2}]},
                    "status": {"accountedAt": now.to_string(), "fairShare": [{"class": "h100", "gpuSeconds": how}],
                        "usage": [{"period": "Day", "beganAt": "2026-11-20T00:00:00Z", "gpuSeconds": 3600,
                            "energyJoules": 1, "carbonGrams": 1, "cost": {"amount": "1"}}]}});
                put(queues, object(queue));
            }
            Change::Class(how) => {
                let (mut read, _) = cluster(&class("h100"));
                let class = Arc::make_mut(&mut read.classes[0]);
                class.spec.partitioned = Some(how.is_multiple_of(2));
                if how.is_multiple_of(4) {
                    class.spec.resource_name = "amd.com/gpu".into();
                }
                put(&mut self.objects.classes, read.classes.remove(0));
            }
            Change::Namespace(how) => {
                let team = if how.is_multiple_of(2) { "a" } else { "b" };
                put(
                    &mut self.objects.namespaces,
                    object(json!({"metadata": {"name": "team", "labels": {"team": team}}})),
                );
            }
            Change::PriorityClass(how) => {
                put(&mut self.objects.priority_classes, object(json!({"metadata": {"name": "high"}, "value": how})));
            }
            Change::Quota(how) => {
                let amounts = |n: u8| json!({"pods": n.to_string(), "requests.nvidia.com/gpu": n.to_string()});
                let quota = json!({"metadata": {"name": format!("q{}", how % 2), "namespace": "team"},
                    "spec": {"hard": amounts(how)}, "status": {"hard": amounts(how), "used": amounts(how / 2)}});
                put(&mut self.objects.resource_quotas, object(quota));
            }
            Change::Job(which, how) => self.change_job(which, how),
            Change::Gone(kind, which) => match kind % 6 {
                0 => drop_one(nodes, which),
                1 => drop_one(pods, which),
                2 => drop_one(queues, which),
                3 => drop_one(&mut self.jobs, which),
                4 => drop_one(&mut self.objects.resource_quotas, which),
                _ => drop_one(&mut self.objects.accelerator_nodes, which),
            },
            Change::Shuffle => {
                nodes.reverse();
                pods.reverse();
                self.jobs.reverse();
            }
            Change::Minutes(minutes) => self.now += SignedDuration::from_mins(minutes.into()),
            Change::Moves(enabled) => self.settings.rules.moves.enabled = enabled,
        }
    }

    fn change_job(&mut self, which: u8, how: u8) {
        let (_, mut read) = cluster(&running_job(&[["n0", "n1", "n2"][usize::from(how % 3)]]));
        let mut planned = read.remove(0);
        let job = Arc::make_mut(&mut planned.job);
        job.metadata.name = Some(["llama", "falcon"][usize::from(which % 2)].into());
        job.spec.priority_class_name = (how.is_multiple_of(2)).then(|| "high".into());
        job.spec.queue_name = if how.is_multiple_of(4) { "research".into() } else { "default".into() };
        if how.is_multiple_of(5) {
            job.spec.template = json!({"spec": {"containers": []}});
        }
        if how.is_multiple_of(6) {
            planned.standing = Standing::Waiting;
            planned.waiting_since = Some(self.now);
        }
        let key = planned.key();
        self.jobs.retain(|known| known.key() != key);
        self.jobs.push(planned);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_every_change_it_is_what_would_be_built_anew(changes in changes()) {
        let (mut cluster, mut follower) = (Cluster::new(), Follower::default());
        for change in changes {
            cluster.take_in(change.clone());
            let Cluster { objects, jobs, settings, now } = &cluster;
            follower.follow(objects, jobs, settings, *now);
            let anew = plimsoll_observe::snapshot(objects, jobs, settings, *now);
            prop_assert_eq!(follower.snapshot(), &anew, "after {:?}", change);
            prop_assert_eq!(follower.follow(objects, jobs, settings, *now), []);
        }
    }
}

#[test]
fn a_pod_of_somebody_else_is_an_event_about_its_node_alone() {
    let (mut cluster, mut follower) = (Cluster::new(), Follower::default());
    let mut follow =
        |cluster: &Cluster| follower.follow(&cluster.objects, &cluster.jobs, &cluster.settings, cluster.now);
    assert!(follow(&cluster).len() >= 4);
    cluster.take_in(Change::Pod(1, 6));
    let events = follow(&cluster);
    assert!(matches!(events.as_slice(), [Event::Node(node)] if node.name == "n2") || events.is_empty(), "{events:?}");
    cluster.take_in(Change::Pod(1, 1));
    assert!(matches!(follow(&cluster).as_slice(), [Event::Node(node)] if node.name == "n1"));
}
