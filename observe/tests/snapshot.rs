//! A small cluster as a whole.

mod common;

use std::sync::Arc;

use common::{class, cluster, node, now, running_job, snapshot};
use plimsoll_observe::{Planned, Settings};
use plimsoll_scheduling::{Reason, Standing};

const SMALL: &str = include_str!("fixtures/small.yaml");

#[test]
fn a_small_cluster() {
    insta::assert_json_snapshot!(snapshot(SMALL));
}

#[test]
fn the_order_of_objects_does_not_matter() {
    let (mut objects, mut jobs) = cluster(SMALL);
    let first = plimsoll_observe::snapshot(&objects, &jobs, &Settings::default(), now());
    objects.nodes.reverse();
    objects.pods.reverse();
    objects.classes.reverse();
    objects.queues.reverse();
    objects.namespaces.reverse();
    jobs.reverse();
    assert_eq!(plimsoll_observe::snapshot(&objects, &jobs, &Settings::default(), now()), first);
}

fn one_job(change: impl Fn(&mut Planned)) -> plimsoll_scheduling::Job {
    let (objects, mut jobs) = cluster(&(node("n1", "") + &class("h100") + &running_job(&["n1"])));
    change(&mut jobs[0]);
    let snapshot = plimsoll_observe::snapshot(&objects, &jobs, &Settings::default(), now());
    plimsoll_scheduling::Job::clone(snapshot.jobs.iter().next().expect("one job"))
}

fn spoil(planned: &mut Planned) {
    Arc::make_mut(&mut planned.job).spec.template = serde_json::json!({"spec": {"containers": []}});
}

#[test]
fn a_waiting_job_whose_template_cannot_be_used_is_held_and_a_running_one_runs_on() {
    let waiting = one_job(|planned| {
        spoil(planned);
        planned.standing = Standing::Waiting;
    });
    assert!(matches!(waiting.standing, Standing::Held { reason: Reason::Invalid, .. }), "{:?}", waiting.standing);
    assert!(matches!(one_job(spoil).standing, Standing::Placed(_)));
}

#[test]
fn of_two_reasons_the_one_that_comes_first_is_given() {
    let held = |reason| {
        one_job(|planned| {
            spoil(planned);
            planned.standing = Standing::Held { reason, message: "own".to_owned() };
        })
        .standing
    };
    assert!(matches!(held(Reason::BackoffAfterFailure), Standing::Held { reason: Reason::Invalid, .. }));
    assert_eq!(held(Reason::Invalid), Standing::Held { reason: Reason::Invalid, message: "own".to_owned() });
}
