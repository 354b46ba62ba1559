//! Step 4: where a job stands, in the planner's words. Pure.

use jiff::{SignedDuration, Timestamp};
use plimsoll_crds::TrainingJobSpec;
use plimsoll_crds::training_job::{Allocation, TrainingJobStatus};
use plimsoll_lifecycle::{Phase, State, StopCause};
use plimsoll_observe::current;
use plimsoll_scheduling::{self as scheduling, Reason, Standing, Target};

use super::memory::natural;

/// What holds a job back that neither its status nor its pods show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Obstacle {
    /// Its specification cannot be run.
    pub invalid: Option<String>,
    /// The apiserver refused a trial of its first pod.
    pub rejected: Option<String>,
    /// Its user wants it suspended.
    pub suspended: bool,
}

/// Where a job stands; `None` when it has ended.
pub fn standing(
    state: &State,
    status: &TrainingJobStatus,
    obstacle: &Obstacle,
    spec: &TrainingJobSpec,
    now: Timestamp,
) -> Option<Standing> {
    let runs_since = match state.phase {
        Phase::Running { since } => Some(since),
        _ => None,
    };
    let held = || status.allocation.as_ref().and_then(|allocation| placed(allocation, status, runs_since, spec, now));
    let held_back = |reason, message: String| Standing::Held { reason, message };
    Some(match &state.phase {
        Phase::Complete | Phase::Failed { .. } => return None,
        Phase::Suspended => held_back(Reason::Suspended, "spec.suspend is true".into()),
        Phase::Waiting { not_before, after } => {
            if let Some(message) = &obstacle.invalid {
                held_back(Reason::Invalid, message.clone())
            } else if obstacle.suspended {
                held_back(Reason::Suspended, "spec.suspend is true".into())
            } else if let Some(message) = &obstacle.rejected {
                held_back(Reason::PodsRejected, message.clone())
            } else if let Some(at) = not_before.filter(|at| *at > now) {
                back_off(after.as_ref(), at)
            } else {
                Standing::Waiting
            }
        }
        Phase::Committed { .. } | Phase::Starting { .. } | Phase::Running { .. } => Standing::Placed(held()?),
        Phase::Stopping { why, .. } => {
            let from = held()?;
            let next = status.next.as_ref().filter(|_| *why == StopCause::Move);
            match next.and_then(target) {
                Some(to) => Standing::Moving { from, to },
                None => Standing::Leaving(from),
            }
        }
    })
}

fn back_off(after: Option<&StopCause>, until: Timestamp) -> Standing {
    let until = until.round(jiff::Unit::Second).unwrap_or(until);
    match after {
        Some(StopCause::PodsRejected { message }) => {
            Standing::Held { reason: Reason::PodsRejected, message: message.clone() }
        }
        after => {
            let why = after.map_or_else(|| "its last revision ended".into(), StopCause::sentence);
            let message = format!("{why}; it starts again after {until}");
            Standing::Held { reason: Reason::BackoffAfterFailure, message }
        }
    }
}

fn target(next: &Allocation) -> Option<Target> {
    Some(Target { shape: current(next)?.shape, nodes: next.nodes.clone() })
}

/// An allocation in the planner's words.
fn placed(
    allocation: &Allocation,
    status: &TrainingJobStatus,
    runs_since: Option<Timestamp>,
    spec: &TrainingJobSpec,
    now: Timestamp,
) -> Option<scheduling::Allocation> {
    let current = current(allocation)?;
    let observed = status.observed.as_ref();
    let step = observed.and_then(|o| o.step_milliseconds).filter(|ms| *ms > 0);
    let moves = status.counters.iter().flat_map(|counters| &counters.recent_moves).map(|time| time.0);
    let hour_ago = now - SignedDuration::from_hours(1);
    let last_batch = allocation.live_batch_at.as_ref().map(|time| time.0);
    Some(scheduling::Allocation {
        revision: natural(allocation.revision),
        shape: current.shape,
        layout: current.layout,
        batch: current.batch,
        nodes: allocation.nodes.clone(),
        since: allocation.committed_at.as_ref().map_or(now, |time| time.0),
        running: runs_since.is_some(),
        observed: is_observed(status),
        step_seconds: step.map(|ms| ms as f64 / 1000.0),
        live_batch: spec.batch.live,
        moves_last_hour: u32::try_from(moves.clone().filter(|at| *at > hour_ago).count()).unwrap_or(u32::MAX),
        last_move: moves.chain(last_batch).max(),
        checkpoint_age_seconds: runs_since.map_or(0.0, |since| checkpoint_age(status, spec, since, now)),
    })
}

