//! Laws of a single decision.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use plimsoll_menu::Candidate;

use super::Violation;
use super::fits::objection;
use super::moves::Wants;
use super::near::together;
use super::world::World;
use crate::{Action, Allocation, Cause, Elasticity, Job, JobKey, Mode, Plan, Reason, Snapshot, Standing};

/// Every job of the snapshot has exactly one decision, and nobody else has one.
pub(super) fn once_each(snapshot: &Snapshot, plan: &Plan) -> Vec<Violation> {
    let mut decided: BTreeMap<&JobKey, usize> = snapshot.jobs.iter().map(|job| (&job.key, 0)).collect();
    let mut violations = Vec::new();
    for decision in &plan.decisions {
        match decided.get_mut(&decision.job) {
            Some(count) => *count += 1,
            None => violations.push(Violation::UnknownJob { job: decision.job.clone() }),
        }
    }
    let wrong = decided.into_iter().filter(|(_, decisions)| *decisions != 1);
    violations.extend(wrong.map(|(job, decisions)| Violation::NotDecidedOnce { job: job.clone(), decisions }));
    violations
}

/// What waits starts or waits, what is placed stays or moves, what is held repeats its reason.
pub(super) fn goes_with_standing(job: &Job, action: &Action) -> Option<Violation> {
    let standing = match &job.standing {
        Standing::Held { .. } => "held",
        Standing::Waiting => "waiting",
        Standing::Placed(_) => "placed",
        Standing::Leaving(_) => "leaving",
        Standing::Moving { .. } => "moving",
    };
    let (word, lawful) = match action {
        Action::Keep => ("stay", !matches!(standing, "held" | "waiting")),
        Action::Start { .. } => ("start", standing == "waiting"),
        Action::Move { .. } => ("move", standing == "placed"),
        Action::LiveBatch { .. } => ("change its batch", standing == "placed"),
        Action::Preempt { .. } => ("give its devices back", standing == "placed"),
        Action::Wait { reason, message, .. } => match &job.standing {
            Standing::Held { reason: held, message: why } => {
                ("wait for another reason", reason == held && message == why)
            }
            Standing::Waiting => ("wait for such a reason", reason_of_the_planner(*reason)),
            _ => ("wait", false),
        },
    };
    (!lawful).then(|| Violation::WrongAction { job: job.key.clone(), standing, action: word })
}

/// Whether the planner may give this reason of its own.
fn reason_of_the_planner(reason: Reason) -> bool {
    use Reason as R;
    match reason {
        R::QueueMissing
        | R::QueueForbidden
        | R::BudgetExhausted
        | R::NoFeasibleSize
        | R::ExceedsQuota
        | R::ExceedsCluster
        | R::WaitingForNamespaceQuota
        | R::WaitingForQuota
        | R::WaitingForPreemption
        | R::WaitingForTopology
        | R::WaitingForNodes
        | R::WaitingForCapacity => true,
        R::Invalid | R::Suspended | R::PodsRejected | R::BackoffAfterFailure | R::Starting | R::Pending => false,
    }
}

/// What is placed is on the menu, whole, on open nodes that its pods may use.
pub(super) fn gang_is_whole(world: &World<'_>, job: &Job, action: &Action) -> Vec<Violation> {
    let (Action::Start { candidate, nodes } | Action::Move { candidate, nodes, .. }) = action else {
        return Vec::new();
    };
    let mut violations = Vec::new();
    if !job.menu.candidates.contains(candidate) {
        violations.push(Violation::NotOnMenu { job: job.key.clone() });
    }
    let pods = candidate.shape.pods;
    let distinct: BTreeSet<&String> = nodes.iter().collect();
    if distinct.len() != nodes.len() || nodes.len() != pods as usize {
        violations.push(Violation::GangTorn { job: job.key.clone(), pods, nodes: distinct.len() });
    }
    let known = distinct.iter().filter_map(|name| world.nodes.get(name.as_str()).copied());
    if let Some(level) = &job.topology.required
        && (together(world.snapshot, job, known) as usize) < distinct.len()
    {
        violations.push(Violation::Apart { job: job.key.clone(), level: level.clone() });
    }
    for name in distinct {
        let why = match world.nodes.get(name.as_str()) {
            None => Some("it does not exist"),
            Some(node) if !node.open => Some("it is closed"),
            Some(node) if node.class != candidate.shape.class => Some("it has another class"),
            Some(node) if node.partitioned && candidate.shape.gpus() > 1 => Some("its devices are slices, used alone"),
            Some(node) => objection(job, node),
        };
        if let Some(why) = why {
            violations.push(Violation::NodeUnfit { job: job.key.clone(), node: name.clone(), why });
        }
    }
    violations
}

