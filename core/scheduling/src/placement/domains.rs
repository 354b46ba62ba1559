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

/// A choice of domains.
pub(super) struct Domains<'t, 'a> {
    pub(super) topology: &'t Topology<'a>,
    pub(super) near: &'t TopologyAsk,
}

impl Domains<'_, '_> {
    /// So many of these nodes, of which there are enough; `None` when no domain of the required level has room.
    pub(super) fn choose(&self, mut nodes: Vec<Ranked>, pods: usize) -> Option<Vec<usize>> {
        let level = |key: &Option<String>| key.as_deref().map(|key| self.topology.level(key));
        let (mut narrowest, mut widest) = (self.topology.depth(), None);
        match level(&self.near.required) {
            Some(Level::Unknown) => return None,
            Some(Level::Node) if pods > 1 => return None,
            Some(Level::Domains(level)) => {
                nodes.retain(|ranked| self.topology.domain(level, ranked.node).is_some());
                widest = Some(level);
            }
            Some(Level::Node) | None => {}
        }
        // The node itself as a preference, or an unknown level, is as good as none.
        if let Some(Level::Domains(level)) = level(&self.near.preferred) {
            narrowest = widest.map_or(level, |widest| level.max(widest)) + 1;
            if pods == 1 && nodes.iter().any(|ranked| self.topology.domain(level, ranked.node).is_some()) {
                nodes.retain(|ranked| self.topology.domain(level, ranked.node).is_some());
            }
        }
        if nodes.len() < pods {
            return None;
        }
        if pods == 1 {
            return self.one(nodes).map(|node| vec![node]);
        }
        for level in (widest.unwrap_or(0)..narrowest).rev() {
            if let Some(inside) = self.groups(&nodes, level).best(pods) {
                return Some(self.inside(inside, pods, level + 1));
            }
        }
        if widest.is_some() { None } else { Some(self.inside(nodes, pods, 0)) }
    }

    /// The best node; among equals one of the domain with the fewest nodes that fit, from the narrowest level to the widest.
    fn one(&self, nodes: Vec<Ranked>) -> Option<usize> {
        let least = nodes.iter().map(|ranked| ranked.rank).min()?;
        let mut best: Vec<usize> =
            nodes.iter().filter(|ranked| ranked.rank == least).map(|ranked| ranked.node).collect();
        for level in (0..self.topology.depth()).rev() {
            if best.len() < 2 {
                break;
            }
            let mut counts: Vec<usize> = Vec::new();
            for domain in nodes.iter().filter_map(|ranked| self.topology.domain(level, ranked.node)) {
                let domain = domain as usize;
                counts.resize(counts.len().max(domain + 1), 0);
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
