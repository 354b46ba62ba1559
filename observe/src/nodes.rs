//! Nodes of a snapshot: whose class they are, whether they are open, and what others hold of them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{self as core, Node, Pod};
use kube::ResourceExt as _;
use plimsoll_crds::{AcceleratorClass, accelerator_node::Health, labels};
use plimsoll_menu::ClassName;
use plimsoll_scheduling::{self as scheduling, Allocation, JobKey, Taint};

use crate::{
    Objects, Planned, pod_name,
    quantity::QuantityError,
    requests::{self, Requests},
    window::is_fresh,
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
    let mut offers: Vec<Offer> = objects.nodes.iter().flat_map(|node| node_offers(node, objects)).collect();
    offers.sort_by(|a, b| (&a.node, &a.resource).cmp(&(&b.node, &b.resource)));
    offers
}

fn node_offers(node: &Node, objects: &Objects) -> Vec<Offer> {
    let mut claims: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for class in objects.classes.iter().filter(|class| selects(class, node)) {
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
    let planned = jobs.iter().filter_map(|job| Some((job.key(), job.held()?))).collect();
    let others = others_by_node(objects, &planned);
    let mut nodes: Vec<scheduling::Node> = objects
        .nodes
        .iter()
        .filter_map(|node| {
            let offers = node_offers(node, objects);
            let pods = others.get(node.name_any().as_str()).map_or(&[][..], Vec::as_slice);
            self::node(node, &offers, pods, objects, now)
        })
        .collect();
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    nodes
}

/// A node that offers two resources to classes stands in the snapshot with the first of them: it cannot say yet that
/// both draw on the same CPU and memory.
fn node(node: &Node, offers: &[Offer], others: &[&Pod], objects: &Objects, now: Timestamp) -> Option<scheduling::Node> {
    let offer = offers.first()?;
    let allocatable = allocatable(node);
    let held = held(others);
    let closed_because = closed(node, objects, now)
        .or_else(|| conflict(offer))
        .or_else(|| allocatable.as_ref().err().map(|error| format!("its allocatable cannot be read: {error}")))
        .or_else(|| held.as_ref().err().map(|error| format!("requests of a pod on it cannot be read: {error}")));
    let (total, held) = (allocatable.unwrap_or_default(), held.unwrap_or_default());
    Some(scheduling::Node {
        name: node.name_any(),
        class: ClassName::new(offer.classes.first()?.clone()),
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
        partitioned: false,
        links: Vec::new(),
        link_domain: None,
    })
}

/// Taints that Kubernetes puts on a node for as long as a state of it lasts.
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const CORDONED: &str = "node.kubernetes.io/unschedulable";

/// Why a node takes no new gang, for its own reasons. An agent's silence is none: unknown is not broken.
fn closed(node: &Node, objects: &Objects, now: Timestamp) -> Option<String> {
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
    let status = objects.accelerator_node(&node.name_any())?.status.as_ref().filter(|status| is_fresh(status, now))?;
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

/// Bound pods that still hold something and are no part of the plan, by node.
fn others_by_node<'a>(
    objects: &'a Objects,
    planned: &BTreeMap<JobKey, &Allocation>,
) -> BTreeMap<&'a str, Vec<&'a Pod>> {
    let mut others: BTreeMap<&str, Vec<&Pod>> = BTreeMap::new();
    for pod in &objects.pods {
        let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) else { continue };
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        if !matches!(phase, Some("Succeeded" | "Failed")) && !is_planned(pod, node, planned) {
            others.entry(node).or_default().push(pod);
        }
    }
    others
}

/// Whether what a pod holds is in its job's allocation already. A pod of a revision that is over, or one that only
/// wears the label, holds devices beside the allocation.
fn is_planned(pod: &Pod, node: &str, planned: &BTreeMap<JobKey, &Allocation>) -> bool {
    let Some(job) = pod.labels().get(labels::JOB_NAME) else { return false };
    let key = JobKey { namespace: pod.namespace().unwrap_or_default(), name: job.clone() };
    let Some(allocation) = planned.get(&key) else { return false };
    let name = pod.name_any();
    allocation
        .nodes
        .iter()
        .enumerate()
        .any(|(index, own)| own == node && pod_name(job, allocation.revision, index) == name)
}
