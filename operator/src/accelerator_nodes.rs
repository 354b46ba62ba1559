//! One AcceleratorNode for each Node with accelerators, for that node's agent to write its status into.
//!
//! The Node owns it, so that the garbage collector removes it with the Node. Nothing else is ever written here: the
//! agent is the only writer of the status.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    api::{Patch, PatchParams},
};
use plimsoll_crds::{AcceleratorNode, accelerator_node::AcceleratorNodeSpec};
use plimsoll_observe::{Objects, class_resources, requests::Requests};
use thiserror::Error;

/// Field manager of the objects.
pub const MANAGER: &str = "plimsoll-operator/accelerator-nodes";

/// Resources of devices that no class need describe for their node to be watched.
const KNOWN: [&str; 2] = ["nvidia.com/gpu", "nvidia.com/mig-"];

/// Why an object could not be made.
#[derive(Debug, Error)]
#[error("failed to apply AcceleratorNode {name}")]
pub struct Error {
    /// Which object.
    name: String,
    /// Why.
    #[source]
    source: kube::Error,
}

/// Makes the objects that are missing. Goes on after an error and returns the first.
///
/// # Errors
/// When the apiserver refuses a write.
pub async fn reconcile(client: &Client, objects: &Objects) -> Result<(), Error> {
    let api: Api<AcceleratorNode> = Api::all(client.clone());
    let mut result = Ok(());
    for wanted in missing(objects) {
        let name = wanted.name_any();
        // The object is ours alone, its status aside, which this does not touch.
        let outcome = api.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&wanted)).await;
        result = result.and(outcome.map(drop).map_err(|source| Error { name, source }));
    }
    result
}

/// Objects to be made: of Nodes with accelerators that own none. One that a Node of the same name owned before is on
/// its way out and is not revived under a new owner: it would keep the old node's status.
fn missing(objects: &Objects) -> Vec<AcceleratorNode> {
    let resources = class_resources(&objects.classes);
    let existing: BTreeSet<String> = objects.accelerator_nodes.iter().map(|a| a.name_any()).collect();
    let wanted = objects.nodes.iter().filter(|node| {
        node.metadata.deletion_timestamp.is_none()
            && has_accelerators(node, &resources)
            && !existing.contains(&node.name_any())
    });
    wanted.filter_map(|node| owned_by(node)).collect()
}

/// By capacity, not by what is allocatable: a node whose devices have all failed is one to watch.
fn has_accelerators(node: &Node, resources: &BTreeSet<String>) -> bool {
    let Some(capacity) = node.status.as_ref().and_then(|status| status.capacity.as_ref()) else { return false };
    let is_accelerator = |name: &str| resources.contains(name) || KNOWN.iter().any(|known| name.starts_with(known));
    let Ok(amounts) = Requests::read(capacity) else { return false };
    capacity.keys().any(|name| is_accelerator(name) && amounts.asks_for(name))
}

/// `None` for a Node without a UID, which no apiserver hands out.
fn owned_by(node: &Node) -> Option<AcceleratorNode> {
    let mut object = AcceleratorNode::new(&node.name_any(), AcceleratorNodeSpec {});
    object.metadata.owner_references = Some(vec![node.owner_ref(&())?]);
    Some(object)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn node(name: &str, capacity: &str) -> Arc<Node> {
        let yaml = format!("{{metadata: {{name: {name}, uid: u-{name}}}, status: {{capacity: {{{capacity}}}}}}}");
        Arc::new(serde_yaml::from_str(&yaml).expect("a node"))
    }

    #[test]
    fn nodes_with_accelerators_get_an_object_that_they_own_without_blocking_their_deletion() {
        let nodes =
            vec![node("cpu", "cpu: '8'"), node("gpu", "nvidia.com/gpu: '8'"), node("none", "nvidia.com/gpu: '0'")];
        let made = missing(&Objects { nodes, ..Objects::default() });
        let json = serde_json::to_value(&made).expect("JSON");
        let expected = serde_json::json!([{
            "apiVersion": "plimsoll.dev/v1alpha1",
            "kind": "AcceleratorNode",
            "metadata": {"name": "gpu", "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "gpu", "uid": "u-gpu"}]},
            "spec": {}
        }]);
        assert_eq!(json, expected);
    }

    #[test]
    fn an_object_that_exists_is_left_alone() {
        let existing = AcceleratorNode::new("gpu", AcceleratorNodeSpec {});
        let nodes = vec![node("gpu", "nvidia.com/gpu: '8'")];
        let objects = Objects { nodes, accelerator_nodes: vec![Arc::new(existing)], ..Objects::default() };
        assert_eq!(missing(&objects), []);
    }
}
