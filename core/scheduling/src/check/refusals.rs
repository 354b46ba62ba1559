//! Laws of waiting: every refusal was unavoidable, for the reason given, and nobody was overtaken.

use std::collections::BTreeMap;

use plimsoll_menu::{Candidate, ClassName, Shape};

use super::Violation;
use super::fits::{nodes_that_could_fit, nodes_that_fit};
use super::namespace_quota::{allows, could_allow};
use super::queues::Held;
use super::reservations::seconds_of;
use super::world::{Count, Totals, World};
use crate::{Action, Elasticity, Job, JobKey, Reason, Reservation, Standing};

/// Whether a queue and all above it have something left of their budgets, and the queue admits the namespace.
pub(super) fn admitted(world: &World<'_>, job: &Job) -> bool {
    let Some(queue) = world.queues.number(&job.queue) else { return false };
    let admits = world.queues.get(queue).namespaces.as_ref().is_none_or(|all| all.contains(&job.key.namespace));
    admits && !budget_is_used_up(world, queue)
}

fn budget_is_used_up(world: &World<'_>, queue: usize) -> bool {
    let mut budgets = world.queues.way_up(queue).iter().flat_map(|queue| &world.queues.get(*queue).budgets);
    budgets.any(|budget| budget.used >= budget.limit && budget.period_ends > world.now)
}

