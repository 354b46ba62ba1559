//! GPUs that nobody holds, and where to find some.

use crate::cluster::{Allocation, Cluster};

/// Free GPUs of every node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Free {
    nodes: Vec<Vec<u32>>,
    size: Vec<u32>,
}

impl Free {
    /// A cluster that nobody uses.
    pub fn of(cluster: &Cluster) -> Self {
        let nodes = cluster.kinds.iter().map(|kind| vec![kind.gpus_per_node; kind.nodes as usize]).collect();
        Self { nodes, size: cluster.kinds.iter().map(|kind| kind.gpus_per_node).collect() }
    }

    /// Takes what an allocation holds.
    pub fn take(&mut self, allocation: &Allocation) {
        for (node, gpus) in &allocation.nodes {
            let free = &mut self.nodes[allocation.kind][*node as usize];
            *free = free.saturating_sub(*gpus);
        }
    }

    /// Free GPUs of a kind.
    pub fn gpus(&self, kind: usize) -> u32 {
        self.nodes[kind].iter().sum()
    }

    /// Takes GPUs where most are free, node after node, the first of equals; `None` and nothing taken where there are too few.
    pub fn most_free_nodes(&mut self, kind: usize, gpus: u32) -> Option<Allocation> {
        if self.gpus(kind) < gpus {
            return None;
        }
        let mut allocation = Allocation { kind, nodes: Vec::new() };
        let mut left = gpus;
        while left > 0 {
            let most = self.nodes[kind].iter().copied().max().unwrap_or(0);
            let node = self.nodes[kind].iter().position(|free| *free == most)?;
            let taken = most.min(left);
            self.nodes[kind][node] -= taken;
            left -= taken;
            allocation.nodes.push((node as u32, taken));
        }
        Some(allocation)
    }
}
