//! What does not last: images that do not come, nodes that go, pods that somebody takes away.

use plimsoll_crds::condition::job::RUNNING;
use serde_json::Value;

use super::*;

/// A pod that is bound, whose trainer waits.
fn waits(index: usize, reason: &str, message: &str) -> Value {
    let status = json!({"name": "train", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": reason, "message": message}}});
    pod(index, json!({"phase": "Pending", "containerStatuses": [status]}))
}

fn running(turn: &Turn) -> (String, String) {
    let condition = turn.status.conditions.iter().find(|c| c.type_ == RUNNING).unwrap();
    (condition.reason.clone(), condition.message.clone())
}

fn again(turn: &Turn) -> Arc<plimsoll_crds::TrainingJob> {
    job(Some(serde_json::to_value(&turn.status).unwrap()))
}

#[test]
fn an_image_that_cannot_be_pulled_is_said_in_the_kubelets_words_and_told_once() {
    let pulls = |reason: &str| world(vec![waits(0, "ContainerCreating", ""), waits(1, reason, "no such image")]);
    let first = pulls("ErrImagePull");
    let mut turn = think(&first, &job(Some(holding("Starting"))), Known::default());
    finish(&first, &mut turn);
    let waiting = turn.status.waiting.clone().unwrap();
    assert_eq!(waiting.reason, "Starting");
    let said = "llm-r1-1: container train waits: ErrImagePull: no such image";
    assert_eq!(waiting.message, format!("2 of 2 pods are bound, 0 have started; {said}"));
    assert_eq!(running(&turn), ("ErrImagePull".to_owned(), said.to_owned()));
    let note = turn.notes.last().unwrap();
    assert_eq!((note.reason.as_str(), note.message.as_str(), note.warning), ("ErrImagePull", said, true));

    let second = pulls("ImagePullBackOff");
    let mut turn = think(&second, &again(&turn), Known::default());
    finish(&second, &mut turn);
    assert_eq!(running(&turn).0, "ImagePullBackOff");
    assert!(turn.notes.is_empty(), "{:?}", turn.notes);
}

#[test]
fn what_never_starts_ends_with_the_reason_that_held_it_up() {
    let world = world(vec![waits(0, "ImagePullBackOff", "no such image"), waits(1, "ContainerCreating", "")]);
    let mut status = holding("Starting");
    status["lifecycle"]["since"] = json!("2026-11-25T10:59:00Z");
    let mut turn = think(&world, &job(Some(status)), Known::default());
    finish(&world, &mut turn);
    let why = "not all of its containers started in time: \
        llm-r1-0: container train waits: ImagePullBackOff: no such image";
    assert_eq!(running(&turn), ("StartTimeout".to_owned(), why.to_owned()));
    assert_eq!(turn.notes[0].reason, "StartTimeout");
    assert_eq!(turn.status.counters.as_ref().unwrap().failures, 1);
    assert!(turn.work.delete.is_some());
}

#[test]
fn an_init_container_that_fails_is_a_failure_by_its_name() {
    let init = json!({"name": "fetch", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": 2, "reason": "Error", "message": "no such bucket"}}});
    let failed = json!({"phase": "Failed", "initContainerStatuses": [init]});
    let world = world(vec![pod(0, failed), waits(1, "PodInitializing", "")]);
    let mut turn = think(&world, &job(Some(holding("Starting"))), Known::default());
    finish(&world, &mut turn);
    let why = "init container fetch failed with exit code 2: no such bucket";
    assert_eq!(running(&turn), ("InitFailed".to_owned(), why.to_owned()));
    assert_eq!((turn.state.failures, turn.status.counters.as_ref().unwrap().failures), (1, 1));
    assert_eq!(turn.notes[0].reason, "InitFailed");
}

/// Both nodes and the pods of the revision, with something changed about the second node.
fn second_node(change: impl Fn(&mut k8s_openapi::api::core::v1::Node)) -> World {
    let mut world = world(vec![pod(0, runs()), pod(1, runs())]);
    change(Arc::make_mut(&mut world.objects.nodes[1]));
    world
}

#[test]
fn a_cordon_asks_for_a_checkpoint_and_then_leaves_the_node() {
    let cordoned = second_node(|node| node.spec.get_or_insert_default().unschedulable = Some(true));
    let mut turn = think(&cordoned, &job(Some(holding("Running"))), Known::default());
    finish(&cordoned, &mut turn);
    let Phase::Stopping { why, checkpoint_until: Some(_), .. } = &turn.state.phase else {
        unreachable!("{:?}", turn.state)
    };
    assert_eq!(why, &StopCause::NodeCordoned { message: "n2 is cordoned".into() });
    assert_eq!(turn.work, super::super::Work::default(), "it goes on training until it has saved");
    let counters = turn.status.counters.clone().unwrap();
    assert_eq!((counters.disruptions, counters.failures, turn.state.failures), (1, 0, 0));
    let note = &turn.notes[0];
    assert_eq!((note.reason.as_str(), note.warning), ("NodeCordoned", false));

    // Its pods are gone: it starts again where there is room, and says why it is there.
    let mut empty = cordoned.clone();
    empty.objects.pods.clear();
    let empty = World::of(empty.objects, None);
    let mut stopping = serde_json::to_value(&turn.status).unwrap();
    stopping["lifecycle"]["deadline"] = Value::Null;
    let mut turn = think(&empty, &job(Some(stopping)), Known::default());
    let action = plan(&empty, &turn);
    turn.decide(action, now());
    let allocation = turn.status.allocation.clone().unwrap();
    assert_eq!((allocation.revision, allocation.nodes.as_slice()), (2, &["n1".to_owned()][..]));
    assert!(allocation.because.as_ref().is_some_and(|text| text.starts_with("n2 is cordoned; ")), "{allocation:?}");
}

#[test]
fn a_job_that_is_done_completes_on_a_node_that_is_cordoned() {
    let mut world = world(vec![pod(0, ended(0, "")), pod(1, ended(0, ""))]);
    Arc::make_mut(&mut world.objects.nodes[1]).spec.get_or_insert_default().unschedulable = Some(true);
    let turn = think(&world, &job(Some(holding("Running"))), Known::default());
    assert_eq!(turn.state.phase, Phase::Complete);
}

#[test]
fn a_node_that_does_not_answer_restarts_nothing_and_is_named() {
    let lost = second_node(|node| {
        for condition in node.status.iter_mut().flat_map(|status| status.conditions.iter_mut().flatten()) {
            condition.status = "Unknown".into();
        }
    });
    let mut turn = think(&lost, &job(Some(holding("Running"))), Known::default());
    finish(&lost, &mut turn);
    assert!(matches!(turn.state.phase, Phase::Running { .. }), "{:?}", turn.state);
    assert_eq!(running(&turn), ("Running".to_owned(), "n2 is not ready; pods there count as running".to_owned()));

    // The cluster gives up on its pod: the revision ends, and nothing starts while the pod may still write.
    let mut deleted = pod(1, runs());
    deleted["metadata"]["deletionTimestamp"] = json!("2026-11-25T11:59:59Z");
    let mut objects = lost.objects.clone();
    objects.pods = vec![Arc::new(serde_json::from_value(deleted).unwrap())];
    let lost = World::of(objects, None);
    let mut turn = think(&lost, &job(Some(holding("Running"))), Known::default());
    finish(&lost, &mut turn);
    assert!(matches!(turn.state.phase, Phase::Stopping { why: StopCause::Disrupted, .. }), "{:?}", turn.state);
    let why = "the cluster took a pod or a node away; n2 is not ready, and pods there may still run";
    assert_eq!(running(&turn), ("Disrupted".to_owned(), why.to_owned()));
}

#[test]
fn a_pod_that_somebody_deletes_is_a_disruption_and_no_failure() {
    let mut deleted = pod(0, ended(0, ""));
    deleted["metadata"]["deletionTimestamp"] = json!("2026-11-25T11:59:59Z");
    deleted["metadata"]["deletionGracePeriodSeconds"] = json!(0);
    deleted["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"] = json!("2026-11-25T12:00:00Z");
    let world = world(vec![deleted, pod(1, runs())]);
    let turn = think(&world, &job(Some(holding("Running"))), Known::default());
    assert!(matches!(turn.state.phase, Phase::Stopping { why: StopCause::Disrupted, .. }), "{:?}", turn.state);
    let counters = turn.status.counters.clone().unwrap();
    assert_eq!((counters.disruptions, counters.failures, turn.state.failures), (1, 0, 0));
}
