//! What a pod of a job needs of a node, the operator's additions included.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{self as core, NodeSelectorRequirement, NodeSelectorTerm},
    apimachinery::pkg::api::resource::Quantity,
};
use plimsoll_crds::training_job::ResourcesPerGpu;
use plimsoll_scheduling::{NodeExpression, PodNeeds, Toleration};

use crate::{
    quantity::Amount,
    requests::Requests,
    template::{TemplateError, TemplateView},
};

/// What the operator gives `/dev/shm` for each accelerator, in bytes: an emptyDir in memory of this size times the
/// accelerators of the pod. What is written there counts against the trainer's memory.
pub const SHM_BYTES_PER_GPU: u64 = 1 << 30;

/// Whether the operator adds a `/dev/shm`: unless the template mounts one itself.
pub fn adds_shm(view: &TemplateView) -> bool {
    !view.mounts_shm
}

/// Whether the size of the added `/dev/shm` is also added to the trainer's memory request (and to its memory limit,
/// where it has one): only where memory is requested at all, since a pod without requests stays one.
pub fn requests_shm(view: &TemplateView, per_gpu: Option<&ResourcesPerGpu>) -> bool {
    let asks = view.trainer_requests.asks_for("memory") || per_gpu.is_some_and(|amounts| amounts.memory.is_some());
    adds_shm(view) && asks
}

/// What a pod from this template needs of a node: never less than what the kube-scheduler will count.
///
/// # Errors
/// When `resourcesPerGPU` has an amount that is no quantity, or a node selector term is empty.
pub fn pod_needs(view: &TemplateView, per_gpu: Option<&ResourcesPerGpu>) -> Result<PodNeeds, TemplateError> {
    Ok(PodNeeds {
        base: view.requests.as_pod(),
        per_gpu: each_gpu(view, per_gpu)?.as_resources(),
        node_selector: view.pod.node_selector.clone().unwrap_or_default(),
        node_terms: node_terms(&view.pod)?,
        tolerations: view.pod.tolerations.iter().flatten().map(toleration).collect(),
    })
}

/// What the operator adds to the container that trains for each accelerator, without the accelerator.
pub(crate) fn each_gpu(view: &TemplateView, per_gpu: Option<&ResourcesPerGpu>) -> Result<Requests, TemplateError> {
    let amounts = per_gpu.map(ResourcesPerGpu::amounts).unwrap_or_default();
    let list: BTreeMap<String, Quantity> =
        amounts.into_iter().map(|(name, amount)| (name.to_owned(), amount.clone())).collect();
    let place = |because| TemplateError::Quantity { place: "spec.accelerators.resourcesPerGPU".to_owned(), because };
    let mut each = Requests::read(&list).map_err(place)?;
    if requests_shm(view, per_gpu) {
        each.add(&Requests::one("memory", Amount::units(SHM_BYTES_PER_GPU)));
    }
    Ok(each)
}

/// Required node affinity. An empty term matches nothing, which nobody means.
fn node_terms(pod: &core::PodSpec) -> Result<Vec<Vec<NodeExpression>>, TemplateError> {
    let required = pod
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    let Some(selector) = required else { return Ok(Vec::new()) };
    if selector.node_selector_terms.is_empty() {
        return Err(TemplateError::EmptyTerm);
    }
    selector.node_selector_terms.iter().map(node_term).collect()
}

fn node_term(term: &NodeSelectorTerm) -> Result<Vec<NodeExpression>, TemplateError> {
    let expression = |field: bool, r: &NodeSelectorRequirement| NodeExpression {
        key: r.key.clone(),
        field,
        operator: r.operator.clone(),
        values: r.values.clone().unwrap_or_default(),
    };
    let labels = term.match_expressions.iter().flatten().map(|r| expression(false, r));
    let fields = term.match_fields.iter().flatten().map(|r| expression(true, r));
    let expressions: Vec<_> = labels.chain(fields).collect();
    if expressions.is_empty() { Err(TemplateError::EmptyTerm) } else { Ok(expressions) }
}

fn toleration(toleration: &core::Toleration) -> Toleration {
    Toleration {
        key: toleration.key.clone().unwrap_or_default(),
        operator: toleration.operator.clone().filter(|o| !o.is_empty()).unwrap_or_else(|| "Equal".to_owned()),
        value: toleration.value.clone().unwrap_or_default(),
        effect: toleration.effect.clone().unwrap_or_default(),
    }
}
