//! Laws of reservations: what is kept can be had when the time comes, whoever started since.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_menu::Candidate;

use super::Violation;
use super::fits::objection;
use super::queues::Held;
use super::refusals::takeable;
use super::world::{Amount, Claim, Count, Totals, World, amount, pod_amount};
use crate::{Action, Allocation, Job, Reservation, Standing};

/// Seconds that a job runs as a candidate; infinite when that is unknown.
pub(super) fn seconds_of(job: &Job, candidate: &Candidate) -> f64 {
    let steps = job.remaining_steps.map_or(f64::INFINITY, |steps| steps as f64);
    lasts(steps, candidate.predicted.step_seconds)
}

/// Seconds until a running job is predicted to end.
fn seconds_left(job: &Job, held: &Allocation) -> f64 {
    let same = |c: &&Candidate| c.shape == held.shape && c.layout == held.layout && c.batch == held.batch;
    let predicted = job.menu.candidates.iter().find(same).map(|candidate| candidate.predicted.step_seconds);
    let steps = job.remaining_steps.map_or(f64::INFINITY, |steps| steps as f64);
    lasts(steps, held.step_seconds.or(predicted).unwrap_or(f64::INFINITY))
}

fn lasts(steps: f64, step: f64) -> f64 {
    if steps.is_finite() && step.is_finite() && step > 0.0 { steps * step } else { f64::INFINITY }
}

/// The state once all that leaves has left and all that was promised then is taken: totals, and what queues hold.
pub(super) fn once_all_left<'a>(world: &World<'a>) -> (Totals<'a>, Held<'a>) {
    let mut totals = world.totals(|_, _| Count::After);
    for (job, reservation) in reserved(world) {
        if reservation.starts_at.is_none() {
            world.add_claims(&mut totals, job, &[claim(reservation)], 1);
        }
    }
    let held = world.queues.held(&totals);
    (totals, held)
}

/// Every reservation of a job that the snapshot has.
pub(super) fn reserved<'a>(world: &World<'a>) -> impl Iterator<Item = (&'a Job, &'a Reservation)> {
    let job = |reservation: &'a Reservation| Some((&**world.snapshot.jobs.get(&reservation.job)?, reservation));
    world.plan.reservations.iter().filter_map(job)
}

pub(super) fn claim(reservation: &Reservation) -> Claim<'_> {
    Claim { shape: &reservation.shape, nodes: &reservation.nodes }
}

/// Reservations are of jobs that wait, for sizes that they may take, whole and on nodes that they may use.
pub(super) fn are_whole(world: &World<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut seen = BTreeSet::new();
    for reservation in &world.plan.reservations {
        let Reservation { job: key, shape, nodes, starts_at } = reservation;
        let job = world.snapshot.jobs.get(key).map(|job| &**job);
        let waits = matches!(world.action(key), Some(Action::Wait { .. }));
        let sizes = job.map_or_else(Vec::new, |job| takeable(world, job));
        let distinct: BTreeSet<&String> = nodes.iter().collect();
        let usable = |name: &&&String| {
            world.nodes.get(name.as_str()).is_some_and(|node| {
                node.open && node.class == shape.class && job.is_some_and(|job| objection(job, node).is_none())
            })
        };
        let complaints = [
            (!seen.insert(key), "it has two"),
            (!waits || job.is_none_or(|job| job.standing != Standing::Waiting), "it does not wait"),
            (!sizes.iter().any(|candidate| candidate.shape == *shape), "it may not take that size"),
            (distinct.len() != shape.pods as usize || nodes.len() != distinct.len(), "it has not a node for each pod"),
            (distinct.iter().filter(usable).count() != distinct.len(), "its pods may not use a node of it"),
            (starts_at.is_some_and(|at| at < world.now), "it lies in the past"),
        ];
        let wrong = complaints.into_iter().filter(|(wrong, _)| *wrong);
        violations.extend(wrong.map(|(_, why)| Violation::ReservationUnlawful { job: key.clone(), why }));
    }
    violations
}

/// What is kept until those who leave have left is there then, by nodes and by quota.
pub(super) fn come_true<'a>(world: &World<'a>, end: &(Totals<'a>, Held<'a>)) -> Vec<Violation> {
    let (totals, held) = end;
    let mut violations = Vec::new();
    for (job, reservation) in reserved(world).filter(|(_, reservation)| reservation.starts_at.is_none()) {
        let mut broken = |why| violations.push(Violation::ReservationUnlawful { job: job.key.clone(), why });
        let pod = pod_amount(&job.needs, reservation.shape.gpus_per_pod);
        if reservation.nodes.iter().any(|node| overflows(world, totals, node, &pod)) {
            broken("a node of it will be full");
        }
        if !still_within(world, held, job, reservation) {
            broken("its queue may not hold it then");
        }
    }
    violations
}

