//! Fake nodes: what they look like, how they are made, and when they can take pods.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, NodeSpec, NodeStatus, NodeSystemInfo, Taint};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{ListParams, ObjectMeta, PostParams};
use kube::{Api, Client};

use crate::spec::{ClusterSpec, Gpus, NodeGroup};

/// Why the nodes are not there.
#[derive(Debug, thiserror::Error)]
pub enum NodesError {
    /// The apiserver refused one.
    #[error("failed to create node {name}")]
    Create {
        /// The node.
        name: String,
        /// What the apiserver said.
        #[source]
        source: Box<kube::Error>,
    },
    /// The apiserver did not answer.
    #[error("failed to list nodes")]
    List(#[source] Box<kube::Error>),
    /// Too slow.
    #[error("failed to wait for nodes: {ready} of {expected} were ready after {waited:?}")]
    NotReady {
        /// How many take pods.
        ready: usize,
        /// How many there should be.
        expected: usize,
        /// How long that was waited for.
        waited: Duration,
    },
}

/// kwok plays the kubelet of nodes with this annotation only, so that real nodes can stand beside them.
const PLAYED_BY_KWOK: (&str, &str) = ("kwok.x-k8s.io/node", "fake");

/// Creates every node of the description.
pub(crate) async fn create(client: &Client, spec: &ClusterSpec, kubelet_version: &str) -> Result<(), NodesError> {
    let api: Api<Node> = Api::all(client.clone());
    for node in spec.nodes.iter().flat_map(|group| (0..group.count).map(|i| node(group, i, kubelet_version))) {
        if let Err(source) = api.create(&PostParams::default(), &node).await {
            let name = node.metadata.name.unwrap_or_default();
            return Err(NodesError::Create { name, source: Box::new(source) });
        }
    }
    Ok(())
}

/// Waits until every node is Ready and has lost its `not-ready` taint.
pub(crate) async fn wait_ready(client: &Client, expected: usize, bound: Duration) -> Result<(), NodesError> {
    let api: Api<Node> = Api::all(client.clone());
    let deadline = tokio::time::Instant::now() + bound;
    loop {
        let nodes = api.list(&ListParams::default()).await.map_err(|error| NodesError::List(Box::new(error)))?;
        let ready = nodes.iter().filter(|node| takes_pods(node)).count();
        if ready >= expected {
            return Ok(());
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(NodesError::NotReady { ready, expected, waited: bound });
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Ready by its condition, and not kept empty by the node lifecycle controller.
fn takes_pods(node: &Node) -> bool {
    let ready = (node.status.as_ref())
        .and_then(|status| status.conditions.as_ref())
        .is_some_and(|conditions| conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True"));
    let held_back = (node.spec.as_ref())
        .and_then(|spec| spec.taints.as_ref())
        .is_some_and(|taints| taints.iter().any(|taint| taint.key.starts_with("node.kubernetes.io/")));
    ready && !held_back
}

/// One node of a group.
fn node(group: &NodeGroup, index: u32, kubelet_version: &str) -> Node {
    let name = format!("{}-{index}", group.name_prefix);
    let resources = resources(group);
    Node {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            labels: Some(labels(group, &name)),
            annotations: Some(BTreeMap::from([(PLAYED_BY_KWOK.0.to_owned(), PLAYED_BY_KWOK.1.to_owned())])),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec { taints: Some(taints(group)), ..NodeSpec::default() }),
        status: Some(NodeStatus {
            allocatable: Some(resources.clone()),
            capacity: Some(resources),
            node_info: Some(NodeSystemInfo {
                architecture: "amd64".to_owned(),
                kubelet_version: kubelet_version.to_owned(),
                operating_system: "linux".to_owned(),
                ..NodeSystemInfo::default()
            }),
            ..NodeStatus::default()
        }),
    }
}

fn labels(group: &NodeGroup, name: &str) -> BTreeMap<String, String> {
    let mut labels = group.labels.clone();
    let mut add = |key: &str, value: String| {
        labels.entry(key.to_owned()).or_insert(value); // what the description says comes first
    };
    add("kubernetes.io/hostname", name.to_owned());
    add("kubernetes.io/os", "linux".to_owned());
    add("kubernetes.io/arch", "amd64".to_owned());
    add("node.kubernetes.io/instance-type", group.instance_type.clone());
    for (key, value) in group.gpus.iter().flat_map(Gpus::labels) {
        add(key, value);
    }
    labels
}

fn resources(group: &NodeGroup) -> BTreeMap<String, Quantity> {
    let mut resources = BTreeMap::from([
        ("cpu".to_owned(), Quantity(group.cpu.clone())),
        ("memory".to_owned(), Quantity(group.memory.clone())),
        ("ephemeral-storage".to_owned(), Quantity(group.ephemeral_storage.clone())),
        ("pods".to_owned(), Quantity("110".to_owned())),
    ]);
    if let Some(gpus) = &group.gpus {
        resources.insert("nvidia.com/gpu".to_owned(), Quantity(gpus.count.to_string()));
    }
    resources
}

fn taints(group: &NodeGroup) -> Vec<Taint> {
    (group.taints.iter())
        .map(|taint| Taint {
            key: taint.key.clone(),
            value: taint.value.clone(),
            effect: taint.effect.clone(),
            ..Taint::default()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_node_has_the_labels_the_resource_and_the_taint() {
        let spec = ClusterSpec::demo().unwrap();
        let node = node(&spec.nodes[2], 8, "v1.37.2");
        let labels = node.metadata.labels.unwrap();
        assert_eq!(node.metadata.name.unwrap(), "t4-8");
        assert_eq!(labels["nvidia.com/gpu.product"], "Tesla-T4");
        assert_eq!(labels["nvidia.com/gpu.memory"], "15360");
        assert_eq!(labels["kubernetes.io/hostname"], "t4-8");
        assert_eq!(node.status.unwrap().allocatable.unwrap()["nvidia.com/gpu"].0, "4");
        assert_eq!(node.spec.unwrap().taints.unwrap()[0].effect, "NoSchedule");
    }

    #[test]
    fn the_system_node_has_neither() {
        let spec = ClusterSpec::demo().unwrap();
        let node = node(&spec.nodes[3], 0, "v1.37.2");
        assert!(!node.metadata.labels.unwrap().contains_key("nvidia.com/gpu.present"));
        assert!(!node.status.unwrap().allocatable.unwrap().contains_key("nvidia.com/gpu"));
        assert!(node.spec.unwrap().taints.unwrap().is_empty());
    }

    #[test]
    fn a_node_that_is_ready_but_still_tainted_takes_no_pods() {
        let mut node = node(&ClusterSpec::demo().unwrap().nodes[0], 0, "v1.37.2");
        assert!(!takes_pods(&node));
        node.status.as_mut().unwrap().conditions = Some(vec![k8s_openapi::api::core::v1::NodeCondition {
            type_: "Ready".to_owned(),
            status: "True".to_owned(),
            ..Default::default()
        }]);
        assert!(takes_pods(&node));
        let taints = node.spec.as_mut().unwrap().taints.as_mut().unwrap();
        taints.push(Taint { key: "node.kubernetes.io/not-ready".to_owned(), ..Taint::default() });
        assert!(!takes_pods(&node));
    }
}
