//! Whose turn it is. The order is total:
//!
//! 1. Between queues, level by level down the tree, after every start anew: those whose next job fits into what is their own
//!    before those that would borrow for it; then the one with the least weighted share of the cluster ([`Shares`]). Of equal shares, the one whose next job has waited longest, then by its UID and key.
//! 2. Within a queue: jobs that have waited for longer than the starvation bound, the longest wait first; then higher
//!    priority, earlier arrival, smaller UID, key (the apiserver allows no two objects with one UID).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;

use crate::quota::{Column, Place, Shares, Tree, Usage};
use crate::{Job, JobKey};

/// The order of jobs within a queue.
pub(crate) type Turn<'a> = (bool, Option<Timestamp>, Reverse<i32>, Timestamp, &'a str, &'a JobKey);

/// Where a waiting job stands in its queue.
pub(crate) fn turn(job: &Job, now: Timestamp, starvation_bound_seconds: f64) -> Turn<'_> {
    let starves = starves(job, now, starvation_bound_seconds);
    let since = starves.then_some(job.waits_since());
    (!starves, since, Reverse(job.priority), job.arrival, &job.uid, &job.key)
}

/// Whether a job has waited for longer than the starvation bound.
pub(crate) fn starves(job: &Job, now: Timestamp, starvation_bound_seconds: f64) -> bool {
    now.duration_since(job.waits_since()).as_secs_f64() > starvation_bound_seconds
}

/// A branch of a queue that has jobs with a turn to come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Branch {
    /// Its own jobs.
    Own,
    /// A child and all below it.
    Child(Place),
}

/// Who is asked first: who need not borrow, the least share, then the longest wait.
type Key = (bool, u64, usize, Branch);

/// Gives every waiting job its turn, once.
pub(crate) struct Turns<'t, 'a> {
    tree: &'t Tree<'a>,
    shares: Shares,
    usage: Usage,
    /// Jobs of queues that do not exist.
    strays: VecDeque<&'a Job>,
    /// The jobs that wait in each queue, with their ranks by wait.
    waiting: Vec<VecDeque<(usize, &'a Job)>>,
    /// The branches of each queue, and last those of the whole: the roots.
    branches: Vec<BTreeSet<Key>>,
    /// The key under which a child, or a queue's own jobs, stand there.
    keys: BTreeMap<(usize, Branch), Key>,
}

impl<'t, 'a> Turns<'t, 'a> {
    /// Of waiting jobs in any order; `usage` is what queues hold now.
    pub(crate) fn new(
        tree: &'t Tree<'a>,
        shares: Shares,
        usage: Usage,
        jobs: impl IntoIterator<Item = &'a Job>,
        now: Timestamp,
        starvation_bound_seconds: f64,
    ) -> Self {
        let mut by_wait: Vec<&Job> = jobs.into_iter().collect();
        by_wait.sort_by_cached_key(|job| (job.waits_since(), &job.uid, &job.key));
        let mut jobs: Vec<(usize, &Job)> = by_wait.into_iter().enumerate().collect();
        jobs.sort_by_cached_key(|(_, job)| turn(job, now, starvation_bound_seconds));
        let count = tree.places().count();
        let mut turns = Self {
            tree,
            shares,
            usage,
            strays: VecDeque::new(),
            waiting: vec![VecDeque::new(); count],
            branches: vec![BTreeSet::new(); count + 1],
            keys: BTreeMap::new(),
        };
        for (rank, job) in jobs {
            match tree.place(&job.queue) {
                Some(place) => turns.waiting[place.index()].push_back((rank, job)),
                None => turns.strays.push_back(job),
            }
        }
        for place in tree.children_first() {
            turns.enter_own(place);
            turns.enter(place);
        }
        turns
    }

    /// The next job; it has its turn now, and no other one.
    pub(crate) fn next(&mut self) -> Option<&'a Job> {
        if let Some(stray) = self.strays.pop_front() {
            return Some(stray);
        }
        let mut at = self.branches.len() - 1;
        while let Branch::Child(place) = self.branches[at].first()?.3 {
            at = place.index();
        }
        let (_, job) = self.waiting[at].pop_front()?;
        let place = self.tree.place(&job.queue)?;
        self.refresh(place);
        Some(job)
    }

    /// The job that had its turn last has started with these devices.
    pub(crate) fn started(&mut self, place: Place, column: Column, gpus: u32) {
        self.shares.start(self.tree, place, column, gpus);
        self.tree.charge(&mut self.usage, place, column, gpus.into());
        self.refresh(place);
    }

    fn refresh(&mut self, place: Place) {
        self.enter_own(place);
        let path: Vec<Place> = self.tree.path(place).collect();
        for place in path {
            self.enter(place);
        }
    }

    /// Sets a queue's own jobs among its branches.
    fn enter_own(&mut self, place: Place) {
        let head = self.waiting[place.index()].front().map(|(rank, _)| *rank);
        let key = head.map(|rank| (false, self.shares.of_own(place).to_bits(), rank, Branch::Own));
        self.set(place.index(), Branch::Own, key);
    }

    /// Sets a queue among the branches of its parent.
    fn enter(&mut self, place: Place) {
        let head = self.branches[place.index()].first().map(|(_, _, rank, _)| *rank);
        let key = head.map(|rank| {
            (self.would_borrow(place), self.shares.of_subtree(place).to_bits(), rank, Branch::Child(place))
        });
        let above = self.tree.parent(place).map_or(self.branches.len() - 1, Place::index);
        self.set(above, Branch::Child(place), key);
    }

    /// Whether a subtree would hold more than its own with the least size of its next job.
    fn would_borrow(&self, place: Place) -> bool {
        let mut at = place;
        while let Some((_, _, _, Branch::Child(child))) = self.branches[at.index()].first() {
            at = *child;
        }
        let head = self.waiting[at.index()].front().map(|(_, job)| *job);
        let least = head.and_then(|job| job.menu.candidates.iter().min_by_key(|candidate| candidate.shape.gpus()));
        least.is_some_and(|least| {
            let column = self.tree.column(&least.shape.class);
            self.tree.would_borrow(&self.usage, (at, place), column, least.shape.gpus().into())
        })
    }

    fn set(&mut self, at: usize, branch: Branch, key: Option<Key>) {
        let before = match key {
            Some(key) => self.keys.insert((at, branch), key),
            None => self.keys.remove(&(at, branch)),
        };
        if let Some(before) = before {
            self.branches[at].remove(&before);
        }
        if let Some(key) = key {
            self.branches[at].insert(key);
        }
    }
}
