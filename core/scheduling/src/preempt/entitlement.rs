//! Who must give way to whom.
//!
//! * Within a queue, a lower priority to a higher one, if the queue's `preemption.within_queue` says so.
//! * In the tree, a subtree that holds more than its own to one that, with the new job, holds no more than its own (Kueue's
//!   reclaim within the cohort): at the place where both meet. Only what is borrowed is taken, with the last victim perhaps
//!   more than that.
//! * To a job past the starvation bound, a subtree that borrows, but no more than what it borrows: so a victim, which borrowed,
//!   can never take it back.
//!
//! Who gave way is not entitled to the devices of who came: that one has a higher priority in the queue, or holds what is its
//! own, or left it with all of its own.

use super::Victim;
use crate::backfill::Ask;
use crate::books::Ledger;
use crate::cluster::Cluster;
use crate::quota::{Column, Place, Usage};
use crate::{Reclaims, Takes};

/// What a waiting job may take, of whom.
pub(super) struct Entitlement {
    place: Place,
    column: Column,
    priority: i32,
    within_queue: Takes,
    reclaim: Reclaims,
    /// The queue and its ancestors that hold no more than their own once the job holds its devices.
    within_own: Vec<Place>,
    starves: bool,
}

impl Entitlement {
    pub(super) fn new(cluster: &Cluster<'_>, future: &Ledger<'_>, ask: &Ask<'_, '_>, starves: bool) -> Self {
        let (tree, place) = (&cluster.tree, ask.place);
        let preemption = tree.queue(place).preemption;
        let column = tree.column(&ask.candidate.shape.class);
        let mut with = future.usage.clone();
        tree.charge(&mut with, place, column, i64::from(ask.candidate.shape.gpus()));
        let within_own = tree.path(place).filter(|place| tree.borrowed(&with, *place, column) <= 0).collect();
        Self {
            place,
            column,
            priority: ask.job.priority,
            within_queue: preemption.within_queue,
            reclaim: preemption.reclaim,
            within_own,
            starves,
        }
    }

    /// Whether it may take anything of other queues.
    pub(super) fn reclaims(&self) -> bool {
        self.reclaim != Reclaims::Never && (self.starves || !self.within_own.is_empty())
    }

    /// Whether a victim must give so many devices, as things are.
    pub(super) fn allows(&self, cluster: &Cluster<'_>, usage: &Usage, victim: &Victim<'_>, gives: i64) -> bool {
        let lower = victim.job.priority < self.priority;
        if victim.place == self.place {
            return self.within_queue == Takes::LowerPriority && lower;
        }
        let (tree, column) = (&cluster.tree, self.column);
        // A queue that is above the other lends it nothing of its own jobs' share.
        let Some((fork, own_side, Some(other_side))) = tree.fork(self.place, victim.place) else { return false };
        let borrows_at_least = |least: i64| {
            let mut side = tree.path(victim.place).take_while(|place| *place != fork);
            side.all(|place| tree.borrowed(usage, place, column) >= least)
        };
        debug_assert!(tree.parent(other_side) == Some(fork));
        if self.starves && self.reclaim != Reclaims::Never && borrows_at_least(gives) {
            return true;
        }
        let allowed = match self.reclaim {
            Reclaims::Never => false,
            Reclaims::LowerPriority => lower,
            Reclaims::Any => true,
        };
        allowed && own_side.is_none_or(|place| self.within_own.contains(&place)) && borrows_at_least(1)
    }
}