/// Whether a node holds more than it offers of anything that a pod needs.
pub(super) fn overflows(world: &World<'_>, totals: &Totals<'_>, node: &str, pod: &Amount) -> bool {
    let Some(found) = world.nodes.get(node) else { return true };
    let (offered, held) = (amount(found.gpus, &found.allocatable), totals.nodes[node]);
    (0..5).any(|index| pod[index] > 0 && held[index] > offered[index])
}

/// Whether what a queue and those above it hold, with the reserved gang in it, is within their limits: it could be taken out
/// and put back.
pub(super) fn still_within<'a>(world: &World<'a>, held: &Held<'a>, job: &'a Job, reservation: &'a Reservation) -> bool {
    let Some(queue) = world.queues.number(&job.queue) else { return false };
    let shape = &reservation.shape;
    let mut without = held.clone();
    world.queues.hold(&mut without, queue, &shape.class, -i128::from(shape.gpus()));
    world.queues.allow(&without, &job.queue, &shape.class, shape.gpus())
}

/// What is kept from a predicted time on is free at that time on every node, beside all that will still run then.
pub(super) fn are_kept(world: &World<'_>) -> Vec<Violation> {
    let timed: Vec<(&Job, &Reservation, f64)> = reserved(world)
        .filter_map(|(job, reservation)| {
            Some((job, reservation, reservation.starts_at?.duration_since(world.now).as_secs_f64()))
        })
        .collect();
    if timed.is_empty() {
        return Vec::new();
    }
    let nodes: BTreeSet<&str> = timed.iter().flat_map(|(_, r, _)| r.nodes.iter().map(String::as_str)).collect();
    // Who holds what on these nodes, and until when.
    let mut holders: BTreeMap<&str, Vec<(Amount, f64)>> = BTreeMap::new();
    let mut hold = |names: &[String], pod: Amount, until: f64| {
        for name in names {
            if let Some(node) = nodes.get(name.as_str()) {
                holders.entry(node).or_default().push((pod, until));
            }
        }
    };
    for (job, action) in world.pairs() {
        match (&job.standing, action) {
            (_, Action::Start { candidate, nodes }) => {
                hold(nodes, pod_amount(&job.needs, candidate.shape.gpus_per_pod), seconds_of(job, candidate));
            }
            (Standing::Placed(_), Action::Preempt { .. }) => {}
            (Standing::Placed(_), Action::Move { candidate, nodes, .. }) => {
                let until = job.restart_seconds.max(0.0) + seconds_of(job, candidate);
                hold(nodes, pod_amount(&job.needs, candidate.shape.gpus_per_pod), until);
            }
            (Standing::Placed(held), _) => {
                hold(&held.nodes, pod_amount(&job.needs, held.shape.gpus_per_pod), seconds_left(job, held));
            }
            (Standing::Moving { to, .. }, _) => {
                hold(&to.nodes, pod_amount(&job.needs, to.shape.gpus_per_pod), f64::INFINITY);
            }
            _ => {}
        }
    }
    for (job, reservation) in reserved(world).filter(|(_, reservation)| reservation.starts_at.is_none()) {
        let shape = &reservation.shape;
        let size = takeable(world, job).into_iter().find(|candidate| candidate.shape == *shape);
        let until = size.map_or(0.0, |size| seconds_of(job, size)) + world.snapshot.rules.grace_seconds;
        hold(&reservation.nodes, pod_amount(&job.needs, shape.gpus_per_pod), until);
    }
    let mut violations = Vec::new();
    for (job, reservation, at) in &timed {
        let pod = pod_amount(&job.needs, reservation.shape.gpus_per_pod);
        let earlier =
            |other: &&(&Job, &Reservation, f64)| other.2 <= *at && world.turn(&other.0.key) < world.turn(&job.key);
        for name in &reservation.nodes {
            let Some(node) = world.nodes.get(name.as_str()) else { continue };
            let mut held = amount(node.gpus_held_by_others, &node.held_by_others);
            let mut add = |pod: Amount| held.iter_mut().zip(pod).for_each(|(held, pod)| *held += pod);
            // A thousandth of a second is lost where times are written down.
            let running = holders.get(name.as_str()).into_iter().flatten().filter(|(_, until)| *until > at + 0.001);
            running.for_each(|(pod, _)| add(*pod));
            for (other, reserved, _) in timed.iter().filter(earlier) {
                if reserved.nodes.contains(name) {
                    add(pod_amount(&other.needs, reserved.shape.gpus_per_pod));
                }
            }
            let offered = amount(node.gpus, &node.allocatable);
            if (0..5).any(|index| pod[index] > 0 && held[index] + pod[index] > offered[index]) {
                let why = "a node of it will not be free then";
                violations.push(Violation::ReservationUnlawful { job: job.key.clone(), why });
            }
        }
    }
    violations
}
