//! ResourceQuotas of a snapshot: whose pods each counts, and what pods outside the plan hold of it.
//!
//! The apiserver adds a pod to `status.used` before it creates it; the quota controller takes it off a moment after it
//! has ended. Between the two the quota says more than is held, and who waits for it waits until it says so itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kube::ResourceExt as _;
use plimsoll_scheduling::{Counted, JobKey, NamespaceQuota, QuotaLimit};

use crate::{
    Objects, Planned, TemplateView,
    counted::{self, Scoped},
    host_memory,
    nodes::job_of,
    pod_name,
    quantity::{Amount, QuantityError},
    requests::Requests,
};

/// Names of ResourceQuotas, and what they count of a pod.
pub(crate) type Limits = (BTreeSet<String>, BTreeMap<String, Counted>);

/// The ResourceQuotas that count the pods of a job, and what they count of each pod.
pub(crate) fn of_job(planned: &Planned, view: &TemplateView, objects: &Objects) -> Limits {
    let namespace = planned.job.metadata.namespace.as_deref();
    // An amount that cannot be read is told where the job's needs are.
    let per_gpu = host_memory::per_gpu(&planned.job.spec, planned.job.status.as_ref()).ok().flatten();
    let per_gpu = per_gpu.as_ref();
    let scoped = Scoped::of_template(view, per_gpu, &objects.pod_priority_class);
    let own = objects.resource_quotas.iter().filter(|quota| quota.metadata.namespace.as_deref() == namespace);
    let quotas: Vec<_> = own.filter(|quota| scoped.is_in(quota) && limits(quota).next().is_some()).collect();
    if quotas.is_empty() {
        return Limits::default();
    }
    let mut counted = counted::of_template(view, per_gpu).unwrap_or_default();
    counted.retain(|name, _| quotas.iter().any(|quota| limits(quota).any(|limit| limit.0 == name)));
    (quotas.iter().map(|quota| quota.name_any()).collect(), counted)
}

/// Those of the quotas that count pods of at least one of these jobs; each job comes with the names of its own.
pub(crate) fn namespace_quotas<'a>(
    quotas: impl IntoIterator<Item = &'a Arc<ResourceQuota>>,
    pods: impl IntoIterator<Item = &'a Arc<Pod>>,
    jobs: &[(&Planned, &BTreeSet<String>)],
    now: Timestamp,
) -> Vec<NamespaceQuota> {
    let jobs: BTreeMap<JobKey, (&Planned, &BTreeSet<String>)> =
        jobs.iter().filter(|(_, quotas)| !quotas.is_empty()).map(|job| (job.0.key(), *job)).collect();
    if jobs.is_empty() {
        return Vec::new();
    }
    let named: BTreeSet<(&str, &str)> = jobs
        .iter()
        .flat_map(|(key, (_, quotas))| quotas.iter().map(|name| (key.namespace.as_str(), name.as_str())))
        .collect();
    let counts_some = |quota: &ResourceQuota| {
        let (namespace, name) = (quota.metadata.namespace.as_deref(), quota.metadata.name.as_deref());
        namespace.zip(name).is_some_and(|key| named.contains(&key))
    };
    let pods: Vec<(&Pod, &BTreeSet<String>)> =
        pods.into_iter().filter_map(|pod| Some((pod.as_ref(), quotas_of(pod, &jobs)?))).collect();
    quotas
        .into_iter()
        .filter(|quota| counts_some(quota))
        .filter_map(|quota| {
            let quota = namespace_quota(quota, &pods, now);
            quota.inspect_err(|error| tracing::warn!(%error, "a ResourceQuota cannot be read and is left out")).ok()
        })
        .collect()
}

/// The quotas of the job that a pod belongs to, if it is of the revision that the plan knows.
fn quotas_of<'a>(pod: &Pod, jobs: &BTreeMap<JobKey, (&Planned, &'a BTreeSet<String>)>) -> Option<&'a BTreeSet<String>> {
    let key = job_of(pod)?;
    let (planned, quotas) = jobs.get(&key)?;
    let allocation = planned.held()?;
    let mut names = (0..allocation.nodes.len()).map(|index| pod_name(&key.name, allocation.revision, index));
    names.any(|name| pod.metadata.name.as_ref() == Some(&name)).then_some(quotas)
}

fn namespace_quota(
    quota: &ResourceQuota,
    pods: &[(&Pod, &BTreeSet<String>)],
    now: Timestamp,
) -> Result<NamespaceQuota, QuantityError> {
    let (namespace, name) = (quota.namespace().unwrap_or_default(), quota.name_any());
    let mut ours: BTreeMap<String, Amount> = BTreeMap::new();
    let counts = |(pod, quotas): &&(&Pod, &BTreeSet<String>)| {
        let in_scope = pod.spec.as_ref().is_some_and(|spec| Scoped::of_pod(spec).is_in(quota));
        pod.metadata.namespace.as_ref() == Some(&namespace) && quotas.contains(&name) && in_scope
    };
    for (pod, _) in pods.iter().filter(counts) {
        for (name, amount) in counted::of_pod(pod, now)? {
            *ours.entry(name).or_default() += amount;
        }
    }
    let used = quota.status.as_ref().and_then(|status| status.used.as_ref());
    let used = used.map(Requests::read).transpose()?.unwrap_or_default();
    let limit = |(name, hard): (&str, Result<Amount, QuantityError>)| {
        let hard = counted::whole_units(name, hard?);
        let ours = ours.get(name).map_or(0, |amount| counted::units(name, *amount));
        // The apiserver refuses every pod until it knows what is used.
        let held_by_others = used.find(name).map_or(hard, |used| counted::units(name, used).saturating_sub(ours));
        Ok((name.to_owned(), QuotaLimit { hard, held_by_others }))
    };
    Ok(NamespaceQuota { limits: limits(quota).map(limit).collect::<Result<_, _>>()?, namespace, name })
}

/// The limits in force that pods count in: those of the status, and of the specification until there is one.
fn limits(quota: &ResourceQuota) -> impl Iterator<Item = (&str, Result<Amount, QuantityError>)> {
    let in_force = quota.status.as_ref().and_then(|status| status.hard.as_ref());
    let hard = in_force.or(quota.spec.as_ref().and_then(|spec| spec.hard.as_ref()));
    let of_pods = hard.into_iter().flatten().filter(|(name, _)| counted::is_of_pods(name));
    of_pods.map(|(name, quantity)| (name.as_str(), Amount::try_from(quantity)))
}