/// Candidates that can run some day, and are worth taking now; the one that the job should run as comes first, then the most
/// preferred.
pub(super) fn takeable<'a>(world: &World<'a>, job: &'a Job) -> Vec<&'a Candidate> {
    if !admitted(world, job) {
        return Vec::new();
    }
    let possible = |candidate: &&Candidate| {
        let shape = &candidate.shape;
        world.queues.allow(&Held::new(), &job.queue, &shape.class, shape.gpus())
            && nodes_that_could_fit(world, job, shape) >= shape.pods
            && could_allow(world, job, shape)
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

/// A state of the cluster in which room is looked for.
pub(super) struct State<'w, 'a> {
    world: &'w World<'a>,
    pub(super) totals: Totals<'a>,
    pub(super) held: Held<'a>,
    /// Nodes that fitted when they were last counted, by kind, class and devices in a pod. While a state only grows, no more
    /// can fit later.
    at_most: BTreeMap<(usize, &'a ClassName, u32, bool), (u32, u32)>,
}

impl<'w, 'a> State<'w, 'a> {
    pub(super) fn new(world: &'w World<'a>, count: impl Fn(&Job, &Action) -> Count) -> Self {
        let totals = world.totals(count);
        let held = world.queues.held(&totals);
        Self { world, totals, held, at_most: BTreeMap::new() }
    }

    /// A job starts.
    pub(super) fn start(&mut self, job: &'a Job, shape: &'a Shape) {
        self.world.add(&mut self.totals, job, Count::After, 1);
        if let Some(queue) = self.world.queues.number(&job.queue) {
            self.world.queues.hold(&mut self.held, queue, &shape.class, shape.gpus().into());
        }
    }

    /// Whether both kinds of quota and nodes have room for a candidate.
    pub(super) fn has_room(&mut self, job: &Job, candidate: &'a Candidate) -> bool {
        let shape = &candidate.shape;
        self.queue_allows(job, shape)
            && allows(self.world, &self.totals, job, shape)
            && self.nodes_that_fit(job, shape, shape.pods).1 >= shape.pods
    }

    pub(super) fn queue_allows(&self, job: &Job, shape: &'a Shape) -> bool {
        self.world.queues.allow(&self.held, &job.queue, &shape.class, shape.gpus())
    }

    /// How many nodes fit, and the most of them as near each other as is required, or numbers of which the second is below `least`.
    fn nodes_that_fit(&mut self, job: &Job, shape: &'a Shape, least: u32) -> (u32, u32) {
        let key = (self.world.kind(job), &shape.class, shape.gpus_per_pod, shape.gpus() == 1);
        if let Some(&most) = self.at_most.get(&key)
            && most.1 < least
        {
            return most;
        }
        let fit = nodes_that_fit(self.world, &self.totals, job, shape);
        self.at_most.insert(key, fit);
        fit
    }
}

/// What is promised to those who had their turn already.
#[derive(Default)]
struct Ahead {
    /// Devices that are being given back, to somebody.
    coming: bool,
    /// Seconds until the first time at which devices are kept for somebody.
    kept_in_seconds: Option<f64>,
}

impl Ahead {
    /// Whether a job may have to wait for their sake though there is room for it now.
    fn excuses(&self, job: &Job, candidate: &Candidate) -> bool {
        self.coming || self.kept_in_seconds.is_some_and(|kept| seconds_of(job, candidate) > kept)
    }
}

/// Every turn, as the job had it: starts are the best that could be had, waits could not be helped, promises are kept.
pub(super) fn turns_were_right<'a>(world: &World<'a>) -> Vec<Violation> {
    let is_start = |action: &Action| matches!(action, Action::Start { .. });
    // What there is now, without moves: what a move frees is not free yet.
    let mut now = State::new(world, |_, action| match action {
        Action::Start { .. } => Count::Nothing,
        Action::Move { .. } => Count::Before,
        _ => Count::Both,
    });
    // What there will be once all that leaves has left.
    let mut later = State::new(world, |_, action| if is_start(action) { Count::Nothing } else { Count::After });
    // The same without the moves of this plan: those made after a job's turn came too late for it.
    let unmoved = |_: &Job, action: &Action| match action {
        Action::Move { .. } | Action::Preempt { .. } => Count::Before,
        _ => Count::After,
    };
    let mut promised = State::new(world, |job, action| match action {
        Action::Start { .. } => Count::Nothing,
        _ => unmoved(job, action),
    });
    let mut end = State::new(world, |_, action| match action {
        Action::Preempt { .. } => Count::Before,
        _ => Count::After,
    });
    let anything_comes = world.pairs().any(|(job, action)| {
        matches!(job.standing, Standing::Leaving(_) | Standing::Moving { .. })
            || matches!(action, Action::Move { .. } | Action::Preempt { .. })
    });
    let reservations: BTreeMap<&JobKey, &Reservation> =
        world.plan.reservations.iter().map(|reservation| (&reservation.job, reservation)).collect();

    let mut ahead = Ahead::default();
    let mut violations = Vec::new();
    for (job, action) in world.in_turn() {
        let takeable = takeable(world, job);
        match action {
            Action::Start { candidate, .. } => {
                violations.extend(start_is_best(world, job, candidate, &takeable, &mut now, &ahead));
                for state in [&mut now, &mut later, &mut promised] {
                    state.start(job, &candidate.shape);
                }
            }
            _ => {
                violations.extend(wait_is_due(job, &takeable, &mut now, &ahead));
                if !ahead.coming && ahead.kept_in_seconds.is_none() {
                    let fits = |state: &mut State<'_, 'a>| takeable.iter().any(|c| state.has_room(job, c));
                    if fits(&mut promised) && !fits(&mut end) {
                        violations.push(Violation::BrokenPromise { job: job.key.clone() });
                    }
                }
                ahead.coming |= anything_comes && takeable.iter().any(|candidate| later.has_room(job, candidate));
                match reservations.get(&job.key).map(|reservation| reservation.starts_at) {
                    Some(Some(at)) => {
                        let seconds = at.duration_since(world.now).as_secs_f64();
                        ahead.kept_in_seconds = Some(ahead.kept_in_seconds.map_or(seconds, |first| first.min(seconds)));
                    }
                    Some(None) => ahead.coming = true,
                    None => {}
                }
            }
        }
    }
    violations
}

/// What starts is admitted, worth taking, and the best that could be had.
fn start_is_best<'a>(
    world: &World<'a>,
    job: &'a Job,
    candidate: &Candidate,
    takeable: &[&'a Candidate],
    now: &mut State<'_, 'a>,
    ahead: &Ahead,
) -> Option<Violation> {
    let key = job.key.clone();
    if !admitted(world, job) {
        return Some(Violation::NotAdmitted { job: key, queue: job.queue.clone() });
    }
    let Some(taken) = takeable.iter().position(|other| *other == candidate) else {
        return Some(Violation::NotWorthTaking { job: key });
    };
    let mut better = takeable[..taken].iter().filter(|other| !ahead.excuses(job, other));
    let better = better.find(|other| now.has_room(job, other))?;
    let (gpus, class) = (better.shape.gpus(), better.shape.class.clone());
    Some(Violation::LessPreferred { job: key, gpus, class })
}

/// Who waits has to.
fn wait_is_due<'a>(
    job: &'a Job,
    takeable: &[&'a Candidate],
    now: &mut State<'_, 'a>,
    ahead: &Ahead,
) -> Option<Violation> {
    let mut due = takeable.iter().filter(|candidate| !ahead.excuses(job, candidate));
    let candidate = due.find(|candidate| now.has_room(job, candidate))?;
    let (gpus, class) = (candidate.shape.gpus(), candidate.shape.class.clone());
    Some(Violation::NeedlessWait { job: job.key.clone(), gpus, class })
}

/// Who waits is told the reason that holds in the end, and its numbers.
pub(super) fn reasons_hold<'a>(world: &World<'a>) -> Vec<Violation> {
    let mut left = State::new(world, |_, _| Count::Both);
    let mut free: BTreeMap<&ClassName, u32> = BTreeMap::new();
    for node in world.nodes.values().filter(|node| node.open) {
        let held = left.totals.nodes[node.name.as_str()][0];
        *free.entry(&node.class).or_default() += u32::try_from(i128::from(node.gpus) - held).unwrap_or(0);
    }
    let mut violations = Vec::new();
    for (job, action) in world.in_turn() {
        let Action::Wait { reason: said, numbers, .. } = action else { continue };
        let takeable = takeable(world, job);
        let key = || job.key.clone();
        let Some(preferred) = takeable.first().copied() else {
            let expected = reason_of_nothing(world, job);
            if *said != expected {
                violations.push(Violation::WrongReason { job: key(), said: *said, expected });
            }
            continue;
        };
        let shape = &preferred.shape;
        let (fit, together) = left.nodes_that_fit(job, shape, u32::MAX);
        let free = free.get(&shape.class).copied().unwrap_or(0);
        let expected = if *said == Reason::WaitingForPreemption || world.is_gainer(job) {
            Reason::WaitingForPreemption
        } else if !allows(world, &left.totals, job, shape) {
            Reason::WaitingForNamespaceQuota
        } else if !left.queue_allows(job, shape) {
            Reason::WaitingForQuota
        } else if fit >= shape.pods && together < shape.pods {
            Reason::WaitingForTopology
        } else if fit < shape.pods && free >= shape.gpus() {
            Reason::WaitingForNodes
        } else {
            Reason::WaitingForCapacity
        };
        if *said != expected {
            violations.push(Violation::WrongReason { job: key(), said: *said, expected });
        }
        let numbers = [
            ("GPUs needed", numbers.needs_gpus, shape.gpus()),
            ("nodes that fit", numbers.nodes_that_fit, fit),
            ("nodes together", numbers.nodes_together.unwrap_or(together), together),
            ("GPUs free", numbers.free_gpus, free),
        ];
        let wrong = numbers.into_iter().filter(|(_, said, expected)| said != expected);
        violations.extend(wrong.map(|(what, said, expected)| Violation::WrongNumber {
            job: key(),
            what,
            said,
            expected,
        }));
    }
    violations
}

/// The first reason of the closed list that holds for a job that can take nothing.
fn reason_of_nothing(world: &World<'_>, job: &Job) -> Reason {
    let Some(queue) = world.queues.number(&job.queue) else { return Reason::QueueMissing };
    if world.queues.get(queue).namespaces.as_ref().is_some_and(|all| !all.contains(&job.key.namespace)) {
        return Reason::QueueForbidden;
    }
    if budget_is_used_up(world, queue) {
        return Reason::BudgetExhausted;
    }
    let exceeds = |candidate: &Candidate| {
        !world.queues.allow(&Held::new(), &job.queue, &candidate.shape.class, candidate.shape.gpus())
    };
    match job.menu.candidates.as_slice() {
        [] => Reason::NoFeasibleSize,
        candidates if candidates.iter().any(exceeds) => Reason::ExceedsQuota,
        candidates if candidates.iter().all(|c| nodes_that_could_fit(world, job, &c.shape) >= c.shape.pods) => {
            Reason::WaitingForNamespaceQuota
        }
        _ => Reason::ExceedsCluster,
    }
}
