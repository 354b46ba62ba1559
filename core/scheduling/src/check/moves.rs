//! Whom a move would overtake.

use std::collections::BTreeMap;

use plimsoll_menu::ClassName;

use super::Violation;
use super::namespace_quota::{allows, counts};
use super::refusals::{State, takeable};
use super::world::{Count, World};
use crate::{Action, Allocation, Job, JobKey};

/// What those want who wait in the end: the first of them, each time.
pub(super) struct Wants<'a> {
    /// Devices of a class that its queue may hold.
    devices: BTreeMap<&'a ClassName, &'a JobKey>,
    /// Devices of a class, by a job of this queue.
    of_queue: BTreeMap<(&'a str, &'a ClassName), &'a JobKey>,
    /// What a ResourceQuota counts.
    of_namespace: BTreeMap<(&'a str, &'a str), &'a JobKey>,
}

impl<'a> Wants<'a> {
    pub(super) fn new(world: &World<'a>) -> Self {
        let left = State::new(world, |_, _| Count::Both);
        let mut wants = Self { devices: BTreeMap::new(), of_queue: BTreeMap::new(), of_namespace: BTreeMap::new() };
        for (job, action) in world.in_turn() {
            let takeable = takeable(world, job);
            if !matches!(action, Action::Wait { .. }) || takeable.is_empty() {
                continue;
            }
            for quota in &job.namespace_quotas {
                wants.of_namespace.entry((&job.key.namespace, quota)).or_insert(&job.key);
            }
            for candidate in takeable {
                let shape = &candidate.shape;
                if allows(world, &left.totals, job, shape) {
                    wants.of_queue.entry((&job.queue, &shape.class)).or_insert(&job.key);
                    if left.queue_allows(job, shape) {
                        wants.devices.entry(&shape.class).or_insert(&job.key);
                    }
                }
            }
        }
        wants
    }

    /// A move that takes more than its job holds, of a ResourceQuota or a class that somebody waits for.
    pub(super) fn overtaken(
        &self,
        world: &World<'_>,
        job: &Job,
        held: &Allocation,
        action: &Action,
    ) -> Option<Violation> {
        let Action::Move { candidate, nodes, .. } = action else { return None };
        let (to, from) = (&candidate.shape, &held.shape);
        let within = to.class == from.class
            && to.gpus_per_pod <= from.gpus_per_pod
            && nodes.iter().all(|node| held.nodes.contains(node));
        if within {
            return None;
        }
        let (before, after) = (counts(world, job, from), counts(world, job, to));
        for (limit, _) in after.iter().filter(|(limit, count)| before.get(*limit).is_none_or(|before| before < *count))
        {
            if let Some(waits) = self.of_namespace.get(&(limit.0, limit.1)) {
                let (job, waits, quota) = (job.key.clone(), (*waits).clone(), limit.1.to_owned());
                return Some(Violation::MoveOvertakesInNamespace { job, waits, quota });
            }
        }
        let waits = self.devices.get(&to.class).or_else(|| self.of_queue.get(&(job.queue.as_str(), &to.class)))?;
        Some(Violation::MoveOvertakes { job: job.key.clone(), waits: (*waits).clone(), class: to.class.clone() })
    }
}
