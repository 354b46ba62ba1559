//! Laws of waiting: every refusal was unavoidable, for the reason given, and nobody was overtaken.

use plimsoll_menu::Candidate;

use super::Violation;
use super::fits::{nodes_that_could_fit, nodes_that_fit};
use super::namespace_quota::{allows, could_allow};
use super::world::{Count, Totals, World, goes_before, quota};
use crate::{Action, Elasticity, Job, Reason, Standing};

/// Candidates that can run some day, and are worth taking now; the most preferred first.
pub(super) fn takeable<'a>(world: &World<'a>, job: &'a Job) -> Vec<&'a Candidate> {
    let Some(queue) = world.queue(&job.queue) else { return Vec::new() };
    if queue.namespaces.as_ref().is_some_and(|namespaces| !namespaces.contains(&job.key.namespace)) {
        return Vec::new();
    }
    let possible = |candidate: &&Candidate| {
        quota(queue, &candidate.shape.class).is_none_or(|limit| candidate.shape.gpus() <= limit)
            && nodes_that_could_fit(world, job, &candidate.shape) >= candidate.shape.pods
            && could_allow(world, job, &candidate.shape)
    };
    let mut all: Vec<&Candidate> = job.menu.candidates.iter().filter(possible).collect();
    let bearable = |aim: &&Candidate| {
        let first = all.first().map_or(0.0, |first| first.predicted.step_seconds);
        job.elasticity == Elasticity::Elastic || aim.predicted.step_seconds <= 2.0 * first
    };
    if let Some(aim) = world.aim(job).filter(bearable).filter(|aim| all.contains(aim)) {
        all.retain(|candidate| candidate.shape.gpus() <= aim.shape.gpus() && *candidate != aim);
        all.insert(0, aim);
    }
    let longest = all.first().map_or(0.0, |first| 2.0 * first.predicted.step_seconds);
    let mut first = true;
    all.retain(|candidate| std::mem::take(&mut first) || candidate.predicted.step_seconds <= longest);
    all
}

/// Whether both kinds of quota and nodes have room for a candidate beside these totals.
fn has_room(world: &World<'_>, totals: &Totals<'_>, job: &Job, candidate: &Candidate) -> bool {
    quota_allows(world, totals, job, candidate)
        && allows(world, totals, job, &candidate.shape)
        && nodes_that_fit(world, totals, job, &candidate.shape) >= candidate.shape.pods
}

/// Whether the job's queue may hold a candidate beside these totals.
pub(super) fn quota_allows(world: &World<'_>, totals: &Totals<'_>, job: &Job, candidate: &Candidate) -> bool {
    let shape = &candidate.shape;
    let held = totals.queues.get(&(job.queue.as_str(), &shape.class)).copied().unwrap_or(0);
    let limit = world.queue(&job.queue).and_then(|queue| quota(queue, &shape.class));
    limit.is_none_or(|limit| held + i128::from(shape.gpus()) <= i128::from(limit))
}

/// What there was when a job had its turn: without it, without what started behind it, without moves.
fn at_its_turn<'a>(world: &World<'a>, job: &Job) -> Totals<'a> {
    world.totals(|other, action| match action {
        Action::Start { .. } if other.key == job.key || goes_before(job, other) => Count::Nothing,
        Action::Move { .. } => Count::Before,
        _ => Count::Both,
    })
}

/// Whether a job ahead of this one waits for something that is coming back.
fn somebody_ahead_is_promised(world: &World<'_>, job: &Job) -> bool {
    let coming = world.pairs().any(|(other, action)| {
        matches!(other.standing, Standing::Leaving(_) | Standing::Moving { .. })
            || matches!(action, Action::Move { .. })
    });
    coming
        && world.pairs().any(|(ahead, action)| {
            let waits = ahead.standing == Standing::Waiting && matches!(action, Action::Wait { .. });
            waits && goes_before(ahead, job) && {
                let later = world.totals(|other, action| match action {
                    Action::Start { .. } if goes_before(ahead, other) => Count::Nothing,
                    _ => Count::After,
                });
                takeable(world, ahead).into_iter().any(|candidate| has_room(world, &later, ahead, candidate))
            }
        })
}

/// What starts is admitted, worth taking, and the best that could be had.
pub(super) fn start_is_best(world: &World<'_>, job: &Job, action: &Action) -> Option<Violation> {
    let Action::Start { candidate, .. } = action else { return None };
    let key = job.key.clone();
    let queue = world.queue(&job.queue);
    if queue.is_none_or(|queue| queue.namespaces.as_ref().is_some_and(|admitted| !admitted.contains(&key.namespace))) {
        return Some(Violation::NotAdmitted { job: key, queue: job.queue.clone() });
    }
    let takeable = takeable(world, job);
    let Some(taken) = takeable.iter().position(|other| *other == candidate) else {
        return Some(Violation::NotWorthTaking { job: key });
    };
    let totals = at_its_turn(world, job);
    let better = takeable[..taken].iter().find(|other| has_room(world, &totals, job, other))?;
    let (gpus, class) = (better.shape.gpus(), better.shape.class.clone());
    (!somebody_ahead_is_promised(world, job)).then_some(Violation::LessPreferred { job: key, gpus, class })
}

