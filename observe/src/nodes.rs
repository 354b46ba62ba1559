//! Nodes of a snapshot: whose class they are, whether they are open, and what others hold of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{self as core, Node, Pod};
use kube::ResourceExt as _;
use plimsoll_crds::{AcceleratorClass, AcceleratorNode, accelerator_node::Health, labels};
use plimsoll_menu::ClassName;
use plimsoll_scheduling::{self as scheduling, Allocation, JobKey, Taint};

use crate::{
    Objects, Planned, pod_name,
    quantity::QuantityError,
    requests::{self, Requests},
    window::{STALE_AFTER, is_fresh},
};

/// A resource that a node offers, and the classes that claim it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Name of the node.
    pub node: String,
    /// Extended resource.
    pub resource: String,
    /// Devices that the kubelet offers.
    pub gpus: u32,
    /// Names of the classes that claim it, sorted: one, or several in conflict.
    pub classes: Vec<String>,
}

/// What all nodes offer to the classes, by node and resource.
pub fn offers(objects: &Objects) -> Vec<Offer> {
    let mut offers: Vec<Offer> = objects.nodes.iter().flat_map(|node| node_offers(node, &objects.classes)).collect();
    offers.sort_by(|a, b| (&a.node, &a.resource).cmp(&(&b.node, &b.resource)));
    offers
}

fn node_offers(node: &Node, classes: &[Arc<AcceleratorClass>]) -> Vec<Offer> {
    let mut claims: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for class in classes.iter().filter(|class| selects(class, node)) {
        claims.entry(class.spec.resource_name.as_str()).or_default().push(class.name_any());
    }
    let allocatable = allocatable(node).unwrap_or_default();
    let offer = |(resource, mut classes): (&str, Vec<String>)| {
        classes.sort();
        let gpus = u32::try_from(allocatable.get(resource).ceil()).unwrap_or(u32::MAX);
        Offer { node: node.name_any(), resource: resource.to_owned(), gpus, classes }
    };
    claims.into_iter().map(offer).filter(|offer| offer.gpus > 0).collect()
}

/// Whether a class selects a node by its labels. A class without a selector, which the API refuses, selects none.
pub fn selects(class: &AcceleratorClass, node: &Node) -> bool {
    let selector = &class.spec.node_selector;
    !selector.is_empty() && selector.iter().all(|(key, value)| node.labels().get(key) == Some(value))
}

fn allocatable(node: &Node) -> Result<Requests, QuantityError> {
    let list = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
    list.map_or_else(|| Ok(Requests::default()), Requests::read)
}

/// Nodes with accelerators, by name.
pub(crate) fn nodes(objects: &Objects, jobs: &[Planned], now: Timestamp) -> Vec<scheduling::Node> {
    let planned: BTreeMap<JobKey, &Allocation> = jobs.iter().filter_map(|job| Some((job.key(), job.held()?))).collect();
    let mut others: BTreeMap<&str, Vec<&Pod>> = BTreeMap::new();
    for pod in &objects.pods {
        let Some(node) = bound_to(pod) else { continue };
        if is_other(pod, node, |key| planned.get(key).copied()) {
            others.entry(node).or_default().push(pod);
        }
    }
    let node = |node: &Arc<Node>| {
        let name = node.name_any();
        let others = others.get(name.as_str()).cloned().unwrap_or_default();
        self::node(node, others, objects.accelerator_node(&name), &objects.classes, now)
    };
    objects.nodes.iter().filter_map(node).collect()
}

/// What a node is to the plan, with the pods on it that are no part of that and the word of its agent; `None` without
/// accelerators.
///
/// A node that offers two resources to classes stands in the snapshot with the first of them: it cannot say yet that
/// both draw on the same CPU and memory.
pub(crate) fn node(
    node: &Node,
    mut others: Vec<&Pod>,
    agent: Option<&AcceleratorNode>,
    classes: &[Arc<AcceleratorClass>],
    now: Timestamp,
) -> Option<scheduling::Node> {
    let offers = node_offers(node, classes);
    let offer = offers.first()?;
    let class = classes.iter().find(|class| class.metadata.name.as_ref() == offer.classes.first())?;
    let allocatable = allocatable(node);
    others.sort_by_key(|pod| (&pod.metadata.namespace, &pod.metadata.name));
    let held = held(&others);
    let closed_because = closed(node, agent, now)
        .or_else(|| conflict(offer))
        .or_else(|| allocatable.as_ref().err().map(|error| format!("its allocatable cannot be read: {error}")))
        .or_else(|| held.as_ref().err().map(|error| format!("requests of a pod on it cannot be read: {error}")));
    let (total, held) = (allocatable.unwrap_or_default(), held.unwrap_or_default());
    Some(scheduling::Node {
        name: node.name_any(),
        class: ClassName::new(class.name_any()),
        gpus: offer.gpus,
        gpus_held_by_others: held
            .iter()
            .map(|pod| pod.get(&offer.resource).ceil())
            .sum::<u64>()
            .try_into()
            .unwrap_or(u32::MAX),
        allocatable: total.as_resources(),
        held_by_others: sum(&held),
        open: closed_because.is_none(),
        closed_because: closed_because.unwrap_or_default(),
        labels: node.labels().clone(),
        taints: taints(node, &offer.resource),
        partitioned: class.spec.is_partitioned(),
        // Agents do not tell which devices are linked.
        links: Vec::new(),
        link_domain: node.labels().get(LINK_DOMAIN).cloned(),
    })
}

