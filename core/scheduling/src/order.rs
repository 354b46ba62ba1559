//! Whose turn it is. The order is total:
//!
//! 1. Between queues: the one with the least weighted share of the cluster ([`Shares`]), level by level down the tree; after
//!    every start anew. Of queues with equal shares, the one whose next job goes first by the order within a queue.
//! 2. Within a queue: jobs that have waited for longer than the starvation bound, the longest wait first; then higher
//!    priority, earlier arrival, smaller UID, key (the apiserver allows no two objects with one UID).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;

use crate::quota::{Column, Place, Shares, Tree};
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

/// Who is asked first: the least share, then the first job.
type Key = (u64, usize, Branch);

/// Gives every waiting job its turn, once.
pub(crate) struct Turns<'t, 'a> {
    tree: &'t Tree<'a>,
    shares: Shares,
    /// Jobs of queues that do not exist.
    strays: VecDeque<&'a Job>,
    /// The jobs that wait in each queue, with their ranks.
    waiting: Vec<VecDeque<(usize, &'a Job)>>,
    /// The branches of each queue, and last those of the whole: the roots.
    branches: Vec<BTreeSet<Key>>,
    /// The key under which a child, or a queue's own jobs, stand there.
    keys: BTreeMap<(usize, Branch), Key>,
}

impl<'t, 'a> Turns<'t, 'a> {
    /// Of waiting jobs in any order.
    pub(crate) fn new(
        tree: &'t Tree<'a>,
        shares: Shares,
        jobs: impl IntoIterator<Item = &'a Job>,
        now: Timestamp,
        starvation_bound_seconds: f64,
    ) -> Self {
        let mut jobs: Vec<&Job> = jobs.into_iter().collect();
        jobs.sort_by_cached_key(|job| turn(job, now, starvation_bound_seconds));
        let count = tree.places().count();
        let mut turns = Self {
            tree,
            shares,
            strays: VecDeque::new(),
            waiting: vec![VecDeque::new(); count],
            branches: vec![BTreeSet::new(); count + 1],
            keys: BTreeMap::new(),
        };
        for (rank, job) in jobs.into_iter().enumerate() {
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
        while let Branch::Child(place) = self.branches[at].first()?.2 {
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
        let key = head.map(|rank| (self.shares.of_own(place).to_bits(), rank, Branch::Own));
        self.set(place.index(), Branch::Own, key);
    }

    /// Sets a queue among the branches of its parent.
    fn enter(&mut self, place: Place) {
        let head = self.branches[place.index()].first().map(|(_, rank, _)| *rank);
        let key = head.map(|rank| (self.shares.of_subtree(place).to_bits(), rank, Branch::Child(place)));
        let above = self.tree.parent(place).map_or(self.branches.len() - 1, Place::index);
        self.set(above, Branch::Child(place), key);
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
