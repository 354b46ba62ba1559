//! What a ResourceQuota counts of a pod, and whether its scopes let it count the pod at all, as the apiserver decides.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodSpec, ResourceQuota, ScopedResourceSelectorRequirement};
use plimsoll_crds::training_job::ResourcesPerGpu;
use plimsoll_scheduling::Counted;

use crate::{
    needs,
    quantity::{Amount, QuantityError},
    requests::{self, Requests},
    template::{TemplateError, TemplateView},
};

/// All pods that there are, ended ones too.
const OBJECTS: &str = "count/pods";
/// Pods that have not ended.
const PODS: &str = "pods";

/// What scopes look at in a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scoped<'a> {
    /// It has an active deadline.
    terminating: bool,
    /// No container asks for CPU or memory.
    best_effort: bool,
    /// Its priority class; empty for none.
    priority_class: &'a str,
}

impl<'a> Scoped<'a> {
    /// A pod that exists.
    pub(crate) fn of_pod(spec: &'a PodSpec) -> Self {
        Self {
            terminating: spec.active_deadline_seconds.is_some_and(|seconds| seconds >= 0),
            best_effort: is_best_effort(spec),
            priority_class: spec.priority_class_name.as_deref().unwrap_or_default(),
        }
    }

    /// A pod that the operator builds from a template.
    pub(crate) fn of_template(view: &'a TemplateView, per_gpu: Option<&ResourcesPerGpu>, class: &'a str) -> Self {
        let adds = per_gpu.is_some_and(|amounts| amounts.cpu.is_some() || amounts.memory.is_some());
        let own = Self::of_pod(&view.pod);
        Self { best_effort: own.best_effort && !adds, priority_class: class, ..own }
    }

    /// Whether every scope of a quota matches. A scope that is not known here matches nothing: that quota is left to the
    /// apiserver.
    pub(crate) fn is_in(&self, quota: &ResourceQuota) -> bool {
        let Some(spec) = &quota.spec else { return false };
        let named = spec.scopes.iter().flatten();
        let selected = spec.scope_selector.iter().flat_map(|selector| selector.match_expressions.iter().flatten());
        named.into_iter().all(|scope| self.matches(scope, "Exists", &[]))
            && selected.into_iter().all(|ScopedResourceSelectorRequirement { scope_name, operator, values }| {
                self.matches(scope_name, operator, values.as_deref().unwrap_or_default())
            })
    }

    fn matches(&self, scope: &str, operator: &str, values: &[String]) -> bool {
        let class = self.priority_class;
        match (scope, operator) {
            ("Terminating", _) => self.terminating,
            ("NotTerminating", _) => !self.terminating,
            ("BestEffort", _) => self.best_effort,
            ("NotBestEffort", _) => !self.best_effort,
            ("PriorityClass", "Exists") => !class.is_empty(),
            ("PriorityClass", "DoesNotExist") => class.is_empty(),
            ("PriorityClass", "In") => !class.is_empty() && values.iter().any(|value| value == class),
            ("PriorityClass", "NotIn") => !values.iter().any(|value| value == class),
            _ => false,
        }
    }
}

/// Accelerators and other extended resources do not count here.
fn is_best_effort(spec: &PodSpec) -> bool {
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let of_containers = containers.filter_map(|container| container.resources.as_ref());
    let mut resources = of_containers.chain(&spec.resources);
    !resources.any(|resources| {
        let lists = resources.requests.iter().chain(&resources.limits);
        let mut asked = lists.flatten().filter(|(name, _)| matches!(name.as_str(), "cpu" | "memory"));
        asked.any(|(_, quantity)| Amount::try_from(quantity).is_ok_and(Amount::is_positive))
    })
}

/// What a pod that exists counts, by the quota's word for it.
///
/// # Errors
/// When an amount is no quantity.
pub(crate) fn of_pod(pod: &Pod, now: Timestamp) -> Result<BTreeMap<String, Amount>, QuantityError> {
    let one = || Amount::units(1);
    let mut counted = BTreeMap::from([(OBJECTS.to_owned(), one())]);
    let Some(spec) = pod.spec.as_ref().filter(|_| is_charged(pod, now)) else { return Ok(counted) };
    let requests = requests::of_pod(spec, pod.status.as_ref())?;
    counted.insert(PODS.to_owned(), one());
    counted.extend(words(&requests, &requests::limits_of_pod(spec)?));
    Ok(counted)
}

