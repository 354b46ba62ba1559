//! What waits: who starts, and for whom something is kept.

use std::collections::BTreeMap;

use jiff::Timestamp;
use plimsoll_menu::{Candidate, ClassName};

use crate::amounts::Amounts;
use crate::backfill::{Ask, Backfill, run_seconds};
use crate::books::{Books, Footprint};
use crate::cluster::Cluster;
use crate::kinds::{Asked, Kind, Kinds, Refused};
use crate::namespace_quota::{Charges, charges};
use crate::options::Options;
use crate::order::{Turns, starves};
use crate::placement::{Gang, When};
use crate::preempt::{Keeps, Taken, Victims};
use crate::quota::{Place, Shares};
use crate::waiter::{Promise, Waiter};
use crate::{Action, Cause, Job, JobKey, Reservation, Rules, Standing};
use crate::{namespace_quota, words};

/// What is kept for a job that waits.
struct Kept<'a> {
    job: &'a Job,
    candidate: &'a Candidate,
    nodes: Vec<usize>,
    promise: Promise,
}

/// Who waits after all starts, in the order of their turns, and what is kept for them.
pub(crate) struct Started<'c, 'a> {
    pub(crate) waiters: Vec<Waiter<'a>>,
    pub(crate) kinds: Kinds<'c, 'a>,
    pub(crate) reservations: Vec<Reservation>,
    pub(crate) backfill: Backfill<'a>,
}

/// One round of turns.
struct Round<'r, 'c, 'a> {
    cluster: &'c Cluster<'a>,
    books: &'r mut Books<'a>,
    actions: &'r mut BTreeMap<&'a JobKey, Action>,
    rules: &'r Rules,
    kinds: Kinds<'c, 'a>,
    refused: Refused<'a>,
    victims: Victims<'a>,
    backfill: Backfill<'a>,
    kept: Vec<Kept<'a>>,
}

/// Starts what can start, in the order of [`Turns`].
///
/// A job that cannot start does not hold up those behind it, with three exceptions, each of which is a reservation:
/// * Its wait ends with devices (or quota) that are coming back already: they, and the free ones that it needs with them, are
///   kept for it.
/// * It is entitled to devices that others hold: they are told to give them back, and these are kept for it.
/// * It is the first of its queue that cannot start, or past the starvation bound: what running jobs are predicted to give back
///   is kept for it, and until then anybody may use it who ends in time.
pub(crate) fn start<'c, 'a>(
    cluster: &'c Cluster<'a>,
    books: &mut Books<'a>,
    rules: &Rules,
    now: Timestamp,
    actions: &mut BTreeMap<&'a JobKey, Action>,
) -> Started<'c, 'a> {
    let mut round = Round {
        cluster,
        books,
        actions,
        rules,
        kinds: Kinds::new(cluster),
        refused: Refused::default(),
        victims: Victims::new(cluster),
        backfill: Backfill::new(cluster),
        kept: Vec::new(),
    };
    let waiting = cluster.jobs.iter().copied().filter(|job| job.standing == Standing::Waiting);
    let shares = shares(cluster, rules, now);
    let mut turns =
        Turns::new(&cluster.tree, shares, round.books.now.usage.clone(), waiting, now, rules.starvation_bound_seconds);
    let mut waiters = Vec::new();
    let mut blocked = vec![false; cluster.tree.places().count()];
    while let Some(job) = turns.next() {
        let kind = round.kinds.of(job);
        let options = Options::of(cluster, job, round.kinds.usable(kind), now);
        let mut waiter = Waiter { job, kind, options, kept_for: None, promise: None };
        if let Options::Some { place, ref takeable, .. } = waiter.options {
            let starves = starves(job, now, rules.starvation_bound_seconds);
            let turn = Turn { job, kind, place, starves, may_reserve: starves || !blocked[place.index()] };
            if let Some(candidate) = round.start(&turn, takeable) {
                turns.started(place, cluster.tree.column(&candidate.shape.class), candidate.shape.gpus());
                continue;
            }
            blocked[place.index()] = true;
            (waiter.kept_for, waiter.promise) = round.keep(&turn, takeable);
        }
        waiters.push(waiter);
    }
    let Round { books, kinds, backfill, kept, .. } = round;
    backfill.close(books);
    let names = |nodes: Vec<usize>| nodes.into_iter().map(|index| cluster.nodes[index].name.clone()).collect();
    let reservations = kept.into_iter().map(|Kept { job, candidate, nodes, promise }| Reservation {
        job: job.key.clone(),
        shape: candidate.shape.clone(),
        nodes: names(nodes),
        starts_at: promise.at(now),
    });
    Started { waiters, reservations: reservations.collect(), kinds, backfill }
}

