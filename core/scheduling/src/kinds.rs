//! Kinds of jobs: those whose pods may use the same nodes in the same way. What is found out for one holds for all.

use std::collections::BTreeMap;

use plimsoll_menu::{ClassName, Shape};

use crate::cluster::{Cluster, Usable};
use crate::placement::When;
use crate::{Job, PodNeeds, TopologyAsk};

/// A kind of jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind(usize);

/// All kinds, with the nodes that they may use.
pub(crate) struct Kinds<'c, 'a> {
    cluster: &'c Cluster<'a>,
    by_ask: BTreeMap<(&'a PodNeeds, &'a TopologyAsk), Kind>,
    usable: Vec<Usable<'c, 'a>>,
}

impl<'c, 'a> Kinds<'c, 'a> {
    pub(crate) fn new(cluster: &'c Cluster<'a>) -> Self {
        Self { cluster, by_ask: BTreeMap::new(), usable: Vec::new() }
    }

    pub(crate) fn of(&mut self, job: &'a Job) -> Kind {
        let Self { cluster, by_ask, usable } = self;
        *by_ask.entry((&job.needs, &job.topology)).or_insert_with(|| {
            usable.push(Usable::new(cluster, job));
            Kind(usable.len() - 1)
        })
    }

    pub(crate) fn usable(&mut self, kind: Kind) -> &mut Usable<'c, 'a> {
        &mut self.usable[kind.0]
    }
}

/// Gangs that found no nodes. Rooms only shrink while jobs start, so they find none later either, nor do larger ones that run
/// for as long.
#[derive(Default)]
pub(crate) struct Refused<'a>(BTreeMap<(Asked, Kind, &'a ClassName, u32, u32), f64>);

/// Which nodes were asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asked {
    /// Any, of now.
    Now,
    /// Any, of now and later.
    NowAndLater,
    /// Any, of later.
    Later,
    /// Of now and later, without what is kept for predicted ends.
    NotKept,
}

impl From<When> for Asked {
    fn from(when: When) -> Self {
        match when {
            When::Now => Self::Now,
            When::NowAndLater => Self::NowAndLater,
            When::Later => Self::Later,
        }
    }
}

impl<'a> Refused<'a> {
    pub(crate) fn contains(&self, asked: Asked, kind: Kind, shape: &'a Shape, seconds: f64) -> bool {
        let from = (asked, kind, &shape.class, shape.gpus_per_pod, 0);
        let to = (asked, kind, &shape.class, shape.gpus_per_pod, shape.pods);
        self.0.range(from..=to).any(|(_, refused)| *refused <= seconds)
    }

    pub(crate) fn insert(&mut self, asked: Asked, kind: Kind, shape: &'a Shape, seconds: f64) {
        let key = (asked, kind, &shape.class, shape.gpus_per_pod, shape.pods);
        self.0.entry(key).and_modify(|least| *least = least.min(seconds)).or_insert(seconds);
    }

    /// Rooms have grown.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }
}
