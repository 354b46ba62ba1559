//! What gangs count in their namespace's ResourceQuotas, added up once more.

use std::collections::BTreeMap;

use plimsoll_menu::Shape;

use super::Violation;
use super::world::{Totals, World};
use crate::{Action, Job, Standing};

/// Names one limit: namespace, ResourceQuota, resource.
pub(super) type Limit<'a> = (&'a str, &'a str, &'a str);

/// What all pods of a gang count, at every limit of the quotas that count them.
pub(super) fn counts<'a>(world: &World<'a>, job: &Job, shape: &Shape) -> BTreeMap<Limit<'a>, i128> {
    let mut counts = BTreeMap::new();
    if job.namespace_quotas.is_empty() {
        return counts;
    }
    let class = world.snapshot.classes.get(&shape.class);
    let own = world.namespace_quotas.get(job.key.namespace.as_str());
    for quota in own.into_iter().flatten().filter(|quota| job.namespace_quotas.contains(&quota.name)) {
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
    let mut quotas = world.namespace_quotas.get(limit.0).into_iter().flatten();
    let quota = quotas.find(|quota| quota.name == limit.1);
    quota.and_then(|quota| quota.limits.get(limit.2)).map_or(i128::MAX, |limit| limit.hard.into())
}

impl World<'_> {
    /// Whether a limit that counts a job's pods is passed.
    pub(super) fn over_in_namespace(&self, totals: &Totals<'_>, job: &Job) -> bool {
        let mut limits = totals.namespaces.iter();
        limits.any(|(limit, held)| {
            limit.0 == job.key.namespace && job.namespace_quotas.contains(limit.1) && *held > hard(self, *limit)
        })
    }
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
pub(super) fn is_kept(world: &World<'_>, both: &Totals<'_>, job: &Job, action: &Action) -> Vec<Violation> {
    let (Action::Start { candidate, .. } | Action::Move { candidate, .. }) = action else { return Vec::new() };
    let new = counts(world, job, &candidate.shape);
    let old = match &job.standing {
        Standing::Placed(held) => counts(world, job, &held.shape),
        _ => BTreeMap::new(),
    };
    let promised = |limit: Limit<'_>, count: i128| {
        // Of what all hold, the job itself has the larger of old and new.
        let own = old.get(&limit).copied().unwrap_or(0).max(count);
        both.namespaces.get(&limit).copied().unwrap_or(0) - own + count
    };
    new.iter()
        .map(|(&limit, &count)| (limit, promised(limit, count), hard(world, limit)))
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