/// Who is moved, or told another batch, has agreed to it, is left in peace in between, and takes nothing from a waiter.
pub(super) fn move_is_allowed(
    world: &World<'_>,
    wants: &Wants<'_>,
    job: &Job,
    action: &Action,
    now: Timestamp,
) -> Vec<Violation> {
    let (candidate, live) = match action {
        // Laws of their own.
        Action::Move { cause: Cause::Reclaimed, .. } => return Vec::new(),
        Action::Move { candidate, .. } => (candidate, false),
        Action::LiveBatch { candidate, .. } => (candidate, true),
        _ => return Vec::new(),
    };
    let Standing::Placed(held) = &job.standing else { return Vec::new() };
    let rules = &world.snapshot.rules.moves;
    let queue_limit = world.queue(&job.queue).and_then(|queue| queue.moves_per_job_hour).unwrap_or(u32::MAX);
    let seconds_since = |then: Timestamp| now.duration_since(then).as_secs_f64();
    let calm = seconds_since(held.since).min(held.last_move.map_or(f64::INFINITY, seconds_since));
    let same_devices = held.shape == candidate.shape && held.layout == candidate.layout;
    let grows_to_its_aim = world.aim(job) == Some(candidate) && candidate.shape.gpus() > held.shape.gpus();
    let gathers = matches!(action, Action::Move { cause: Cause::Consolidated, .. });
    let complaints = [
        (!rules.enabled, "moves are switched off"),
        (job.mode != Mode::Auto, "its mode is not Auto"),
        (!held.running, "it is not running"),
        (!held.observed, "nothing was observed"),
        (held.moves_last_hour >= rules.per_job_hour.min(queue_limit), "it moved often enough in this hour"),
        (calm < rules.cool_down_seconds, "it is cooling down"),
        (!live && job.elasticity == Elasticity::Fixed, "it is Fixed"),
        (!live && job.elasticity == Elasticity::Moldable && !same_devices, "it is Moldable"),
        (live && !(same_devices && held.live_batch), "its program cannot follow"),
        (live && held.batch.global != candidate.batch.global, "its global batch would change"),
        (!gathers && !grows_to_its_aim && !is_preferred(job, held, candidate), "the menu does not prefer it"),
        (gathers && !(same_devices && held.batch == candidate.batch), "it does not keep its shape"),
        (gathers && !world.gets_room_of(held), "nobody gets the room that it leaves"),
        (gathers && !job.preemptible, "it is not preemptible"),
    ];
    let mut violations: Vec<Violation> = complaints
        .into_iter()
        .filter(|(complaint, _)| *complaint)
        .map(|(_, why)| Violation::MoveForbidden { job: job.key.clone(), why })
        .collect();
    // It goes elsewhere for the sake of one that waits.
    if !gathers {
        violations.extend(wants.overtaken(world, job, held, action));
    }
    violations
}

/// The candidate stands before what runs now on the menu.
fn is_preferred(job: &Job, held: &Allocation, candidate: &Candidate) -> bool {
    let place = |wanted: &dyn Fn(&Candidate) -> bool| job.menu.candidates.iter().position(wanted);
    let target = place(&|other| other == candidate);
    let current = place(&|other| other.shape == held.shape && other.layout == held.layout && other.batch == held.batch);
    target.is_some_and(|target| current.is_none_or(|current| target < current))
}
