//! A job that may have to give something back.

use std::cmp::Reverse;

use plimsoll_menu::Candidate;

use super::Keeps;
use crate::admits::admits;
use crate::backfill::Ask;
use crate::books::Footprint;
use crate::cluster::Cluster;
use crate::quota::Place;
use crate::{Allocation, Elasticity, Job, Mode, Standing};

/// A job that may have to give something back.
pub(crate) struct Victim<'a> {
    pub(crate) job: &'a Job,
    pub(crate) held: &'a Allocation,
    pub(crate) place: Place,
    pub(crate) holds: Footprint<'a>,
    /// The nodes that it holds and may use again: a revision's pods are made anew.
    again: Vec<usize>,
    /// Smaller sizes of its menu that fit into what it holds, the largest first.
    smaller: Vec<&'a Candidate>,
    /// The one of them that it should have, all jobs taken together.
    aim: Option<&'a Candidate>,
}

impl<'a> Victim<'a> {
    pub(crate) fn new(cluster: &Cluster<'a>, job: &'a Job) -> Option<Self> {
        let Standing::Placed(held) = &job.standing else { return None };
        if !job.preemptible || !held.running {
            return None;
        }
        let place = cluster.tree.place(&job.queue)?;
        let holds = Footprint::named(cluster, job, &held.shape, &held.nodes);
        let sliced = holds.pods.keys().any(|node| cluster.nodes[*node].partitioned);
        let within = |candidate: &&Candidate| {
            let (to, from) = (&candidate.shape, &held.shape);
            !(sliced && to.gpus() > 1)
                && to.class == from.class
                && to.gpus() < from.gpus()
                && to.pods <= from.pods
                && to.gpus_per_pod <= from.gpus_per_pod
        };
        // A job that must be in one domain is stopped whole: on which of its nodes it could stay is a question of placement.
        let free = job.topology.required.is_none();
        let may_shrink = job.elasticity == Elasticity::Elastic && job.mode == Mode::Auto && free;
        let mut smaller: Vec<&Candidate> =
            job.menu.candidates.iter().filter(|candidate| may_shrink && within(candidate)).collect();
        // A stable sort: of equal sizes the preferred one comes first, and is the one that counts.
        smaller.sort_by_key(|candidate| Reverse(candidate.shape.gpus()));
        smaller.dedup_by_key(|candidate| candidate.shape.gpus());
        let aim = cluster.aim_of(&job.key).filter(|candidate| may_shrink && within(candidate));
        let may_use = |node: &usize| cluster.nodes[*node].open && admits(cluster.nodes[*node], &job.needs);
        let again = holds.pods.keys().copied().filter(may_use).collect();
        Some(Self { job, held, place, holds, again, smaller, aim })
    }

    /// GPU-seconds that are lost when it is stopped: what it trains again and what its restart takes, on all its devices.
    pub(crate) fn lost(&self) -> f64 {
        let seconds = self.held.checkpoint_age_seconds.max(0.0) + self.job.restart_seconds.max(0.0);
        seconds * f64::from(self.held.shape.gpus())
    }

    /// The size that it should have, if that is below what it holds.
    pub(super) fn to_its_aim(&self, ask: &Ask<'_, 'a>) -> Option<Keeps<'a>> {
        self.aim.and_then(|candidate| self.less(ask, candidate))
    }

    /// Whether it holds more than it should have.
    pub(super) fn is_above_its_aim(&self) -> bool {
        self.aim.is_some()
    }

    /// Its least size, if there is one below what it holds.
    pub(super) fn smallest(&self, ask: &Ask<'_, 'a>) -> Option<Keeps<'a>> {
        self.smaller.last().and_then(|candidate| self.less(ask, candidate))
    }

    /// What it may be left with, from everything downwards, without nothing at all.
    pub(super) fn ladder(&self, ask: &Ask<'_, 'a>) -> Vec<Keeps<'a>> {
        let less = self.smaller.iter().filter_map(|candidate| self.less(ask, candidate));
        std::iter::once(Keeps::All).chain(less).collect()
    }

    /// A smaller size on some of its nodes: those first that the other job cannot use.
    fn less(&self, ask: &Ask<'_, 'a>, candidate: &'a Candidate) -> Option<Keeps<'a>> {
        let wanted = |node: &usize| ask.usable.binary_search(node).is_ok();
        let mut nodes = self.again.clone();
        nodes.sort_by_key(|node| (wanted(node), *node));
        let pods = usize::try_from(candidate.shape.pods).ok()?;
        (nodes.len() >= pods).then(|| {
            nodes.truncate(pods);
            nodes.sort_unstable();
            Keeps::Less { candidate, nodes }
        })
    }

    /// Devices that it is left with.
    pub(super) fn gpus(&self, keeps: &Keeps<'a>) -> i64 {
        match keeps {
            Keeps::All => self.held.shape.gpus().into(),
            Keeps::Less { candidate, .. } => candidate.shape.gpus().into(),
            Keeps::Nothing => 0,
        }
    }

    /// The same with all that goes with them.
    pub(super) fn footprint(&self, cluster: &Cluster<'a>, keeps: &Keeps<'a>) -> Footprint<'a> {
        match keeps {
            Keeps::All => self.holds.clone(),
            Keeps::Less { candidate, nodes } => {
                Footprint::new(cluster, self.job, &candidate.shape, nodes.iter().copied())
            }
            Keeps::Nothing => Footprint::default(),
        }
    }
}