/// Seconds of work that a job which runs since `since` would train again if it stopped now. A program that can be asked for a
/// checkpoint loses nothing. One that reports its checkpoints loses the steps since the last. Of another it is only known
/// that it loses no more than its run, and no more than the time between two checkpoints if it writes any.
fn checkpoint_age(status: &TrainingJobStatus, spec: &TrainingJobSpec, since: Timestamp, now: Timestamp) -> f64 {
    if spec.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.on_request || checkpoint.on_signal) {
        return 0.0;
    }
    let step = status.observed.as_ref().and_then(|seen| seen.step_milliseconds).filter(|ms| *ms > 0);
    let reported = status.progress.as_ref().and_then(|progress| progress.step.zip(progress.checkpoint_step));
    if let (Some(milliseconds), Some((done, saved))) = (step, reported) {
        return done.saturating_sub(saved).max(0) as f64 * milliseconds as f64 / 1000.0;
    }
    let ran = now.duration_since(since).as_secs_f64().max(0.0);
    let interval = spec.checkpoint.as_ref().map(|checkpoint| f64::from(checkpoint.interval_seconds));
    // Minutes are exact enough: seconds would make every running job another one in every cycle.
    (interval.map_or(ran, |interval| ran.min(interval)) / 60.0).floor() * 60.0
}

/// Whether step time and a whole window of SM activity were seen of this very revision and batch. What was seen stays
/// seen: `status.observed` is emptied of both when the revision or its batch changes.
pub fn is_observed(status: &TrainingJobStatus) -> bool {
    status.observed.as_ref().is_some_and(|seen| seen.step_milliseconds.is_some() && seen.window_seconds.is_some())
}

#[cfg(test)]
mod tests {
    use plimsoll_crds::training_job::{Counters, Observed, Progress};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn holding() -> TrainingJobStatus {
        let allocation: Allocation = serde_json::from_value(serde_json::json!({
            "revision": 3, "class": "h100", "gpus": 8, "pods": 2, "gpusPerPod": 4, "nodes": ["n1", "n2"],
            "dataParallel": 8, "tensorParallel": 1, "sharding": "None", "recompute": "None", "microBatch": 4,
            "gradientAccumulation": 2, "globalBatch": 64, "batch": "4x2x8", "committedAt": "1970-01-01T01:00:00Z"
        }))
        .unwrap();
        TrainingJobStatus { allocation: Some(allocation), ..TrainingJobStatus::default() }
    }

    fn live() -> TrainingJobSpec {
        let mut spec = TrainingJobSpec::default();
        spec.batch.live = true;
        spec
    }

    fn phase(phase: Phase) -> State {
        State { revision: 3, phase, ..State::default() }
    }

    #[test]
    fn what_holds_devices_is_placed_until_they_are_free() {
        let none = Obstacle { invalid: Some("edited".into()), suspended: true, rejected: None };
        let running = standing(&phase(Phase::Running { since: at(0) }), &holding(), &none, &live(), at(7200)).unwrap();
        let Standing::Placed(placed) = running else { unreachable!("{running:?}") };
        assert!(placed.running && placed.live_batch && !placed.observed);
        assert_eq!((placed.shape.gpus(), placed.since), (8, at(3600)));
        let stopping = Phase::Stopping { why: StopCause::Suspend, since: at(0), checkpoint_until: None };
        assert!(matches!(standing(&phase(stopping), &holding(), &none, &live(), at(0)), Some(Standing::Leaving(_))));
    }

