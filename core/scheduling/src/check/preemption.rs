//! Laws of preemption: who gives way had to, nobody gives way in vain, and nobody more than needed.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use super::queues::Held;
use super::reservations::{claim, overflows, reserved, still_within};
use super::world::{Claim, Count, Totals, World, pod_amount};
use crate::{Action, Allocation, Cause, Elasticity, Job, JobKey, Mode, Reason, Reclaims, Reservation, Standing, Takes};

/// A job that gives devices back for another.
struct Victim<'a> {
    job: &'a Job,
    held: &'a Allocation,
    /// For whom, where that is said.
    gainer: Option<&'a JobKey>,
    /// How many devices.
    gives: i128,
}

impl Victim<'_> {
    /// Devices that it is left with.
    fn keeps(&self) -> i128 {
        i128::from(self.held.shape.gpus()) - self.gives
    }
}

impl World<'_> {
    /// Whether others are told to give back devices for a job.
    pub(super) fn is_gainer(&self, job: &Job) -> bool {
        self.gainers.contains(&job.key)
    }
}

fn victims<'a>(world: &World<'a>) -> Vec<Victim<'a>> {
    let victim = |(job, action): (&'a Job, &'a Action)| {
        let Standing::Placed(held) = &job.standing else { return None };
        match action {
            Action::Preempt { for_job, .. } => {
                Some(Victim { job, held, gainer: Some(for_job), gives: held.shape.gpus().into() })
            }
            Action::Move { candidate, cause: Cause::Reclaimed, .. } => {
                let gives = i128::from(held.shape.gpus()) - i128::from(candidate.shape.gpus());
                Some(Victim { job, held, gainer: None, gives })
            }
            _ => None,
        }
    };
    world.pairs().filter_map(victim).collect()
}

/// All laws of preemption.
pub(super) fn is_due<'a>(world: &World<'a>, end: &(Totals<'a>, Held<'a>)) -> Vec<Violation> {
    let victims = victims(world);
    let reservations: BTreeMap<&JobKey, (&'a Job, &'a Reservation)> =
        reserved(world).map(|(job, reservation)| (&job.key, (job, reservation))).collect();
    let said = |key: &JobKey| {
        matches!(world.action(key), Some(Action::Wait { reason: Reason::WaitingForPreemption, .. }))
            && reservations.get(key).is_some_and(|(_, reservation)| reservation.starts_at.is_none())
    };
    let gainers: Vec<&'a JobKey> = reservations.keys().copied().filter(|key| said(key)).collect();
    let mut states = States::new(world);
    let mut violations = Vec::new();
    for victim in &victims {
        let forbidden = |why| Violation::PreemptionForbidden { job: victim.job.key.clone(), why };
        violations.extend(complaints(world, victim).map(forbidden));
        // Each of whom it may be for; a shrunk job does not say.
        let mut candidates = gainers.iter().filter(|key| victim.gainer.is_none_or(|gainer| gainer == **key));
        let mut due = |key: &&&'a JobKey| {
            let gainer = reservations.get(**key);
            gainer.is_some_and(|(gainer, reservation)| must_give(world, &mut states, victim, gainer, reservation))
        };
        match candidates.clone().next() {
            None => violations.push(forbidden("nobody waits for what it gives")),
            Some(_) if !candidates.any(|key| due(&key)) => {
                violations.push(forbidden("the other is not entitled to it"))
            }
            Some(_) => {}
        }
    }
    let waits_in_vain = world.pairs().filter_map(|(job, action)| match action {
        Action::Wait { reason: Reason::WaitingForPreemption, .. } if victims.is_empty() || !said(&job.key) => {
            Some(Violation::PreemptionForbidden { job: job.key.clone(), why: "nobody gives anything back for it" })
        }
        _ => None,
    });
    violations.extend(waits_in_vain);
    violations.extend(nobody_is_robbed(world, &victims, &end.1));
    violations.extend(none_in_vain(world, &victims, &gainers, &reservations, end));
    violations
}

