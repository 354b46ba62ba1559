//! How near each other nodes are, read from their labels once more.

use std::collections::BTreeMap;

use crate::{Job, Node, Snapshot};

/// The most of these nodes that stand in one domain of the level that a job requires; all of them where it requires none.
pub(super) fn together<'n>(snapshot: &Snapshot, job: &Job, nodes: impl IntoIterator<Item = &'n Node>) -> u32 {
    let mut domains: BTreeMap<Vec<Option<&str>>, u32> = BTreeMap::new();
    for node in nodes {
        if let Some(domain) = domain(snapshot, job, node) {
            *domains.entry(domain).or_default() += 1;
        }
    }
    domains.into_values().max().unwrap_or(0)
}

/// The labels of a node from the widest level to the one that a job requires; `None` where the node is in no such domain.
fn domain<'n>(snapshot: &Snapshot, job: &Job, node: &'n Node) -> Option<Vec<Option<&'n str>>> {
    let Some(required) = &job.topology.required else { return Some(Vec::new()) };
    let mut labels = Vec::new();
    for key in &snapshot.topology {
        let label = node.labels.get(key).map(String::as_str);
        labels.push(label);
        if key == required {
            return label.map(|_| labels);
        }
    }
    (required == "kubernetes.io/hostname").then(|| vec![Some(node.name.as_str())])
}