/// Label by which NVIDIA's GPU feature discovery names a multi-node NVLink domain: the cluster's UUID and the clique in it.
const LINK_DOMAIN: &str = "nvidia.com/gpu.clique";

/// When time alone changes what a node is: once its agent's word of failed devices is too old to count.
pub(crate) fn due(agent: &AcceleratorNode, now: Timestamp) -> Option<Timestamp> {
    let status = agent.status.as_ref().filter(|status| is_fresh(status, now))?;
    let failed = status.devices.iter().any(|device| device.health == Health::Failed);
    let until = status.observed_at.as_ref()?.0.checked_add(STALE_AFTER).ok()?;
    failed.then_some(until)
}

/// Taints that Kubernetes puts on a node for as long as a state of it lasts.
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const CORDONED: &str = "node.kubernetes.io/unschedulable";

/// Why a node takes no new gang, for its own reasons. An agent's silence is none: unknown is not broken.
fn closed(node: &Node, agent: Option<&AcceleratorNode>, now: Timestamp) -> Option<String> {
    if node.metadata.deletion_timestamp.is_some() {
        return Some("is being deleted".to_owned());
    }
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let tainted =
        |key: &str| node.spec.iter().flat_map(|spec| spec.taints.iter().flatten()).any(|taint| taint.key == key);
    let ready = conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True");
    if !ready || tainted(NOT_READY) || tainted(UNREACHABLE) {
        return Some("is not ready".to_owned());
    }
    if node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true)) || tainted(CORDONED) {
        return Some("is cordoned".to_owned());
    }
    let status = agent?.status.as_ref().filter(|status| is_fresh(status, now))?;
    let failed: BTreeSet<i32> = status.devices.iter().filter(|d| d.health == Health::Failed).map(|d| d.index).collect();
    match failed.len() {
        0 => None,
        1 => failed.first().map(|index| format!("device {index} has failed")),
        count => Some(format!("{count} devices have failed")),
    }
}

fn conflict(offer: &Offer) -> Option<String> {
    (offer.classes.len() > 1).then(|| format!("is claimed by classes {}", offer.classes.join(" and ")))
}

/// Taints that may keep a job's pods away. Not among them is the one that keeps other pods off nodes with accelerators:
/// its key is the resource, and the operator gives every pod that requests the resource the toleration, as the
/// apiserver's ExtendedResourceToleration plugin would. Nor are those that say what will pass: a node that has one is closed
/// for now, and not one that the job may never use.
fn taints(node: &Node, resource: &str) -> Vec<Taint> {
    let keeps_away = |taint: &&core::Taint| match taint.effect.as_str() {
        _ if [NOT_READY, UNREACHABLE, CORDONED].contains(&taint.key.as_str()) => false,
        "NoSchedule" => taint.key != resource,
        "NoExecute" => true,
        _ => false,
    };
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten()).filter(keeps_away);
    let mut taints: Vec<Taint> = taints
        .map(|t| Taint { key: t.key.clone(), value: t.value.clone().unwrap_or_default(), effect: t.effect.clone() })
        .collect();
    taints.sort_by(|a, b| (&a.key, &a.effect, &a.value).cmp(&(&b.key, &b.effect, &b.value)));
    taints
}

fn held(pods: &[&Pod]) -> Result<Vec<Requests>, QuantityError> {
    pods.iter().filter_map(|pod| Some(requests::of_pod(pod.spec.as_ref()?, pod.status.as_ref()))).collect()
}

fn sum(pods: &[Requests]) -> scheduling::Resources {
    // Rounded per pod and added up, as the kube-scheduler does.
    pods.iter().map(Requests::as_pod).fold(scheduling::Resources::default(), |sum, pod| scheduling::Resources {
        cpu_milli: sum.cpu_milli.saturating_add(pod.cpu_milli),
        memory_bytes: sum.memory_bytes.saturating_add(pod.memory_bytes),
        ephemeral_bytes: sum.ephemeral_bytes.saturating_add(pod.ephemeral_bytes),
        pods: sum.pods + pod.pods,
    })
}

/// The node that a pod holds something of: it is bound and has not ended.
pub(crate) fn bound_to(pod: &Pod) -> Option<&str> {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let node = pod.spec.as_ref()?.node_name.as_deref()?;
    (!matches!(phase, Some("Succeeded" | "Failed"))).then_some(node)
}

/// The job whose label a pod wears.
pub(crate) fn job_of(pod: &Pod) -> Option<JobKey> {
    let name = pod.labels().get(labels::JOB_NAME)?.clone();
    Some(JobKey { namespace: pod.namespace().unwrap_or_default(), name })
}

/// Whether a pod on this node is no part of the plan, which gave each job what `held` says.
///
/// A pod of a revision that is over, or one that only wears the label, holds devices beside the allocation.
pub(crate) fn is_other<'a>(pod: &Pod, node: &str, held: impl Fn(&JobKey) -> Option<&'a Allocation>) -> bool {
    let Some(key) = job_of(pod) else { return true };
    let Some(allocation) = held(&key) else { return true };
    let name = pod.name_any();
    !allocation
        .nodes
        .iter()
        .enumerate()
        .any(|(index, own)| own == node && pod_name(&key.name, allocation.revision, index) == name)
}