/// What speaks against touching a job at all.
fn complaints(world: &World<'_>, victim: &Victim<'_>) -> impl Iterator<Item = &'static str> {
    let (job, held) = (victim.job, victim.held);
    let mut complaints = vec![
        (!world.snapshot.rules.moves.enabled, "moves are switched off"),
        (!job.preemptible, "it is not preemptible"),
        (!held.running, "it still starts"),
    ];
    if let Some(Action::Move { candidate, nodes, .. }) = world.action(&job.key) {
        let (to, from) = (&candidate.shape, &held.shape);
        let within = to.class == from.class && to.gpus_per_pod <= from.gpus_per_pod;
        complaints.extend([
            (job.elasticity != Elasticity::Elastic, "it is not Elastic"),
            (job.mode != Mode::Auto, "its mode is not Auto"),
            (to.gpus() >= from.gpus(), "it gives nothing back"),
            (!within || nodes.iter().any(|node| !held.nodes.contains(node)), "it takes what it did not hold"),
        ]);
    }
    complaints.into_iter().filter(|(complaint, _)| *complaint).map(|(_, why)| why)
}

/// What queues hold, worked out once.
struct States<'a> {
    /// With what jobs hold, what they are promised, and what is kept for them.
    both: Held<'a>,
    /// As it was at the turn of a gainer.
    at_turn: BTreeMap<&'a JobKey, Held<'a>>,
}

impl<'a> States<'a> {
    fn new(world: &World<'a>) -> Self {
        let mut both = world.totals(|_, _| Count::Both);
        for (job, reservation) in reserved(world).filter(|(_, reservation)| reservation.starts_at.is_none()) {
            world.add_claims(&mut both, job, &[claim(reservation)], 1);
        }
        Self { both: world.queues.held(&both), at_turn: BTreeMap::new() }
    }

    /// Those ahead have started, or were promised something. Whether a job was moved before or after that turn is not known, so
    /// the less it holds counts.
    fn at_turn(&mut self, world: &World<'a>, gainer: &'a Job) -> &Held<'a> {
        self.at_turn.entry(&gainer.key).or_insert_with(|| {
            let turn = world.turn(&gainer.key);
            let mut totals = world.totals(|job, action| match (action, &job.standing) {
                (Action::Start { .. }, _) if world.turn(&job.key) > turn => Count::Nothing,
                (Action::Move { candidate, .. }, Standing::Placed(held))
                    if candidate.shape.gpus() > held.shape.gpus() =>
                {
                    Count::Before
                }
                _ => Count::After,
            });
            for (job, reservation) in reserved(world) {
                if reservation.starts_at.is_none() && world.turn(&job.key) <= turn {
                    world.add_claims(&mut totals, job, &[claim(reservation)], 1);
                }
            }
            world.queues.held(&totals)
        })
    }
}

/// Whether a victim must give way to a gainer: see `docs/queues.md`.
fn must_give<'a>(
    world: &World<'a>,
    states: &mut States<'a>,
    victim: &Victim<'a>,
    gainer: &'a Job,
    reservation: &'a Reservation,
) -> bool {
    if keeps_its_aim(world, victim, gainer, reservation) {
        return true;
    }
    let queues = &world.queues;
    let (Some(own), Some(other)) = (queues.number(&gainer.queue), queues.number(&victim.job.queue)) else {
        return false;
    };
    let preemption = queues.get(own).preemption;
    let lower = victim.job.priority < gainer.priority;
    if own == other {
        return lower && preemption.within_queue == Takes::LowerPriority;
    }
    let class = &reservation.shape.class;
    let (up, way) = (queues.way_up(own), queues.way_up(other));
    let Some(fork) = way.iter().copied().find(|queue| up.contains(queue)) else { return false };
    let side: Vec<usize> = way.iter().copied().take_while(|queue| *queue != fork).collect();
    if side.is_empty() || side.iter().any(|queue| queues.borrowed(&states.both, *queue, class) <= 0) {
        return false;
    }
    let waited = world.now.duration_since(gainer.waits_since()).as_secs_f64();
    if preemption.reclaim != Reclaims::Never && waited > world.snapshot.rules.starvation_bound_seconds {
        return true;
    }
    if preemption.reclaim == Reclaims::Never || preemption.reclaim == Reclaims::LowerPriority && !lower {
        return false;
    }
    let Some(own_side) = up.iter().copied().take_while(|queue| *queue != fork).last() else { return true };
    queues.borrowed(states.at_turn(world, gainer), own_side, class) <= 0
}

