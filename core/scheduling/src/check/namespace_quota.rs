//! What gangs count in their namespace's ResourceQuotas, added up once more.

use std::collections::BTreeMap;

use plimsoll_menu::Shape;

use super::Violation;
use super::world::{Count, Totals, World};
use crate::{Action, Job};

/// Names one limit: namespace, ResourceQuota, resource.
pub(super) type Limit<'a> = (&'a str, &'a str, &'a str);

/// What all pods of a gang count, at every limit of the quotas that count them.
pub(super) fn counts<'a>(world: &World<'a>, job: &Job, shape: &Shape) -> BTreeMap<Limit<'a>, i128> {
    let class = world.snapshot.classes.get(&shape.class);
    let mut counts = BTreeMap::new();
    for quota in world.snapshot.namespace_quotas.iter() {
        if quota.namespace != job.key.namespace || !job.namespace_quotas.contains(&quota.name) {
            continue;
        }
        for resource in quota.limits.keys() {
            let mut pod = 0;
            if let Some(counted) = job.counted.get(resource) {
                pod += i128::from(counted.base) + i128::from(counted.per_gpu) * i128::from(shape.gpus_per_pod);
            }
            if class.is_some_and(|class| *resource == format!("requests.{}", class.resource)) {
                pod += i128::from(shape.gpus_per_pod);
            }
            if pod > 0 {
                counts.insert((&*quota.namespace, &*quota.name, &**resource), pod * i128::from(shape.pods));
            }
        }
    }
    counts
}

fn hard(world: &World<'_>, limit: Limit<'_>) -> i128 {
    let quota = world.snapshot.namespace_quotas.iter().find(|q| (&*q.namespace, &*q.name) == (limit.0, limit.1));
    quota.and_then(|quota| quota.limits.get(limit.2)).map_or(i128::MAX, |limit| limit.hard.into())
}

/// Whether its namespace could ever hold a gang of this shape.
pub(super) fn could_allow(world: &World<'_>, job: &Job, shape: &Shape) -> bool {
    counts(world, job, shape).into_iter().all(|(limit, count)| count <= hard(world, limit))
}

/// Whether its namespace may hold a gang of this shape beside these totals.
pub(super) fn allows(world: &World<'_>, totals: &Totals<'_>, job: &Job, shape: &Shape) -> bool {
    counts(world, job, shape).into_iter().all(|(limit, count)| totals.namespaces[&limit] + count <= hard(world, limit))
}

/// New pods must fit beside whatever everybody else holds: the apiserver counts them when they are created, once the
/// job's own old pods are gone.
pub(super) fn is_kept(world: &World<'_>, job: &Job, action: &Action) -> Vec<Violation> {
    let (Action::Start { candidate, .. } | Action::Move { candidate, .. }) = action else { return Vec::new() };
    let others = world.totals(|other, _| if other.key == job.key { Count::Nothing } else { Count::Both });
    let counts = counts(world, job, &candidate.shape).into_iter();
    counts
        .map(|(limit, count)| (limit, others.namespaces[&limit] + count, hard(world, limit)))
        .filter(|(_, promised, hard)| promised > hard)
        .map(|((_, quota, resource), promised, hard)| Violation::OverNamespaceQuota {
            job: job.key.clone(),
            quota: quota.to_owned(),
            resource: resource.to_owned(),
            promised,
            hard,
        })
        .collect()
}