    #[test]
    fn a_job_that_is_being_moved_keeps_both_places() {
        let mut status = holding();
        status.next = status.allocation.clone().map(|a| Allocation { pods: 1, nodes: vec!["n3".into()], ..a });
        let stopping = Phase::Stopping { why: StopCause::Move, since: at(0), checkpoint_until: None };
        let moving =
            standing(&phase(stopping), &status, &Obstacle::default(), &TrainingJobSpec::default(), at(0)).unwrap();
        assert!(matches!(moving, Standing::Moving { to, .. } if to.nodes == ["n3"]));
    }

    #[test]
    fn a_waiting_job_says_what_holds_it_back_and_then_waits() {
        let status = TrainingJobStatus::default();
        let waiting = phase(Phase::Waiting { not_before: Some(at(100)), after: Some(StopCause::HostOutOfMemory) });
        let held = |obstacle, now| standing(&waiting, &status, &obstacle, &TrainingJobSpec::default(), now).unwrap();
        let reason = |standing| match standing {
            Standing::Held { reason, .. } => Some(reason),
            _ => None,
        };
        let invalid = Obstacle { invalid: Some("no".into()), suspended: true, rejected: None };
        assert_eq!(reason(held(invalid, at(0))), Some(Reason::Invalid));
        let rejected = Obstacle { rejected: Some("quota".into()), ..Obstacle::default() };
        assert_eq!(reason(held(rejected, at(200))), Some(Reason::PodsRejected));
        assert_eq!(reason(held(Obstacle::default(), at(0))), Some(Reason::BackoffAfterFailure));
        assert_eq!(held(Obstacle::default(), at(100)), Standing::Waiting);
    }

    #[test]
    fn what_stopping_would_lose_is_as_old_as_the_last_checkpoint() {
        let age = |checkpoint: serde_json::Value, status: &TrainingJobStatus| {
            let spec = TrainingJobSpec {
                checkpoint: serde_json::from_value(checkpoint).unwrap(),
                ..TrainingJobSpec::default()
            };
            checkpoint_age(status, &spec, at(0), at(7230))
        };
        let silent = holding();
        let on_request = serde_json::json!({"path": "/c", "onRequest": true});
        let by_itself = serde_json::json!({"path": "/c", "intervalSeconds": 600});
        assert_eq!(age(on_request, &silent), 0.0);
        assert_eq!(age(by_itself.clone(), &silent), 600.0);
        assert_eq!(age(serde_json::Value::Null, &silent), 7200.0);
        let mut reports = holding();
        reports.observed = Some(Observed { step_milliseconds: Some(500), ..Observed::default() });
        reports.progress = Some(Progress { step: Some(90), checkpoint_step: Some(50), ..Progress::default() });
        assert_eq!(age(by_itself, &reports), 20.0);
    }

    #[test]
    fn moves_older_than_an_hour_do_not_count() {
        let mut status = holding();
        let times = [at(0), at(5000)].map(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time);
        status.counters = Some(Counters { recent_moves: times.to_vec(), ..Counters::default() });
        let placed =
            placed(status.allocation.as_ref().unwrap(), &status, Some(at(0)), &TrainingJobSpec::default(), at(6000))
                .unwrap();
        assert_eq!((placed.moves_last_hour, placed.last_move), (1, Some(at(5000))));
    }

    #[test]
    fn a_revision_is_observed_once_both_step_and_window_were_seen() {
        let mut status = holding();
        status.observed = Some(Observed { step_milliseconds: Some(10), ..Observed::default() });
        assert!(!is_observed(&status));
        status.observed =
            Some(Observed { step_milliseconds: Some(10), window_seconds: Some(60), ..Observed::default() });
        assert!(is_observed(&status));
    }

    #[test]
    fn a_job_that_has_ended_is_not_planned() {
        assert!(
            standing(&phase(Phase::Complete), &holding(), &Obstacle::default(), &TrainingJobSpec::default(), at(0))
                .is_none()
        );
    }
}
