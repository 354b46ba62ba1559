//! Which domains a gang's nodes are in.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::topology::{Level, Topology};
use crate::TopologyAsk;

/// A node that fits, and how good it is: less is better. Held or not, spread over linked sets or not, millionths of a GPU that are
/// lost with it, devices left over, devices left in the linked set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ranked {
    pub(super) node: usize,
    pub(super) held: bool,
    pub(super) rank: (bool, bool, i64, i64, u32),
}

/// A choice of domains for a gang.
pub(super) struct Domains<'t, 'a> {
    topology: &'t Topology<'a>,
    pods: usize,
    /// The level whose domains it must not span.
    required: Option<usize>,
    /// The level whose domains it had better not span.
    preferred: Option<usize>,
}

impl<'t, 'a> Domains<'t, 'a> {
    /// `None` for a gang that no cluster of these levels has room for.
    pub(super) fn new(topology: &'t Topology<'a>, near: &TopologyAsk, pods: usize) -> Option<Self> {
        let level = |key: &Option<String>| key.as_deref().map(|key| topology.level(key));
        let required = match level(&near.required) {
            Some(Level::Unknown) => return None,
            Some(Level::Node) if pods > 1 => return None,
            Some(Level::Domains(level)) => Some(level),
            Some(Level::Node) | None => None,
        };
        // The node itself as a preference, or an unknown level, is as good as none.
        let preferred = match level(&near.preferred) {
            Some(Level::Domains(level)) => Some(level),
            _ => None,
        };
        Some(Self { topology, pods, required, preferred })
    }

    /// Of the nodes that fit, those that may be chosen.
    pub(super) fn eligible(&self, mut fitting: Vec<usize>) -> Vec<usize> {
        let stands = |level: usize| move |node: &usize| self.topology.domain(level, *node).is_some();
        if let Some(level) = self.required {
            fitting.retain(stands(level));
        }
        // A single pod is in one domain wherever it is in any.
        if let Some(level) = self.preferred.filter(|_| self.pods == 1)
            && fitting.iter().any(stands(level))
        {
            fitting.retain(stands(level));
        }
        fitting
    }

    /// Nodes for all pods, of eligible ones, of which there are enough; `None` when no domain of the required level has room.
    pub(super) fn choose(&self, nodes: Vec<Ranked>) -> Option<Vec<usize>> {
        let widest = self.required.unwrap_or(0);
        let narrowest = self.preferred.map_or(self.topology.depth(), |level| level.max(widest) + 1);
        for level in (widest..narrowest).rev() {
            if let Some(inside) = self.groups(&nodes, level).best(self.pods) {
                return Some(self.inside(inside, self.pods, level + 1));
            }
        }
        if self.required.is_some() { None } else { Some(self.inside(nodes, self.pods, 0)) }
    }

    /// Of equally good nodes for a single pod, the one of the domain with the fewest that could be chosen, from the narrowest level
    /// to the widest; then the first.
    pub(super) fn fewest(&self, mut best: Vec<usize>, eligible: &[usize]) -> Option<usize> {
        for level in (0..self.topology.depth()).rev() {
            if best.len() < 2 {
                break;
            }
            let mut counts: Vec<usize> = Vec::new();
            for domain in eligible.iter().filter_map(|node| self.topology.domain(level, *node)) {
                let domain = domain as usize;
                if domain >= counts.len() {
                    counts.resize(domain + 1, 0);
                }
                counts[domain] += 1;
            }
            let count =
                |node: &usize| self.topology.domain(level, *node).map_or(usize::MAX, |domain| counts[domain as usize]);
            let fewest = best.iter().map(count).min();
            best.retain(|node| Some(count(node)) == fewest);
        }
        best.into_iter().min()
    }

    /// So many of the nodes of one domain, in as few domains of the next level as can be.
    fn inside(&self, mut nodes: Vec<Ranked>, pods: usize, level: usize) -> Vec<usize> {
        if nodes.len() == pods {
            return nodes.into_iter().map(|ranked| ranked.node).collect();
        }
        if level == self.topology.depth() {
            nodes.sort_unstable_by_key(|ranked| (ranked.rank, ranked.node));
            return nodes.into_iter().take(pods).map(|ranked| ranked.node).collect();
        }
        let mut groups = self.groups(&nodes, level);
        let (mut chosen, mut missing) = (Vec::new(), pods);
        loop {
            if let Some(last) = groups.best(missing) {
                chosen.extend(self.inside(last, missing, level + 1));
                return chosen;
            }
            let Some(whole) = groups.take_largest() else {
                // The rest stands in no domain of this level.
                chosen.extend(self.inside(groups.outside, missing, level + 1));
                return chosen;
            };
            missing -= whole.len();
            chosen.extend(whole.into_iter().map(|ranked| ranked.node));
        }
    }

    fn groups(&self, nodes: &[Ranked], level: usize) -> Groups {
        let mut groups = Groups { inside: BTreeMap::new(), outside: Vec::new() };
        for &ranked in nodes {
            match self.topology.domain(level, ranked.node) {
                Some(domain) => groups.inside.entry(domain).or_default().push(ranked),
                None => groups.outside.push(ranked),
            }
        }
        groups
    }
}

/// Nodes by their domain on a level.
struct Groups {
    inside: BTreeMap<u32, Vec<Ranked>>,
    outside: Vec<Ranked>,
}

impl Groups {
    /// The best domain with so many nodes, taken out.
    fn best(&mut self, pods: usize) -> Option<Vec<Ranked>> {
        let held = |nodes: &[Ranked]| nodes.iter().filter(|ranked| ranked.held).count();
        let enough = self.inside.iter().filter(|(_, nodes)| nodes.len() >= pods);
        let best = enough.min_by_key(|(domain, nodes)| (Reverse(held(nodes)), nodes.len(), **domain));
        let domain = *best?.0;
        self.inside.remove(&domain)
    }

    /// The domain with the most nodes, taken out.
    fn take_largest(&mut self) -> Option<Vec<Ranked>> {
        let largest = self.inside.iter().max_by_key(|(domain, nodes)| (nodes.len(), Reverse(**domain)));
        let domain = *largest?.0;
        self.inside.remove(&domain)
    }
}
