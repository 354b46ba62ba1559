//! Whose turn it was: the order, played through once more.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::Timestamp;
use plimsoll_menu::ClassName;

use super::queues::{Held, Queues};
use crate::{Action, Job, JobKey, Snapshot, Standing};

/// Millionths of a device by class.
type Row<'a> = BTreeMap<&'a ClassName, i64>;

/// The state of the play; everything by the number of a queue.
struct Play<'p, 'a> {
    queues: &'p Queues<'a>,
    roots: Vec<usize>,
    totals: BTreeMap<&'a ClassName, f64>,
    own: Vec<Row<'a>>,
    below: Vec<Row<'a>>,
    /// Who waits in each queue, the last first, with ranks by wait over all.
    waiting: Vec<Vec<(usize, &'a Job)>>,
    /// Who is next of each subtree: rank and queue.
    next: Vec<Option<(usize, usize)>>,
    /// The share of each subtree.
    shares: Vec<f64>,
    /// Devices that subtrees hold.
    held: Held<'a>,
}

/// When each job that waits has its turn, given which of them start.
pub(super) fn positions<'a>(
    snapshot: &'a Snapshot,
    queues: &Queues<'a>,
    actions: &BTreeMap<&'a JobKey, &'a Action>,
    held: Held<'a>,
    now: Timestamp,
) -> BTreeMap<&'a JobKey, usize> {
    let rules = &snapshot.rules;
    let waits = |job: &&Job| job.standing == Standing::Waiting;
    let mut jobs: Vec<&Job> = snapshot.jobs.iter().map(|job| &**job).filter(waits).collect();
    jobs.sort_by_cached_key(|job| (job.waits_since(), job.uid.clone(), job.key.clone()));
    let waits_as: BTreeMap<&JobKey, usize> = jobs.iter().enumerate().map(|(rank, job)| (&job.key, rank)).collect();
    jobs.sort_by_cached_key(|job| {
        let since = job.waits_since();
        let late = now.duration_since(since).as_secs_f64() > rules.starvation_bound_seconds;
        let since = if late { since } else { Timestamp::MAX };
        (since, Reverse(job.priority), job.arrival, job.uid.clone(), job.key.clone())
    });
    let count = queues.len();
    let mut play = Play {
        queues,
        roots: queues.roots(),
        totals: BTreeMap::new(),
        own: vec![Row::new(); count],
        below: vec![Row::new(); count],
        waiting: vec![Vec::new(); count],
        next: vec![None; count],
        shares: vec![0.0; count],
        held,
    };
    for node in snapshot.nodes.iter() {
        *play.totals.entry(&node.class).or_default() += f64::from(node.gpus);
    }
    let half_life = rules.usage_half_life_seconds;
    let rate = if half_life > 0.0 { std::f64::consts::LN_2 / half_life } else { 0.0 };
    let kept = |queue: usize| {
        let at = queues.get(queue).usage_at;
        at.map_or(1.0, |at| (-rate * now.duration_since(at).as_secs_f64().max(0.0)).exp())
    };
    for queue in 0..count {
        for (class, seconds) in &queues.get(queue).usage {
            play.hold(queue, class, seconds.max(0.0) * rate * kept(queue));
        }
    }
    for job in snapshot.jobs.iter() {
        if let Standing::Placed(held) | Standing::Leaving(held) | Standing::Moving { from: held, .. } = &job.standing
            && let Some(queue) = queues.number(&job.queue)
        {
            play.hold(queue, &held.shape.class, f64::from(held.shape.gpus()) * (2.0 - kept(queue)));
        }
    }
    let mut order = Vec::new();
    for job in jobs {
        match queues.number(&job.queue) {
            Some(queue) => play.waiting[queue].push((waits_as[&job.key], job)),
            None => order.push(&job.key),
        }
    }
    for list in &mut play.waiting {
        list.reverse();
    }
    // Those above are looked at after those below: the longest ways up first.
    let mut all: Vec<usize> = (0..count).collect();
    all.sort_by_key(|queue| Reverse(queues.way_up(*queue).len()));
    for queue in all {
        play.look_at(queue);
    }
    while let Some((_, queue)) = play.best(None, &play.roots) {
        let Some((_, job)) = play.waiting[queue].pop() else { break };
        order.push(&job.key);
        if let Some(Action::Start { candidate, .. }) = actions.get(&job.key) {
            let shape = &candidate.shape;
            play.hold(queue, &shape.class, f64::from(shape.gpus()));
            queues.hold(&mut play.held, queue, &shape.class, shape.gpus().into());
        }
        for &place in queues.way_up(queue) {
            play.look_at(place);
        }
    }
    order.into_iter().enumerate().map(|(turn, key)| (key, turn)).collect()
}

impl<'a> Play<'_, 'a> {
    fn hold(&mut self, queue: usize, class: &'a ClassName, devices: f64) {
        let millionths = (devices * 1e6).round() as i64;
        *self.own[queue].entry(class).or_default() += millionths;
        for &place in self.queues.way_up(queue) {
            *self.below[place].entry(class).or_default() += millionths;
        }
    }

    /// Works out share and next of a subtree, once those below it are known.
    fn look_at(&mut self, queue: usize) {
        self.shares[queue] = self.share(&self.below[queue], queue);
        self.next[queue] = self.best(Some(queue), self.queues.children(queue));
    }

    /// The next job's rank and queue, of a queue's own jobs and these subtrees.
    fn best(&self, own: Option<usize>, below: &[usize]) -> Option<(usize, usize)> {
        let own = own.and_then(|queue| {
            let (rank, _) = self.waiting[queue].last()?;
            Some((false, self.share(&self.own[queue], queue), (*rank, queue)))
        });
        let below = below.iter().filter_map(|child| {
            let next = self.next[*child]?;
            Some((self.borrows(*child, next.1), self.shares[*child], next))
        });
        type Offer = (bool, f64, (usize, usize));
        let better = |a: Offer, b: Offer| if (b.0, b.1, b.2.0) < (a.0, a.1, a.2.0) { b } else { a };
        own.into_iter().chain(below).reduce(better).map(|(_, _, next)| next)
    }

    /// Whether a subtree has too little of its own for the next job of a queue in it, at its least size.
    fn borrows(&self, place: usize, queue: usize) -> bool {
        let Some((_, job)) = self.waiting[queue].last() else { return false };
        let Some(least) = job.menu.candidates.iter().map(|candidate| &candidate.shape).min_by_key(|s| s.gpus()) else {
            return false;
        };
        self.queues.would_borrow(&self.held, (queue, place), &least.class, least.gpus())
    }

    fn share(&self, devices: &Row<'a>, queue: usize) -> f64 {
        let weight = self.queues.get(queue).weight;
        if weight.is_nan() || weight <= 0.0 {
            return f64::INFINITY;
        }
        let share = |(class, millionths): (&&ClassName, &i64)| match self.totals.get(*class) {
            Some(total) if *total > 0.0 && *millionths > 0 => (*millionths as f64 / 1e6 + 0.5) / total,
            _ => 0.0,
        };
        devices.iter().map(share).fold(0.0, f64::max) / weight
    }
}