/// What each queue holds, and has held.
fn shares(cluster: &Cluster<'_>, rules: &Rules, now: Timestamp) -> Shares {
    let tree = &cluster.tree;
    let mut totals = vec![0.0; tree.width()];
    for node in &cluster.nodes {
        totals[tree.column(&node.class).index()] += f64::from(node.gpus);
    }
    let mut held = Vec::new();
    for job in &cluster.jobs {
        if let Standing::Placed(allocation) | Standing::Leaving(allocation) | Standing::Moving { from: allocation, .. } =
            &job.standing
            && let Some(place) = tree.place(&job.queue)
        {
            held.push((place, tree.column(&allocation.shape.class), allocation.shape.gpus()));
        }
    }
    Shares::new(tree, totals, &held, now, rules.usage_half_life_seconds)
}

/// A job whose turn it is.
struct Turn<'a> {
    job: &'a Job,
    kind: Kind,
    place: Place,
    starves: bool,
    /// Whether predicted ends are kept for it.
    may_reserve: bool,
}

impl<'a> Round<'_, '_, 'a> {
    /// Starts the most preferred candidate that has room, now and beside all that is kept.
    fn start(&mut self, turn: &Turn<'a>, takeable: &[&'a Candidate]) -> Option<&'a Candidate> {
        let job = turn.job;
        for &candidate in takeable {
            let charges = charges(self.cluster, job, &candidate.shape);
            let Some(nodes) = self.nodes(turn, candidate, &charges, When::NowAndLater) else { continue };
            let footprint = Footprint::new(self.cluster, job, &candidate.shape, nodes.iter().copied());
            self.books.start(&job.queue, &footprint);
            let ask = Ask { job, candidate, place: turn.place, usable: &[], charges: &charges };
            self.backfill.start(self.cluster, &ask, &nodes, 0.0);
            let nodes = nodes.into_iter().map(|index| self.cluster.nodes[index].name.clone()).collect();
            self.actions.insert(&job.key, Action::Start { candidate: candidate.clone(), nodes });
            return Some(candidate);
        }
        None
    }

    /// Keeps something for a job that cannot start: what is coming, what it is entitled to, or what is predicted to end. Says
    /// for whom else that is kept which it could use now, and what it was promised.
    fn keep(&mut self, turn: &Turn<'a>, takeable: &[&'a Candidate]) -> (Option<&'a JobKey>, Option<Promise>) {
        let job = turn.job;
        let mut kept_for = None;
        for &candidate in takeable {
            let charges = charges(self.cluster, job, &candidate.shape);
            if self.nodes(turn, candidate, &charges, When::Now).is_some() {
                kept_for = self.kept_for(job, &candidate.shape.class);
                break;
            }
        }
        for &candidate in takeable {
            let charges = charges(self.cluster, job, &candidate.shape);
            if let Some(nodes) = self.nodes(turn, candidate, &charges, When::Later) {
                self.promise(
                    turn,
                    candidate,
                    &charges,
                    nodes,
                    Promise::Coming { grace_seconds: self.rules.grace_seconds },
                );
                return (kept_for, self.kept.last().map(|kept| kept.promise));
            }
        }
        // The smallest sizes take least from others, and end the wait first.
        let mut smallest: Vec<&'a Candidate> = takeable.to_vec();
        smallest.sort_by_key(|candidate| candidate.shape.gpus());
        if self.rules.moves.enabled {
            for &candidate in &smallest {
                if let Some(promise) = self.preempt(turn, candidate) {
                    return (kept_for, Some(promise));
                }
            }
        }
        let reserved = turn.may_reserve.then(|| smallest.first().and_then(|candidate| self.reserve(turn, candidate)));
        (kept_for, reserved.flatten())
    }

    /// Nodes for a candidate, if both kinds of quota and rooms allow it.
    fn nodes(
        &mut self,
        turn: &Turn<'a>,
        candidate: &'a Candidate,
        charges: &Charges,
        when: When,
    ) -> Option<Vec<usize>> {
        let Self { cluster, books, kinds, refused, backfill, rules, .. } = self;
        let (shape, mut seconds) = (&candidate.shape, run_seconds(turn.job, candidate));
        if when == When::Later {
            seconds += rules.grace_seconds;
        }
        let column = cluster.tree.column(&shape.class);
        if !when.all(books, |ledger| ledger.allows(turn.place, column, shape.gpus()))
            || !when.all(books, |ledger| ledger.too_little(charges).is_none())
        {
            return None;
        }
        let by_kept = when != When::Now && !backfill.is_empty();
        if by_kept && !backfill.quota_allows(cluster, turn.place, &shape.class, shape.gpus(), seconds) {
            return None;
        }
        let key = if by_kept && when == When::NowAndLater { Asked::NotKept } else { Asked::from(when) };
        if refused.contains(Asked::from(when), turn.kind, shape, 0.0)
            || refused.contains(key, turn.kind, shape, seconds)
        {
            return None;
        }
        let pod = Amounts::of_pod(&turn.job.needs, shape.gpus_per_pod);
        let usable = kinds.usable(turn.kind).of_class(&shape.class);
        let place = |usable: &[usize]| {
            Gang { pod, pods: shape.pods, near: &turn.job.topology, usable, holds: &Default::default() }
                .place(cluster, books, when)
        };
        let found = if by_kept { place(&backfill.open_to(usable, pod, seconds)) } else { place(usable) };
        if found.is_none() && (!by_kept || when == When::NowAndLater) {
            refused.insert(key, turn.kind, shape, if by_kept { seconds } else { 0.0 });
        }
        found
    }

    /// The job for which devices of a class are kept that another could use now.
    fn kept_for(&self, job: &Job, class: &ClassName) -> Option<&'a JobKey> {
        let concerns = |kept: &&Kept<'a>| {
            kept.candidate.shape.class == *class
                || kept.job.queue == job.queue
                || kept.job.key.namespace == job.key.namespace && !job.namespace_quotas.is_empty()
        };
        self.kept.iter().find(concerns).or(self.kept.first()).map(|kept| &kept.job.key)
    }

    /// Others are told to give devices back, if the job is entitled to enough of them.
    fn preempt(&mut self, turn: &Turn<'a>, candidate: &'a Candidate) -> Option<Promise> {
        let Self { cluster, books, kinds, refused, backfill, victims, actions, rules, .. } = self;
        let (job, shape) = (turn.job, &candidate.shape);
        let seconds = run_seconds(job, candidate) + rules.grace_seconds;
        if victims.is_in_vain(cluster, job, candidate, turn.place, (turn.kind, turn.starves)) {
            return None;
        }
        if !backfill.quota_allows(cluster, turn.place, &shape.class, shape.gpus(), seconds) {
            return None;
        }
        let pod = Amounts::of_pod(&job.needs, shape.gpus_per_pod);
        let usable = backfill.open_to(kinds.usable(turn.kind).of_class(&shape.class), pod, seconds);
        let charges = charges(cluster, job, shape);
        let ask = Ask { job, candidate, place: turn.place, usable: &usable, charges: &charges };
        let taken = victims.search(cluster, books, &ask, (turn.kind, turn.starves), (actions, backfill))?;
        let gang = Gang { pod, pods: shape.pods, near: &job.topology, usable: &usable, holds: &Default::default() };
        let nodes = gang.place(cluster, books, When::Later)?;
        let mut gpus = 0;
        for taken in &taken {
            gpus += taken.gpus();
            books.gives(cluster, taken.job(), &taken.victim.holds, &taken.footprint(cluster));
            actions.insert(&taken.job().key, action(cluster, taken, job));
            if let Keeps::Less { candidate, nodes } = &taken.keeps {
                // With less it runs for longer.
                let (job, place) = (taken.job(), taken.victim.place);
                let charges = namespace_quota::charges(cluster, job, &candidate.shape);
                let ask = Ask { job, candidate, place, usable: &[], charges: &charges };
                backfill.start(cluster, &ask, nodes, job.restart_seconds.max(0.0));
            }
        }
        refused.forget();
        let promise = Promise::Preempted { gpus, grace_seconds: rules.grace_seconds };
        self.promise(turn, candidate, &charges, nodes, promise);
        Some(promise)
    }

    /// What is predicted to end is kept.
    fn reserve(&mut self, turn: &Turn<'a>, candidate: &'a Candidate) -> Option<Promise> {
        let Self { cluster, books, kinds, backfill, actions, kept, .. } = self;
        let charges = charges(cluster, turn.job, &candidate.shape);
        let usable = kinds.usable(turn.kind).of_class(&candidate.shape.class);
        let ask = Ask { job: turn.job, candidate, place: turn.place, usable, charges: &charges };
        let slot = backfill.reserve(cluster, books, &ask, actions)?;
        let promise = Promise::Predicted { seconds: slot.starts_in_seconds };
        kept.push(Kept { job: turn.job, candidate, nodes: slot.nodes, promise });
        Some(promise)
    }

    /// These nodes are the job's once those who leave have left.
    fn promise(
        &mut self,
        turn: &Turn<'a>,
        candidate: &'a Candidate,
        charges: &Charges,
        nodes: Vec<usize>,
        promise: Promise,
    ) {
        let footprint = Footprint::new(self.cluster, turn.job, &candidate.shape, nodes.iter().copied());
        self.books.future.charge(&turn.job.queue, &footprint);
        let ask = Ask { job: turn.job, candidate, place: turn.place, usable: &[], charges };
        self.backfill.start(self.cluster, &ask, &nodes, self.rules.grace_seconds);
        self.kept.push(Kept { job: turn.job, candidate, nodes, promise });
    }
}

/// What a victim is told.
fn action<'a>(cluster: &Cluster<'a>, taken: &Taken<'_, 'a>, gainer: &Job) -> Action {
    let message = words::given_up(taken, gainer);
    match &taken.keeps {
        Keeps::Less { candidate, nodes } => Action::Move {
            candidate: (*candidate).clone(),
            nodes: nodes.iter().map(|&index| cluster.nodes[index].name.clone()).collect(),
            cause: Cause::Reclaimed,
            message,
        },
        Keeps::All | Keeps::Nothing => Action::Preempt { for_job: gainer.key.clone(), message },
    }
}
