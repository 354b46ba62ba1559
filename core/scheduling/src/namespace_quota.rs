//! ResourceQuotas: what the pods of a gang count in their namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use plimsoll_menu::Shape;

use crate::books::Books;
use crate::cluster::Cluster;
use crate::{Job, JobKey, NamespaceQuota, QuotaLimit, Snapshot, Standing, Table};

/// One resource that one ResourceQuota limits.
#[derive(Clone, Copy)]
pub(crate) struct Line<'a> {
    pub(crate) quota: &'a NamespaceQuota,
    pub(crate) resource: &'a str,
    pub(crate) limit: QuotaLimit,
}

/// What a gang counts on each line where it counts at all.
pub(crate) type Charges = BTreeMap<usize, i64>;

/// All ResourceQuotas, a line for each resource, in order of namespace, name and resource; accelerators and their like come
/// first, because who lacks several things is told the first.
pub(crate) struct NamespaceQuotas<'a> {
    pub(crate) lines: Vec<Line<'a>>,
    by_name: BTreeMap<(&'a str, &'a str), Range<usize>>,
}

impl<'a> NamespaceQuotas<'a> {
    pub(crate) fn new(quotas: &'a Table<NamespaceQuota>) -> Self {
        let (mut lines, mut by_name) = (Vec::new(), BTreeMap::new());
        for quota in quotas.iter().map(Arc::as_ref) {
            let key = (quota.namespace.as_str(), quota.name.as_str());
            let first = lines.len();
            let mut limits: Vec<_> = quota.limits.iter().collect();
            limits.sort_by_key(|(resource, _)| !resource.contains('/'));
            lines.extend(limits.into_iter().map(|(resource, &limit)| Line { quota, resource, limit }));
            by_name.insert(key, first..lines.len());
        }
        Self { lines, by_name }
    }

    /// What is left on each line beside pods outside the plan; negative where a limit was lowered below what is held.
    pub(crate) fn rooms(&self) -> Vec<i64> {
        let room = |limit: QuotaLimit| signed(limit.hard).saturating_sub(signed(limit.held_by_others));
        self.lines.iter().map(|line| room(line.limit)).collect()
    }

    /// The first line on which a gang would be too much even if nobody else were there.
    pub(crate) fn never(&self, charges: &Charges) -> Option<usize> {
        charges.iter().find(|(line, charge)| **charge > signed(self.lines[**line].limit.hard)).map(|(line, _)| *line)
    }
}

/// What a gang of `job` in this shape counts: all its pods, on nodes that exist or not.
pub(crate) fn charges(cluster: &Cluster<'_>, job: &Job, shape: &Shape) -> Charges {
    if job.namespace_quotas.is_empty() {
        return Charges::new();
    }
    let quotas = &cluster.quotas;
    let accelerator = cluster.class(&shape.class).map(|class| class.resource.as_str());
    let lines = job.namespace_quotas.iter().flat_map(|name| {
        let key = (job.key.namespace.as_str(), name.as_str());
        quotas.by_name.get(&key).cloned().unwrap_or_default()
    });
    let charge = |line: usize| {
        let pod = job.counts(quotas.lines[line].resource, accelerator, shape.gpus_per_pod);
        (line, signed(pod.saturating_mul(shape.pods.into())))
    };
    lines.map(charge).filter(|(_, charge)| *charge > 0).collect()
}

/// Jobs that hold more, with everybody else, than the ResourceQuotas that count them allow: for a moment after pods have
/// ended that a quota still counts, or for good where a limit was lowered. The apiserver would refuse them new pods.
pub fn over_counted(snapshot: &Snapshot) -> BTreeSet<JobKey> {
    let cluster = Cluster::new(snapshot);
    let books = Books::open(&cluster);
    let over = |job: &&&Job| {
        let shape = match &job.standing {
            Standing::Placed(held) | Standing::Leaving(held) | Standing::Moving { from: held, .. } => &held.shape,
            Standing::Held { .. } | Standing::Waiting => return false,
        };
        charges(&cluster, job, shape).keys().any(|line| books.now.is_over(*line))
    };
    cluster.jobs.iter().filter(over).map(|job| job.key.clone()).collect()
}

fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}
