//! When a waiting job may start: who waits ahead takes what ends first, in turn.
//!
//! Devices are counted by class and by queue, not by node: an estimate, made for all who wait in one pass. Every counter hands
//! out what is free, then what running jobs are predicted to give back, then what those ahead will have given back.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use plimsoll_menu::{Candidate, ClassName};

use crate::StartEstimate;
use crate::backfill::{Backfill, run_seconds};
use crate::books::Books;
use crate::cluster::Cluster;
use crate::options::Options;
use crate::quota::{Column, Place};
use crate::waiter::{Promise, Waiter};

/// How much sooner or later than predicted jobs end, as a factor: what the range of an estimate is made of.
const SOONER: f64 = 0.8;
const LATER: f64 = 1.5;

/// Devices of one kind and when they become free.
#[derive(Default)]
struct Counter {
    free: i64,
    /// Thousandths of a second from now, devices; the soonest first.
    ends: BinaryHeap<Reverse<(u64, i64)>>,
    clock: u64,
}

impl Counter {
    /// From when on so many are free; `None` if never.
    fn wait_for(&mut self, gpus: i64) -> Option<u64> {
        while self.free < gpus {
            let Reverse((at, gives)) = self.ends.pop()?;
            self.clock = self.clock.max(at);
            self.free += gives;
        }
        Some(self.clock)
    }
}

/// Counters of all classes and of all limited queues.
pub(crate) struct Estimates<'c, 'a> {
    cluster: &'c Cluster<'a>,
    classes: BTreeMap<&'a ClassName, Counter>,
    queues: BTreeMap<(Place, Column), Counter>,
}

impl<'c, 'a> Estimates<'c, 'a> {
    pub(crate) fn new(
        cluster: &'c Cluster<'a>,
        books: &Books<'a>,
        backfill: &Backfill<'a>,
        classes: impl IntoIterator<Item = &'a ClassName>,
    ) -> Self {
        let mut estimates = Self { cluster, classes: BTreeMap::new(), queues: BTreeMap::new() };
        for class in classes {
            let counter = || Counter { free: i64::from(books.now.free(cluster, class)), ..Counter::default() };
            estimates.classes.entry(class).or_insert_with(counter);
        }
        let columns: Vec<Column> = estimates.classes.keys().map(|class| cluster.tree.column(class)).collect();
        for place in cluster.tree.places() {
            for &column in &columns {
                if let Some(limit) = cluster.tree.own_limit(place, column) {
                    let free = limit - cluster.tree.held(&books.now.usage, place, column);
                    estimates.queues.insert((place, column), Counter { free, ..Counter::default() });
                }
            }
        }
        for end in &backfill.ends {
            for (class, gpus) in &end.footprint.gpus {
                estimates.ends(cluster.tree.place(&end.job.queue), class, millis(end.seconds), *gpus);
            }
        }
        estimates
    }

    fn ends(&mut self, place: Option<Place>, class: &'a ClassName, at: u64, gpus: i64) {
        if let Some(counter) = self.classes.get_mut(class) {
            counter.ends.push(Reverse((at, gpus)));
        }
        let column = self.cluster.tree.column(class);
        for place in place.into_iter().flat_map(|place| self.cluster.tree.path(place)) {
            if let Some(counter) = self.queues.get_mut(&(place, column)) {
                counter.ends.push(Reverse((at, gpus)));
            }
        }
    }

    /// When the next who waits may start; those ahead must have been asked about before. `None` when no end is in sight.
    pub(crate) fn of(&mut self, waiter: &Waiter<'a>) -> Option<StartEstimate> {
        let Options::Some { place, takeable, .. } = &waiter.options else { return None };
        let candidate: &'a Candidate = takeable.iter().min_by_key(|candidate| candidate.shape.gpus())?;
        let (class, gpus) = (&candidate.shape.class, i64::from(candidate.shape.gpus()));
        let column = self.cluster.tree.column(class);
        let mut start = self.classes.get_mut(class)?.wait_for(gpus);
        for place in self.cluster.tree.path(*place) {
            if let Some(counter) = self.queues.get_mut(&(place, column)) {
                start = start.and_then(|start| Some(start.max(counter.wait_for(gpus)?)));
            }
        }
        let promised = match waiter.promise {
            Some(Promise::Predicted { seconds }) => Some(millis(seconds)),
            Some(Promise::Coming { grace_seconds } | Promise::Preempted { grace_seconds, .. }) => {
                Some(millis(grace_seconds))
            }
            // Enough is free, but not where it needs it: it waits for the next end at least.
            None if start == Some(0) => self.classes.get(class)?.ends.peek().map(|Reverse((at, _))| *at),
            None => start,
        };
        let start = promised?;
        if let Some(counter) = self.classes.get_mut(class) {
            counter.free -= gpus;
        }
        for place in self.cluster.tree.path(*place) {
            if let Some(counter) = self.queues.get_mut(&(place, column)) {
                counter.free -= gpus;
            }
        }
        let runs = run_seconds(waiter.job, candidate);
        if runs.is_finite() {
            self.ends(Some(*place), class, start.saturating_add(millis(runs)), gpus);
        }
        let seconds = start as f64 / 1000.0;
        Some(match waiter.promise {
            Some(Promise::Coming { .. } | Promise::Preempted { .. }) => {
                StartEstimate { earliest_seconds: 0.0, likely_seconds: seconds, latest_seconds: seconds }
            }
            // All ends move by the same factor, and every start with them.
            _ => StartEstimate {
                earliest_seconds: SOONER * seconds,
                likely_seconds: seconds,
                latest_seconds: LATER * seconds,
            },
        })
    }
}

fn millis(seconds: f64) -> u64 {
    // Saturates.
    (seconds * 1000.0).round() as u64
}