/// Whether a pod counts with more than its object: it has not ended, and it is not one that should be gone by now.
fn is_charged(pod: &Pod, now: Timestamp) -> bool {
    let ended = matches!(pod.status.as_ref().and_then(|s| s.phase.as_deref()), Some("Succeeded" | "Failed"));
    let (deleted, grace) = (pod.metadata.deletion_timestamp.as_ref(), pod.metadata.deletion_grace_period_seconds);
    let overdue = deleted
        .zip(grace)
        .is_some_and(|(at, grace)| at.0.checked_add(SignedDuration::from_secs(grace)).is_ok_and(|until| now > until));
    !ended && !overdue
}

/// What a pod that the operator builds from a template counts, the class's accelerators aside. A LimitRange may add to it
/// when the pod is created; that is not known here.
///
/// # Errors
/// When an amount is no quantity.
pub(crate) fn of_template(
    view: &TemplateView,
    per_gpu: Option<&ResourcesPerGpu>,
) -> Result<BTreeMap<String, Counted>, TemplateError> {
    let place = |because| TemplateError::Quantity { place: "a limit of spec.template".to_owned(), because };
    let limits = requests::limits_of_pod(&view.pod).map_err(place)?;
    let each = needs::each_gpu(view, per_gpu)?;
    // A limit of the container that trains grows with what is added below it; none is invented.
    let trainer = view.trainer().resources.as_ref().and_then(|resources| resources.limits.as_ref());
    let limited = |name: &str| trainer.is_some_and(|limits| limits.contains_key(name));
    let grows = words(&each, &each.filtered(limited));
    let base = words(&view.requests, &limits);
    let mut counted: BTreeMap<String, Counted> =
        [OBJECTS, PODS].into_iter().map(|name| (name.to_owned(), Counted { base: 1, per_gpu: 0 })).collect();
    for (name, amount) in base {
        counted.entry(name.clone()).or_default().base = units(&name, amount);
    }
    for (name, amount) in grows {
        counted.entry(name.clone()).or_default().per_gpu = units(&name, amount);
    }
    Ok(counted)
}

/// Requests and limits under every name that a quota may limit them by.
fn words(requests: &Requests, limits: &Requests) -> BTreeMap<String, Amount> {
    let compute = |name: &str| matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
    let extended = |name: &str| name.contains('/') && !name.contains("kubernetes.io/");
    let mut words = BTreeMap::new();
    for (name, amount) in requests.iter() {
        if compute(name) {
            words.insert(name.to_owned(), amount);
        }
        if compute(name) || extended(name) {
            words.insert(format!("requests.{name}"), amount);
        }
    }
    for (name, amount) in limits.iter().filter(|(name, _)| compute(name) && !name.starts_with("hugepages-")) {
        words.insert(format!("limits.{name}"), amount);
    }
    words
}

/// Whether pods count in a limit of this name.
pub(crate) fn is_of_pods(name: &str) -> bool {
    let bare = name.strip_prefix("requests.").or_else(|| name.strip_prefix("limits.")).unwrap_or(name);
    let compute = matches!(bare, "cpu" | "memory" | "ephemeral-storage") || bare.starts_with("hugepages-");
    // `requests.storage` and what has a storage class before it are of volume claims.
    let extended = bare != name && bare.contains('/') && !bare.contains("kubernetes.io/");
    matches!(name, PODS | OBJECTS) || compute || extended
}

/// An amount in the units of a snapshot's limits, rounded up.
pub(crate) fn units(name: &str, amount: Amount) -> u64 {
    if is_cpu(name) { amount.milli() } else { amount.ceil() }
}

/// A hard limit in those units: what is below one unit allows nothing.
pub(crate) fn whole_units(name: &str, amount: Amount) -> u64 {
    if is_cpu(name) { amount.floor_milli() } else { amount.floor() }
}

fn is_cpu(name: &str) -> bool {
    matches!(name, "cpu" | "requests.cpu" | "limits.cpu")
}
