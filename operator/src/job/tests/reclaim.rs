//! A queue takes back what it has lent, from the planner's word to the borrower's next start.

use std::collections::BTreeMap;

use plimsoll_crds::TrainingQueue;
use plimsoll_observe::Planned;
use plimsoll_scheduling::check::check;
use plimsoll_scheduling::{JobKey, Plan, Standing};

use super::*;
use crate::job::Gives;

/// Two queues of one parent, with eight devices each of the cluster's sixteen; `research` is that of the job.
fn shared(pods: Vec<serde_json::Value>) -> World {
    let mut objects = world(pods).objects;
    let queue = |name: &str, nominal: i32, parent: Option<&str>| {
        let spec = json!({"parentName": parent, "classes": [{"class": "h100", "nominalQuota": nominal}]});
        let queue = json!({"metadata": {"name": name}, "spec": spec});
        Arc::new(serde_json::from_value::<TrainingQueue>(queue).unwrap())
    };
    objects.queues = vec![queue("all", 0, None), queue("research", 8, Some("all")), queue("vision", 8, Some("all"))];
    World::of(objects, None)
}

/// A job of `vision` that needs eight devices.
fn newcomer() -> Arc<TrainingJob> {
    let mut job = TrainingJob::clone(&job(None));
    job.metadata.name = Some("resnet".into());
    job.metadata.uid = Some("other-uid".into());
    job.spec.queue_name = "vision".into();
    job.spec.accelerators.min = Some(8);
    job.spec.accelerators.max = Some(8);
    job.spec.accelerators.requested = Some(8);
    Arc::new(job)
}

/// The job of `research`, which holds all sixteen and can do with no fewer than `least`.
fn borrower(least: i32, status: serde_json::Value) -> Arc<TrainingJob> {
    let mut job = TrainingJob::clone(&job(Some(status)));
    job.spec.accelerators.min = Some(least);
    Arc::new(job)
}

/// Both turns, with what the planner decides for them carried out; its plan is lawful.
fn decide(world: &World, jobs: [Arc<TrainingJob>; 2]) -> BTreeMap<String, Turn> {
    let mut turns = jobs.map(|job| think(world, &job, Known::default()));
    let planned: Vec<Planned> = turns.iter().filter_map(|turn| turn.planned(&Config::default(), now())).collect();
    let snapshot = plimsoll_observe::snapshot(&world.objects, &planned, &Settings::default(), now());
    let plan = plimsoll_scheduling::plan(&snapshot, now());
    assert_eq!(check(&snapshot, &plan, now()), [], "{plan:#?}");
    for turn in &mut turns {
        turn.decide(action(&plan, &turn.key), now());
        finish(world, turn);
    }
    turns.into_iter().map(|turn| (turn.key.name.clone(), turn)).collect()
}

fn action(plan: &Plan, key: &JobKey) -> Action {
    plan.decisions.iter().find(|decision| decision.job == *key).unwrap().action.clone()
}

fn status(turn: &Turn) -> serde_json::Value {
    serde_json::to_value(&turn.status).unwrap()
}

#[test]
fn a_borrower_that_cannot_shrink_is_preempted_after_its_checkpoint_and_comes_back() {
    let both = || vec![pod(0, runs()), pod(1, runs())];
    let turns = decide(&shared(both()), [borrower(16, holding("Running")), newcomer()]);
    let (lender, lent) = (&turns["resnet"], &turns["llm"]);
    assert_eq!(lender.status.waiting.as_ref().unwrap().reason, "WaitingForPreemption");
    assert_eq!(lent.gives, Some(Gives::Preempted));
    assert!(matches!(
        lent.state.phase,
        Phase::Stopping { why: StopCause::Preempted { .. }, checkpoint_until: Some(_), .. }
    ));
    assert_eq!(lent.status.summary.as_deref(), Some("Preempted"));
    let note = lent.notes.iter().find(|note| note.reason == "Preempted").unwrap();
    assert!(note.message.contains("resnet of queue vision takes what queue research borrows"), "{}", note.message);

    // Its checkpoint is written, and its pods are told to end.
    let world = shared(both());
    let known = Known { checkpoint_written: true, ..Known::default() };
    let mut lent = think(&world, &borrower(16, status(lent)), known);
    finish(&world, &mut lent);
    assert!(lent.work.delete.is_some());

    // Its pods are gone: the lender starts, and the borrower waits for what is its own and what is lent.
    let jobs = [
        borrower(16, status(&lent)),
        Arc::new(TrainingJob { status: Some(lender.status.clone()), ..TrainingJob::clone(&newcomer()) }),
    ];
    let turns = decide(&shared(vec![]), jobs);
    let (lender, lent) = (&turns["resnet"], &turns["llm"]);
    assert_eq!(lender.status.allocation.as_ref().map(|held| held.gpus), Some(8));
    assert!(matches!(lent.state.phase, Phase::Waiting { after: Some(StopCause::Preempted { .. }), .. }));
    assert!(lent.status.waiting.as_ref().is_some_and(|waiting| waiting.reason.starts_with("WaitingFor")));
    let planned = lent.planned(&Config::default(), now()).unwrap();
    assert_eq!((planned.standing, planned.waiting_since), (Standing::Waiting, Some(now())));

    // The lender has ended: the borrower comes back to all sixteen.
    let mut last = think(&shared(vec![]), &borrower(16, status(lent)), Known::default());
    let again = plan(&shared(vec![]), &last);
    last.decide(again, now());
    finish(&shared(vec![]), &mut last);
    let held = last.status.allocation.clone().unwrap();
    assert_eq!((held.revision, held.gpus), (2, 16));
    assert!(held.because.unwrap().starts_with("preempted: "));
}

#[test]
fn a_borrower_that_can_shrink_keeps_what_is_its_own() {
    let turns = decide(&shared(vec![pod(0, runs()), pod(1, runs())]), [borrower(8, holding("Running")), newcomer()]);
    let lent = &turns["llm"];
    assert_eq!(lent.gives, Some(Gives::Reclaimed));
    assert_eq!(lent.status.summary.as_deref(), Some("Resizing"));
    assert_eq!(lent.status.next.as_ref().map(|next| next.gpus), Some(8));
    assert_eq!(turns["resnet"].status.waiting.as_ref().unwrap().reason, "WaitingForPreemption");
}
