//! A snapshot that follows events is the one that would be built anew, and nothing that was cloned from it notices.

mod world;

use std::sync::Arc;

use plimsoll_scheduling::{Event, Snapshot};
use proptest::prelude::*;
use world::random::snapshots;

/// What leads from nothing to this snapshot.
fn all(snapshot: &Snapshot) -> Vec<Event> {
    let mut events = vec![Event::Rules(snapshot.rules), Event::Topology(snapshot.topology.clone())];
    events.extend(snapshot.classes.iter().cloned().map(Event::Class));
    events.extend(snapshot.nodes.iter().cloned().map(Event::Node));
    events.extend(snapshot.queues.iter().cloned().map(Event::Queue));
    events.extend(snapshot.namespace_quotas.iter().cloned().map(Event::NamespaceQuota));
    events.extend(snapshot.jobs.iter().cloned().map(Event::Job));
    events
}

/// What leads from one snapshot to another.
fn between(from: &Snapshot, to: &Snapshot) -> Vec<Event> {
    let mut events = all(to);
    let gone = |events: &mut Vec<Event>, event| events.push(event);
    for class in from.classes.iter().filter(|class| to.classes.get(&class.name).is_none()) {
        gone(&mut events, Event::ClassGone(class.name.clone()));
    }
    for node in from.nodes.iter().filter(|node| to.nodes.get(&node.name).is_none()) {
        gone(&mut events, Event::NodeGone(node.name.clone()));
    }
    for queue in from.queues.iter().filter(|queue| to.queues.get(&queue.name).is_none()) {
        gone(&mut events, Event::QueueGone(queue.name.clone()));
    }
    for quota in from.namespace_quotas.iter() {
        if !to.namespace_quotas.iter().any(|other| (&other.namespace, &other.name) == (&quota.namespace, &quota.name)) {
            gone(&mut events, Event::NamespaceQuotaGone(quota.namespace.clone(), quota.name.clone()));
        }
    }
    for job in from.jobs.iter().filter(|job| to.jobs.get(&job.key).is_none()) {
        gone(&mut events, Event::JobGone(job.key.clone()));
    }
    events
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn events_lead_to_the_snapshot_that_would_be_built_anew(
        from in snapshots(),
        (to, events) in snapshots().prop_flat_map(|to| { let n = to.jobs.len() + to.nodes.len(); (Just(to), 0..=n) }),
    ) {
        let (from, to) = (from.snapshot(), to.snapshot());
        let mut follows = from.clone();
        for event in between(&from, &to).into_iter().cycle().skip(events).take(between(&from, &to).len()) {
            follows.apply(event);
        }
        prop_assert_eq!(&follows, &to);
        let again = all(&to).into_iter().filter(|event| follows.apply(event.clone())).count();
        prop_assert_eq!(again, 0, "the same word again changes nothing");
    }

    #[test]
    fn a_clone_does_not_notice_what_is_tried_out(world in snapshots()) {
        let snapshot = world.snapshot();
        let before = serde_json::to_string(&snapshot).expect("a snapshot is JSON");
        let mut tried = snapshot.clone();
        let events: Vec<Event> = snapshot.jobs.iter().map(|job| Event::JobGone(job.key.clone())).collect();
        for event in events {
            tried.apply(event);
        }
        for node in snapshot.nodes.iter() {
            let mut closed = (**node).clone();
            closed.open = false;
            tried.apply(Event::Node(Arc::new(closed)));
        }
        prop_assert_eq!(tried.jobs.len(), 0);
        prop_assert_eq!(serde_json::to_string(&snapshot).expect("a snapshot is JSON"), before);
    }
}

#[test]
fn a_snapshot_of_another_form_or_with_two_of_a_name_is_refused_in_a_sentence() {
    let json = serde_json::to_string(&Snapshot::default()).expect("a snapshot is JSON");
    let read = |json: &str| serde_json::from_str::<Snapshot>(json).expect_err("it is refused").to_string();
    let old = read(&json.replace("\"version\":2", "\"version\":1"));
    assert!(old.starts_with("version: the snapshot was saved in form 1 and this program reads form 2"), "{old}");
    let queue = r#"{"name":"q","classes":null,"namespaces":null,"moves_per_job_hour":null}"#;
    let twice = read(&json.replace("\"queues\":[]", &format!("\"queues\":[{queue},{queue}]")));
    assert!(twice.starts_with("a list has two entries of the same name"), "{twice}");
}
