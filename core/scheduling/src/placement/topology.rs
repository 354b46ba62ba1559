//! Where nodes stand: the tree of domains.

use std::collections::BTreeMap;

use crate::{Node, TopologyAsk};

/// The label key that means the node itself, as in Kubernetes.
const HOSTNAME: &str = "kubernetes.io/hostname";

/// A level of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// The domains of a label key: its place among the levels, the widest being 0.
    Domains(usize),
    /// The node itself.
    Node,
    /// None of the cluster's levels: nothing is in one domain of it.
    Unknown,
}

/// The tree of domains: those that the administrator names, the widest first, and in the narrowest of them those whose nodes are
/// linked with each other (multi-node NVLink).
pub(crate) struct Topology<'a> {
    keys: &'a [String],
    /// For each level, the domain of each node; `None` for a node without the label. Domains are numbered in order of their
    /// paths from the widest level, so that two racks of the same name in different blocks are two.
    domains: Vec<Vec<Option<u32>>>,
    /// What every search asks of every node, side by side: the nodes themselves are far apart in memory.
    traits: Vec<Traits>,
}

/// What every search asks of a node.
#[derive(Clone, Copy)]
pub(super) struct Traits {
    pub(super) open: bool,
    /// Its devices are slices.
    pub(super) partitioned: bool,
    /// Its agent says which devices are linked.
    pub(super) linked: bool,
}

impl<'a> Topology<'a> {
    pub(crate) fn new(keys: &'a [String], nodes: &[&'a Node]) -> Self {
        let of_key = |key: &'a String| nodes.iter().map(|node| node.labels.get(key).map(String::as_str)).collect();
        let mut labels: Vec<Vec<Option<&str>>> = keys.iter().map(of_key).collect();
        if nodes.iter().any(|node| node.link_domain.is_some()) {
            labels.push(nodes.iter().map(|node| node.link_domain.as_deref()).collect());
        }
        let path = |level: usize, node: usize| -> Vec<Option<&str>> {
            labels[..=level].iter().map(|labels| labels[node]).collect()
        };
        let number = |level: usize| {
            let standing = |node: &usize| labels[level][*node].is_some();
            let mut numbers: BTreeMap<Vec<Option<&str>>, u32> =
                (0..nodes.len()).filter(standing).map(|node| (path(level, node), 0)).collect();
            numbers.values_mut().zip(0..).for_each(|(number, next)| *number = next);
            (0..nodes.len()).map(|node| numbers.get(&path(level, node)).copied()).collect()
        };
        let traits =
            |node: &&Node| Traits { open: node.open, partitioned: node.partitioned, linked: !node.links.is_empty() };
        Self { keys, domains: (0..labels.len()).map(number).collect(), traits: nodes.iter().map(traits).collect() }
    }

    /// How many levels of domains there are.
    pub(super) fn depth(&self) -> usize {
        self.domains.len()
    }

    /// The domain of a node on a level.
    pub(super) fn domain(&self, level: usize, node: usize) -> Option<u32> {
        self.domains[level][node]
    }

    pub(super) fn traits(&self, node: usize) -> Traits {
        self.traits[node]
    }

    /// The level that a label key names.
    pub(super) fn level(&self, key: &str) -> Level {
        match self.keys.iter().position(|known| known == key) {
            Some(level) => Level::Domains(level),
            None if key == HOSTNAME => Level::Node,
            None => Level::Unknown,
        }
    }

    /// Whether a label key names a level.
    pub(crate) fn knows(&self, key: &str) -> bool {
        self.level(key) != Level::Unknown
    }

    /// The most of these nodes that stand in one domain of the level that is required; all of them where none is.
    pub(crate) fn most_together(&self, near: &TopologyAsk, nodes: impl Iterator<Item = usize>) -> u32 {
        let most = match near.required.as_deref().map(|key| self.level(key)) {
            None => nodes.count(),
            Some(Level::Unknown) => 0,
            Some(Level::Node) => nodes.take(1).count(),
            Some(Level::Domains(level)) => {
                let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
                for domain in nodes.filter_map(|node| self.domain(level, node)) {
                    *counts.entry(domain).or_default() += 1;
                }
                counts.into_values().max().unwrap_or(0)
            }
        };
        u32::try_from(most).unwrap_or(u32::MAX)
    }
}
