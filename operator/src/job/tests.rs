mod reclaim;
mod transient;

use std::sync::Arc;

use plimsoll_crds::TrainingJob;
use plimsoll_crds::condition;
use plimsoll_crds::training_job::{MemoryEvidenceKind, OptimalityVerdict};
use plimsoll_lifecycle::{Phase, StopCause};
use plimsoll_menu::Candidate;
use plimsoll_observe::Settings;
use plimsoll_scheduling::{Action, Cause, Decision, Reason};
use serde_json::json;

use super::{Known, Release, Turn, update_status};
use crate::config::Config;
use crate::fixtures::{ended, holding, job, now, pod, runs, think, world};
use crate::learning::Heard;
use crate::world::World;

/// What the planner decides for the one job.
fn plan(world: &World, turn: &Turn) -> Action {
    let planned = turn.planned(&Config::default(), now()).into_iter().collect::<Vec<_>>();
    let snapshot = plimsoll_observe::snapshot(&world.objects, &planned, &Settings::default(), now());
    let Decision { action, .. } = plimsoll_scheduling::plan(&snapshot, now()).decisions.remove(0);
    action
}

fn finish(world: &World, turn: &mut Turn) {
    update_status::finish(turn, &world.classes, jiff::SignedDuration::from_secs(300), now());
}

fn reason(turn: &Turn, type_: &str) -> Option<String> {
    turn.status.conditions.iter().find(|c| c.type_ == type_).map(|c| c.reason.clone())
}

#[test]
fn a_new_job_is_sized_committed_and_created_in_one_turn() {
    let world = world(vec![]);
    let mut turn = think(&world, &job(None), Known::default());
    let action = plan(&world, &turn);
    assert!(matches!(action, Action::Start { .. }), "{action:?}");
    turn.decide(action, now());
    finish(&world, &mut turn);
    let allocation = turn.status.allocation.clone().unwrap();
    assert_eq!((allocation.revision, allocation.gpus, allocation.pods), (1, 16, 2));
    assert_eq!(allocation.micro_batch * allocation.gradient_accumulation * allocation.data_parallel, 64);
    assert!(turn.work.create && turn.work.trial.is_some());
    assert!(turn.status.predicted.is_some());
    assert_eq!(turn.status.summary.as_deref(), Some("Starting"));
    assert_eq!(turn.status.waiting.as_ref().unwrap().reason, "Starting");
    assert!(condition::is_true(&turn.status.conditions, condition::job::ADMITTED));
    let told: Vec<&str> = turn.notes.iter().map(|note| note.reason.as_str()).collect();
    assert_eq!(told, ["Sized", "Admitted"]);
}

#[test]
fn whether_parameters_and_data_fit_each_other_is_said_with_the_numbers_behind_it() {
    let world = world(vec![]);
    let mut turn = think(&world, &job(None), Known::default());
    finish(&world, &mut turn);
    let told = turn.status.compute_optimality.clone().unwrap();
    assert_eq!(told.verdict, OptimalityVerdict::DataStarved);
    assert!(told.ratio_permille.is_some_and(|ratio| ratio < 500) && told.optimal_tokens.is_some());
    let condition = turn.status.conditions.iter().find(|c| c.type_ == condition::job::COMPUTE_OPTIMAL).unwrap();
    assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("False", "DataStarved"));
    assert!(condition.message.starts_with("data-starved: 0."), "{}", condition.message);

    let mut adapters = TrainingJob::clone(&job(Some(serde_json::to_value(&turn.status).unwrap())));
    adapters.spec.method = serde_json::from_value(json!({"type": "Lora", "lora": {"rank": 8}})).unwrap();
    let mut turn = think(&world, &Arc::new(adapters), Known { sized: turn.sized, ..Known::default() });
    finish(&world, &mut turn);
    let told = turn.status.compute_optimality.clone().unwrap();
    assert_eq!((told.verdict, told.law), (OptimalityVerdict::NotApplicable, None));
    assert!(told.reason.is_some_and(|reason| reason.contains("fine-tuning")));
    assert_eq!(reason(&turn, condition::job::COMPUTE_OPTIMAL), None);
}