/// Who waits has to, for the reason and with the numbers given.
pub(super) fn wait_is_due(world: &World<'_>, job: &Job, action: &Action) -> Vec<Violation> {
    let Action::Wait { reason: said, numbers, .. } = action else { return Vec::new() };
    if job.standing != Standing::Waiting {
        return Vec::new();
    }
    let mut violations = Vec::new();
    let left = world.totals(|_, _| Count::Both);
    let takeable = takeable(world, job);

    let expected = reason(world, &left, job, takeable.first().copied());
    if *said != expected {
        violations.push(Violation::WrongReason { job: job.key.clone(), said: *said, expected });
    }
    if let Some(preferred) = takeable.first() {
        let numbers = [
            ("GPUs needed", numbers.needs_gpus, preferred.shape.gpus()),
            ("nodes that fit", numbers.nodes_that_fit, nodes_that_fit(world, &left, job, &preferred.shape)),
            ("GPUs free", numbers.free_gpus, free(world, &left, preferred)),
        ];
        let wrong = numbers.into_iter().filter(|(_, said, expected)| said != expected);
        violations.extend(wrong.map(|(what, said, expected)| Violation::WrongNumber {
            job: job.key.clone(),
            what,
            said,
            expected,
        }));
    }
    let totals = at_its_turn(world, job);
    let had = takeable.into_iter().find(|candidate| has_room(world, &totals, job, candidate));
    if let Some(candidate) = had
        && !somebody_ahead_is_promised(world, job)
    {
        let (gpus, class) = (candidate.shape.gpus(), candidate.shape.class.clone());
        violations.push(Violation::NeedlessWait { job: job.key.clone(), gpus, class });
    }
    violations
}

/// Whose wait ends with what is coming back already is not overtaken: once that is back, it fits beside all that started.
pub(super) fn promise_is_kept(world: &World<'_>, job: &Job, action: &Action) -> Option<Violation> {
    if job.standing != Standing::Waiting
        || !matches!(action, Action::Wait { .. })
        || somebody_ahead_is_promised(world, job)
    {
        return None;
    }
    // Moves of this plan are left out of the promise: those made after this job's turn came too late for it.
    let at_its_turn = world.totals(|other, action| match action {
        Action::Start { .. } if goes_before(job, other) => Count::Nothing,
        Action::Move { .. } => Count::Before,
        _ => Count::After,
    });
    let in_the_end = world.totals(|_, _| Count::After);
    let fits = |totals| takeable(world, job).into_iter().any(|candidate| has_room(world, totals, job, candidate));
    (fits(&at_its_turn) && !fits(&in_the_end)).then(|| Violation::BrokenPromise { job: job.key.clone() })
}

/// The first reason of the closed list that holds.
fn reason(world: &World<'_>, left: &Totals<'_>, job: &Job, preferred: Option<&Candidate>) -> Reason {
    let Some(queue) = world.queue(&job.queue) else { return Reason::QueueMissing };
    if queue.namespaces.as_ref().is_some_and(|namespaces| !namespaces.contains(&job.key.namespace)) {
        return Reason::QueueForbidden;
    }
    let Some(preferred) = preferred else {
        let exceeds = |candidate: &Candidate| {
            quota(queue, &candidate.shape.class).is_some_and(|limit| candidate.shape.gpus() > limit)
        };
        return match job.menu.candidates.as_slice() {
            [] => Reason::NoFeasibleSize,
            candidates if candidates.iter().any(exceeds) => Reason::ExceedsQuota,
            candidates if candidates.iter().all(|c| nodes_that_could_fit(world, job, &c.shape) >= c.shape.pods) => {
                Reason::WaitingForNamespaceQuota
            }
            _ => Reason::ExceedsCluster,
        };
    };
    let shape = &preferred.shape;
    if !allows(world, left, job, shape) {
        return Reason::WaitingForNamespaceQuota;
    }
    if !quota_allows(world, left, job, preferred) {
        return Reason::WaitingForQuota;
    }
    let fits = nodes_that_fit(world, left, job, shape) >= shape.pods;
    if !fits && free(world, left, preferred) >= shape.gpus() {
        return Reason::WaitingForNodes;
    }
    Reason::WaitingForCapacity
}

/// Devices of the candidate's class that are free on open nodes.
fn free(world: &World<'_>, totals: &Totals<'_>, candidate: &Candidate) -> u32 {
    let nodes = world.nodes.iter().filter(|(_, node)| node.open && node.class == candidate.shape.class);
    nodes.map(|(name, node)| u32::try_from(i128::from(node.gpus) - totals.nodes[name][0]).unwrap_or(0)).sum()
}
