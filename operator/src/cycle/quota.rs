//! A job that is moved gives its share of a ResourceQuota back first, and the apiserver counts both of its revisions
//! until then. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use plimsoll_lifecycle::{Phase, StopCause};
use plimsoll_scheduling::{JobKey, Snapshot, over_counted};

use crate::job::Turn;

/// For how long new pods wait for a quota to notice that the old ones have ended. Afterwards they are created, and the
/// apiserver says what is wrong.
const PATIENCE: SignedDuration = SignedDuration::from_secs(10);

/// Keeps the pods of new revisions back while a quota still counts those that have just ended. Its next status wakes the
/// cycle.
pub(super) fn pace(snapshot: &Snapshot, turns: &mut BTreeMap<JobKey, Turn>, now: Timestamp) {
    let waits = |turn: &Turn| {
        turn.work.create
            && matches!(turn.state.phase, Phase::Committed { since } if now.duration_since(since) < PATIENCE)
    };
    if snapshot.namespace_quotas.is_empty() || !turns.values().any(waits) {
        return;
    }
    for key in over_counted(snapshot) {
        if let Some(turn) = turns.get_mut(&key).filter(|turn| waits(turn)) {
            turn.work.create = false;
        }
    }
}

/// Whether the trial of a move failed at nothing but a quota, which the job's own old pods fill. The apiserver looks at
/// quotas last, and what is left without the old pods is the planner's to know.
pub(super) fn is_all_that_refuses(turn: &Turn, message: &str) -> bool {
    let moves = matches!(turn.state.phase, Phase::Stopping { why: StopCause::Move, .. });
    moves && message.contains("forbidden: exceeded quota: ")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plimsoll_observe::Planned;
    use plimsoll_scheduling::{Action, Reason, plan};
    use serde_json::{Value, json};

    use super::*;
    use crate::config::Config;
    use crate::fixtures::{ended, holding, job, now, pod, runs, think, world};
    use crate::job::Known;
    use crate::world::World;

    /// The two nodes and the queue, in a namespace with a quota of devices.
    fn world_with(pods: Vec<Value>, hard: u32, used: u32) -> World {
        let amount = |devices: u32| json!({"requests.nvidia.com/gpu": devices.to_string()});
        let quota = json!({"metadata": {"name": "team", "namespace": "nlp"}, "spec": {"hard": amount(hard)},
            "status": {"hard": amount(hard), "used": amount(used)}});
        let mut objects = world(pods).objects;
        objects.resource_quotas = vec![Arc::new(serde_json::from_value(quota).unwrap())];
        World::of(objects, None)
    }

    fn snapshot(world: &World, turn: &Turn) -> Snapshot {
        let planned: Vec<Planned> = turn.planned(&Config::default(), now()).into_iter().collect();
        plimsoll_observe::snapshot(&world.objects, &planned, &Config::default().planning(), now())
    }

    #[test]
    fn a_job_waits_for_its_namespaces_quota_and_starts_when_that_is_raised() {
        let decided = |hard| {
            let world = world_with(vec![], hard, 10);
            let mut job = plimsoll_crds::TrainingJob::clone(&job(None));
            job.spec.accelerators.min = Some(16);
            let turn = think(&world, &Arc::new(job), Known::default());
            plan(&snapshot(&world, &turn), now()).decisions.remove(0).action
        };
        let Action::Wait { reason, message, .. } = decided(24) else { unreachable!() };
        assert_eq!(reason, Reason::WaitingForNamespaceQuota);
        assert_eq!(message, "needs 16 nvidia.com/gpu of ResourceQuota nlp/team; 14 of 24 are free");
        assert!(matches!(decided(26), Action::Start { .. }));
    }

    /// Whether a revision that was committed so many seconds ago gets its pods.
    fn creates(pods: Vec<Value>, hard: u32, used: u32, seconds: i64) -> bool {
        let world = world_with(pods, hard, used);
        let mut status = holding("Committed");
        status["lifecycle"]["since"] = json!((now() - SignedDuration::from_secs(seconds)).to_string());
        status["lifecycle"]["lastRevision"] = json!(2);
        status["allocation"]["revision"] = json!(2);
        let turn = think(&world, &job(Some(status)), Known::default());
        let snapshot = snapshot(&world, &turn);
        let mut turns = BTreeMap::from([(turn.key.clone(), turn)]);
        pace(&snapshot, &mut turns, now());
        turns.into_values().all(|turn| turn.work.create)
    }

    #[test]
    fn new_pods_wait_for_the_quota_to_notice_that_the_old_ones_have_ended() {
        let old = || vec![pod(0, ended(0, "")), pod(1, ended(0, ""))];
        assert!(!creates(old(), 16, 16, 1));
        assert!(creates(old(), 16, 0, 1));
        assert!(creates(old(), 32, 16, 1), "there is room for both");
        assert!(creates(old(), 16, 16, 10), "the apiserver is to say what is wrong");
    }

    #[test]
    fn a_move_is_not_refused_for_the_quota_that_its_old_pods_fill() {
        let refused = "pods \"llm-r2-0\" is forbidden: exceeded quota: team, requested: requests.nvidia.com/gpu=8, \
            used: requests.nvidia.com/gpu=16, limited: requests.nvidia.com/gpu=16";
        let world = world_with(vec![pod(0, runs()), pod(1, runs())], 16, 16);
        let mut turn = think(&world, &job(Some(holding("Running"))), Known::default());
        assert!(!is_all_that_refuses(&turn, refused), "it does not move");
        turn.state.phase = Phase::Stopping { why: StopCause::Move, since: now(), checkpoint_until: None };
        assert!(is_all_that_refuses(&turn, refused));
        let other = "pods \"llm-r2-0\" is forbidden: violates PodSecurity \"restricted:latest\"";
        assert!(!is_all_that_refuses(&turn, other));
    }
}