#[test]
fn a_running_job_says_when_it_ends_and_says_so_again_only_when_that_moves() {
    let world = world(vec![pod(0, runs()), pod(1, runs())]);
    let mut status = holding("Running");
    status["progress"] = json!({"step": 100, "totalSteps": 1100});
    status["predicted"] =
        json!({"deviceMemoryBytes": 1, "stepMilliseconds": 2000, "smActivityPercent": 90, "mfuPermille": 400});
    let told = |status: &serde_json::Value| {
        let mut turn = think(&world, &job(Some(status.clone())), Known::default());
        finish(&world, &mut turn);
        turn.status.eta.map(|at| at.0.duration_since(now()).as_secs())
    };
    assert_eq!(told(&status), Some(2000), "1000 steps of 2 s");
    status["observed"] = json!({"stepMilliseconds": 3000});
    assert_eq!(told(&status), Some(3000), "what was seen comes before what was predicted");
    let at = |seconds: i64| json!(now() + jiff::SignedDuration::from_secs(seconds));
    status["eta"] = at(3100);
    assert_eq!(told(&status), Some(3100), "near enough");
    status["eta"] = at(3200);
    assert_eq!(told(&status), Some(3000));
    assert_eq!(told(&holding("Stopping")), None);
}

#[test]
fn a_reason_that_needs_somebody_is_told_once() {
    let world = world(vec![]);
    let known = || Known { trial_refused: Some("violates PodSecurity".into()), ..Known::default() };
    let mut turn = think(&world, &job(None), known());
    let action = plan(&world, &turn);
    turn.decide(action, now());
    finish(&world, &mut turn);
    let told = turn.notes.last().unwrap();
    assert_eq!(
        (told.reason.as_str(), told.message.as_str(), told.warning),
        ("PodsRejected", "violates PodSecurity", true)
    );
    let mut again = think(&world, &job(Some(serde_json::to_value(&turn.status).unwrap())), known());
    let action = plan(&world, &again);
    again.decide(action, now());
    finish(&world, &mut again);
    assert!(again.notes.is_empty(), "{:?}", again.notes);
    assert_eq!(again.status, turn.status, "and nothing is written again");
}

#[test]
fn a_job_that_has_ended_is_left_as_it_is() {
    let mut status = holding("Complete");
    status["allocation"] = serde_json::Value::Null;
    let ended = job(Some(status));
    let world = world(vec![]);
    let mut turn = think(&world, &ended, Known::default());
    assert!(turn.planned(&Config::default(), now()).is_none());
    finish(&world, &mut turn);
    assert_eq!(Some(&turn.status), ended.status.as_ref());
}

#[test]
fn running_out_of_device_memory_starts_again_at_once_with_a_smaller_micro_batch() {
    let out = r#"{"reason":"OutOfMemory","peakMemoryBytes":90000000000}"#;
    let world = world(vec![pod(0, ended(1, out)), pod(1, ended(1, "NCCL error"))]);
    let mut turn = think(&world, &job(Some(holding("Running"))), Known::default());
    assert_eq!(turn.state.phase, Phase::Waiting { not_before: None, after: Some(StopCause::DeviceOutOfMemory) });
    let action = plan(&world, &turn);
    turn.decide(action, now());
    let allocation = turn.status.allocation.clone().unwrap();
    assert_eq!((allocation.revision, allocation.global_batch), (2, 64));
    assert!(allocation.micro_batch < 4, "{allocation:?}");
    let because = allocation.because.unwrap();
    assert!(because.starts_with("micro-batch 4 on 16 x h100 ran out of device memory; "), "{because}");
    assert_eq!(turn.status.host_memory, None, "device memory says nothing of the host's");
    let learned = turn.status.evidence.clone().unwrap();
    assert_eq!((learned.memory[0].kind, learned.memory[0].micro_batch), (MemoryEvidenceKind::RanOut, 4));
    assert_eq!(learned.memory[0].bytes, Some(90_000_000_000));
    let counters = turn.status.counters.clone().unwrap();
    assert_eq!((counters.device_out_of_memory, counters.failures), (1, 0));
    assert_eq!(turn.notes[0].reason, "DeviceOutOfMemory");
}