/// Whether a victim gives only what it holds above the size that it should have, to one that gets no more than its own.
fn keeps_its_aim<'a>(world: &World<'a>, victim: &Victim<'a>, gainer: &'a Job, reservation: &Reservation) -> bool {
    let aim_gpus = |job: &'a Job| world.aim(job).map(|aim| i128::from(aim.shape.gpus()));
    let keeps = victim.keeps();
    keeps > 0
        && aim_gpus(victim.job).is_some_and(|aim| keeps >= aim)
        && aim_gpus(gainer).is_some_and(|aim| i128::from(reservation.shape.gpus()) <= aim)
        && reservation.shape.class == victim.held.shape.class
}

/// No subtree is taken more than it borrows, but for the last victim.
fn nobody_is_robbed<'a>(world: &World<'a>, victims: &[Victim<'a>], end: &Held<'a>) -> Vec<Violation> {
    let mut taken: BTreeMap<(usize, &str), Vec<&Victim<'a>>> = BTreeMap::new();
    for victim in victims {
        let gainer = victim.gainer.and_then(|key| world.snapshot.jobs.get(key));
        let Some(queue) = world.queues.number(&victim.job.queue) else { continue };
        let own: BTreeSet<usize> = match gainer.and_then(|gainer| world.queues.number(&gainer.queue)) {
            Some(own) => world.queues.way_up(own).iter().copied().collect(),
            None => continue,
        };
        for &place in world.queues.way_up(queue).iter().filter(|place| !own.contains(place)) {
            taken.entry((place, victim.held.shape.class.as_str())).or_default().push(victim);
        }
    }
    let mut violations = Vec::new();
    for ((place, _), of_it) in taken {
        let class = &of_it[0].held.shape.class;
        let most = of_it.iter().map(|victim| victim.gives).max().unwrap_or(0);
        // What jobs of the queue itself took of each other, by priority, is nobody else's doing.
        let within = |victim: &&Victim<'a>| {
            world.queues.number(&victim.job.queue).is_some_and(|queue| world.queues.way_up(queue).contains(&place))
                && !of_it.iter().any(|other| other.job.key == victim.job.key)
        };
        let others: i128 = victims.iter().filter(within).map(|victim| victim.gives).sum();
        if world.queues.borrowed(end, place, class) + most + others <= 0 {
            let why = "its queue is left with less than its own";
            violations
                .extend(of_it.iter().map(|victim| Violation::PreemptionForbidden { job: victim.job.key.clone(), why }));
        }
    }
    violations
}

/// With any victim of the last gainer as it was, something that is promised could not be had. What earlier ones gave may have
/// been needed then and be left over now.
fn none_in_vain<'a>(
    world: &World<'a>,
    victims: &[Victim<'a>],
    gainers: &[&'a JobKey],
    reservations: &BTreeMap<&JobKey, (&'a Job, &'a Reservation)>,
    end: &(Totals<'a>, Held<'a>),
) -> Vec<Violation> {
    let Some(last) = gainers.iter().copied().max_by_key(|key| world.turn(key)) else { return Vec::new() };
    let mut violations = Vec::new();
    for victim in victims.iter().filter(|victim| victim.gainer.map_or(gainers.len() == 1, |gainer| gainer == last)) {
        let mut totals = end.0.clone();
        world.add(&mut totals, victim.job, Count::After, -1);
        world.add_claims(&mut totals, victim.job, &[Claim { shape: &victim.held.shape, nodes: &victim.held.nodes }], 1);
        let held = world.queues.held(&totals);
        let misses =
            reservations.values().filter(|(_, reservation)| reservation.starts_at.is_none()).any(|(job, r)| {
                let pod = pod_amount(&job.needs, r.shape.gpus_per_pod);
                r.nodes.iter().any(|node| overflows(world, &totals, node, &pod))
                    || !still_within(world, &held, job, r)
                    || world.over_in_namespace(&totals, job)
            });
        if !misses {
            let why = "the other could do without";
            violations.push(Violation::PreemptionForbidden { job: victim.job.key.clone(), why });
        }
    }
    violations
}