#[test]
fn an_echo_that_was_counted_is_taken_back_when_its_cause_is_heard() {
    let mut status = holding("Stopping");
    status["lifecycle"]["stopCause"] = json!("ProgramFailed");
    status["lifecycle"]["failures"] = json!(1);
    status["counters"] = json!({"failures": 1});
    let world = world(vec![pod(0, ended(1, r#"{"reason":"OutOfMemory"}"#)), pod(1, runs())]);
    let turn = think(&world, &job(Some(status)), Known::default());
    let counters = turn.status.counters.unwrap();
    assert_eq!((counters.device_out_of_memory, counters.failures), (1, 0));
}

#[test]
fn host_memory_is_a_failure_and_teaches_nothing_about_devices() {
    let mut killed = ended(137, "");
    killed["containerStatuses"][0]["state"]["terminated"]["reason"] = json!("OOMKilled");
    let world = world(vec![pod(0, killed), pod(1, runs())]);
    let turn = think(&world, &job(Some(holding("Running"))), Known::default());
    let counters = turn.status.counters.clone().unwrap();
    assert_eq!((counters.host_out_of_memory, counters.device_out_of_memory, counters.failures), (1, 0, 1));
    assert!(turn.status.evidence.is_none());
    let host = turn.status.host_memory.clone().unwrap();
    assert!(host.given_bytes > host.killed_at_bytes && host.extra_bytes_per_gpu > 0, "{host:?}");
    assert!(turn.work.delete.is_some(), "the revision ends whole");
}

fn eight(turn: &Turn) -> Candidate {
    turn.menu().unwrap().candidates.iter().find(|c| c.shape.gpus() == 8).unwrap().clone()
}

#[test]
fn a_move_asks_for_a_checkpoint_and_keeps_its_target() {
    let world = world(vec![pod(0, runs()), pod(1, runs())]);
    let mut turn = think(&world, &job(Some(holding("Running"))), Known::default());
    let action = Action::Move {
        candidate: eight(&turn),
        nodes: vec!["n1".into()],
        cause: Cause::UnderUsed,
        message: "16 -> 8".into(),
    };
    turn.decide(action, now());
    finish(&world, &mut turn);
    assert!(matches!(turn.state.phase, Phase::Stopping { why: StopCause::Move, checkpoint_until: Some(_), .. }));
    assert_eq!(turn.status.next.as_ref().map(|next| (next.gpus, next.revision)), Some((8, 2)));
    assert_eq!(turn.status.allocation.as_ref().map(|held| held.gpus), Some(16));
    assert_eq!(turn.status.summary.as_deref(), Some("Resizing"));
    assert_eq!((turn.work.create, turn.work.delete), (false, None), "it goes on training until it has saved");
    assert!(turn.work.trial.is_some(), "nothing is stopped for pods that would be refused");
    assert_eq!(turn.status.counters.as_ref().unwrap().moves, 1);

    // Its pods are gone: the target is committed, and everybody can see whose devices came free.
    let empty = crate::fixtures::world(vec![]);
    let mut moving = serde_json::to_value(&turn.status).unwrap();
    moving["lifecycle"]["deadline"] = serde_json::Value::Null;
    let turn = think(&empty, &job(Some(moving)), Known::default());
    let held = turn.status.allocation.clone().unwrap();
    assert_eq!((held.revision, held.gpus, held.nodes.as_slice()), (2, 8, &["n1".to_owned()][..]));
    assert!(turn.status.next.is_none() && turn.work.create);
    assert_eq!(turn.notes[0].reason, "Resized");
    let release = turn.release(now()).unwrap();
    assert_eq!(
        (release.nodes.as_slice(), release.how.as_str()),
        (&["n2".to_owned()][..], "moved from 16 x h100 to 8 x h100")
    );
}

#[test]
fn what_runs_is_not_stopped_for_pods_that_the_apiserver_refuses() {
    let world = world(vec![pod(0, runs()), pod(1, runs())]);
    let known = Known { trial_refused: Some("no".into()), ..Known::default() };
    let mut turn = think(&world, &job(Some(holding("Running"))), known);
    let (candidate, nodes) = (eight(&turn), vec!["n1".into()]);
    turn.decide(Action::Move { candidate, nodes, cause: Cause::Faster, message: String::new() }, now());
    assert!(matches!(turn.state.phase, Phase::Running { .. }));
}

#[test]
fn a_live_change_keeps_the_revision_and_what_was_seen_is_seen_anew() {
    let mut status = holding("Running");
    status["observed"] = json!({"stepMilliseconds": 100, "windowSeconds": 60, "use": "40%", "smActivityPercent": 40});
    let world = world(vec![pod(0, runs()), pod(1, runs())]);
    let mut turn = think(&world, &job(Some(status)), Known::default());
    let mut candidate = turn.menu().unwrap().candidates[0].clone();
    candidate.batch = plimsoll_menu::Batch { micro: 2, accumulation: 2, global: 64 };
    let batch = candidate.batch;
    turn.decide(Action::LiveBatch { batch, candidate, message: "why".into() }, now());
    let held = turn.status.allocation.clone().unwrap();
    assert_eq!((held.revision, held.micro_batch, held.batch.as_str()), (1, 2, "2 x 2 x 16"));
    assert!(held.live_batch_at.is_some());
    assert!(!super::standing::is_observed(&turn.status));
    assert_eq!(
        turn.status.observed.as_ref().unwrap().use_.as_deref(),
        Some("40%"),
        "the column stays until there is news"
    );
    assert_eq!((turn.status.counters.as_ref().unwrap().live_batches, turn.work.clone()), (1, super::Work::default()));
}

#[test]
fn a_job_that_waited_for_devices_says_whose_they_were() {
    let waiting = json!({
        "waiting": {"reason": "WaitingForCapacity", "message": "", "since": "2026-11-25T11:50:00Z"},
        "lifecycle": {"state": "Waiting", "lastRevision": 0},
    });
    let release = |minutes: i64, job: &str| Release {
        job: plimsoll_scheduling::JobKey { namespace: "cv".into(), name: job.into() },
        nodes: vec!["n2".into()],
        at: now() - jiff::SignedDuration::from_mins(minutes),
        how: "moved from 8 x h100 to 4 x h100".into(),
    };
    let known = Known { released: Arc::new(vec![release(20, "old"), release(1, "resnet")]), ..Known::default() };
    let world = world(vec![]);
    let mut turn = think(&world, &job(Some(waiting)), known);
    let action = plan(&world, &turn);
    turn.decide(action, now());
    let because = turn.status.allocation.unwrap().because.unwrap();
    assert!(because.contains("cv/resnet moved from 8 x h100 to 4 x h100"), "{because}");
    assert!(!because.contains("old"), "that was before it waited");
}

#[test]
fn a_suspended_job_gives_its_devices_back_and_keeps_its_reason() {
    let mut suspended = plimsoll_crds::TrainingJob::clone(&job(Some(holding("Running"))));
    suspended.spec.suspend = true;
    let (running, suspended) = (world(vec![pod(0, runs()), pod(1, runs())]), Arc::new(suspended));
    let turn = think(&running, &suspended, Known::default());
    assert!(matches!(turn.state.phase, Phase::Stopping { why: StopCause::Suspend, .. }));

    let mut stopping = holding("Stopping");
    stopping["lifecycle"]["stopCause"] = json!("Suspend");
    let mut gone = plimsoll_crds::TrainingJob::clone(&suspended);
    gone.status = serde_json::from_value(stopping).unwrap();
    let world = world(vec![]);
    let mut turn = think(&world, &Arc::new(gone), Known::default());
    let action = plan(&world, &turn);
    turn.decide(action, now());
    finish(&world, &mut turn);
    assert_eq!(turn.state.phase, Phase::Suspended);
    assert!(turn.status.allocation.is_none());
    assert_eq!(turn.status.waiting.as_ref().unwrap().reason, Reason::Suspended.as_str());
    assert_eq!(reason(&turn, condition::job::SUSPENDED).as_deref(), Some("Suspended"));
}

#[test]
fn an_invalid_job_says_which_field_is_wrong_and_one_that_runs_is_left_to_run() {
    let mut broken = plimsoll_crds::TrainingJob::clone(&job(None));
    broken.spec.trainer_container = Some("nobody".into());
    let (empty, broken) = (world(vec![]), Arc::new(broken));
    let mut turn = think(&empty, &broken, Known::default());
    let action = plan(&empty, &turn);
    turn.decide(action, now());
    finish(&empty, &mut turn);
    assert_eq!(turn.status.waiting.as_ref().unwrap().reason, "Invalid");
    let valid = turn.status.conditions.iter().find(|c| c.type_ == condition::job::VALID).unwrap();
    assert!(valid.message.contains("trainerContainer"), "{}", valid.message);

    let mut edited = plimsoll_crds::TrainingJob::clone(&broken);
    edited.status = serde_json::from_value(holding("Running")).unwrap();
    let world = world(vec![pod(0, runs()), pod(1, runs())]);
    let turn = think(&world, &Arc::new(edited), Known::default());
    assert!(matches!(turn.state.phase, Phase::Running { .. }), "{:?}", turn.state);
}

/// A report of the job's first revision that was heard and answered a moment ago.
fn heard(step: u64) -> Known {
    let said = plimsoll_protocol::TrainingReport {
        version: 1,
        revision: 1,
        step: Some(step),
        total_steps: Some(1000),
        ..plimsoll_protocol::TrainingReport::default()
    };
    let report = plimsoll_protocol::Report { trainer_status: None, plimsoll: Some(said) };
    Known { heard: Some(Heard { revision: 1, report, at: now(), first_step_at: Some(now()) }), ..Known::default() }
}

fn progress(turn: &Turn) -> (Option<i64>, Option<i32>) {
    turn.status.progress.as_ref().map(|progress| (progress.step, progress.percent)).unwrap_or_default()
}

#[test]
fn the_last_report_reaches_the_status_however_the_job_ends() {
    for state in ["Committed", "Starting", "Running", "Stopping"] {
        let mut status = holding(state);
        status["progress"] = json!({"step": 970, "totalSteps": 1000, "percent": 97});
        if state == "Stopping" {
            status["lifecycle"]["stopCause"] = json!("Succeeded");
        }
        let world = world(vec![pod(0, ended(0, "")), pod(1, ended(0, ""))]);
        let mut turn = think(&world, &job(Some(status)), heard(1000));
        finish(&world, &mut turn);
        assert_eq!(turn.state.phase, Phase::Complete, "{state}");
        assert_eq!((progress(&turn), turn.status.summary.as_deref()), ((Some(1000), Some(100)), Some("Complete")));
        let flush = jiff::SignedDuration::from_secs(30);
        assert!(update_status::is_due(turn.job.status.as_ref(), &turn.status, Some(now()), flush, now()));
    }
}

#[test]
fn the_last_report_of_a_job_that_fails_or_is_stopped_counts_too() {
    let failing = world(vec![pod(0, ended(1, "boom")), pod(1, runs())]);
    let mut last = holding("Running");
    last["lifecycle"]["failures"] = json!(99);
    let turn = think(&failing, &job(Some(last.clone())), heard(500));
    assert!(matches!(turn.state.phase, Phase::Stopping { why: StopCause::ProgramFailed { .. }, .. }));
    assert_eq!(progress(&turn), (Some(500), Some(50)));
    let failed = world(vec![pod(0, ended(1, "boom")), pod(1, ended(1, "boom"))]);
    let turn = think(&failed, &job(Some(last)), heard(500));
    assert!(matches!(turn.state.phase, Phase::Failed { .. }), "{:?}", turn.state);
    assert_eq!(progress(&turn), (Some(500), Some(50)));

    let mut suspended = plimsoll_crds::TrainingJob::clone(&job(Some(holding("Running"))));
    suspended.spec.suspend = true;
    let running = world(vec![pod(0, runs()), pod(1, runs())]);
    let turn = think(&running, &Arc::new(suspended), heard(500));
    assert!(matches!(turn.state.phase, Phase::Stopping { why: StopCause::Suspend, .. }));
    assert_eq!(progress(&turn), (Some(500), Some(50)));
}

#[test]
fn a_revision_whose_node_is_taken_ends_whole_waits_a_little_and_says_who() {
    let unbound = json!({"phase": "Pending"});
    let mut second = pod(1, unbound.clone());
    second["spec"]["nodeName"] = serde_json::Value::Null;
    let world = world(vec![pod(0, unbound), second]);
    let known = Known { taken: Some("n2 is held by kube-system/x".into()), ..Known::default() };
    let mut turn = think(&world, &job(Some(holding("Committed"))), known);
    finish(&world, &mut turn);
    assert!(matches!(turn.state.phase, Phase::Stopping { why: StopCause::NodeTaken { .. }, .. }), "{:?}", turn.state);
    assert!(turn.work.delete.is_some() && !turn.work.create);
    let note = &turn.notes[0];
    assert_eq!((note.reason.as_str(), note.warning), ("NodeTaken", true));
    assert_eq!(note.message, "revision 1 ends: n2 is held by kube-system/x");
    assert_eq!((turn.state.failures, turn.state.setbacks), (0, 1));

    let empty = crate::fixtures::world(vec![]);
    let ending = job(Some(serde_json::to_value(&turn.status).unwrap()));
    let mut turn = think(&empty, &ending, Known::default());
    let action = plan(&empty, &turn);
    turn.decide(action, now());
    finish(&empty, &mut turn);
    let waiting = turn.status.waiting.clone().unwrap();
    assert_eq!(waiting.reason, "BackoffAfterFailure");
    assert!(waiting.message.starts_with("n2 is held by kube-system/x; it starts again after "), "{}", waiting.message);
}

#[test]
fn a_pod_that_its_node_refuses_is_a_setback_and_no_failure() {
    let refused = json!({"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": "no healthy devices"});
    let world = world(vec![pod(0, refused), pod(1, ended(1, "rendezvous timed out"))]);
    let turn = think(&world, &job(Some(holding("Starting"))), Known::default());
    let Phase::Waiting { not_before: Some(until), after: Some(why) } = &turn.state.phase else {
        unreachable!("{:?}", turn.state)
    };
    assert!(*until > now());
    assert_eq!(why.sentence(), "its node refused a pod: UnexpectedAdmissionError: no healthy devices");
    assert_eq!((turn.state.failures, turn.state.setbacks), (0, 1));
    assert_eq!(turn.status.counters.as_ref().map_or(0, |counters| counters.failures), 0);
    assert_eq!(turn.notes[0].reason, "RefusedByNode");
}
