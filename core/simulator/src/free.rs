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

    /// Takes whole free nodes for what fills nodes, the first node that has room for what does not, and whatever is free, node
    /// after node, where neither is there; `None` and nothing taken where there are too few.
    pub fn in_order(&mut self, kind: usize, gpus: u32, size: u32) -> Option<Allocation> {
        if self.gpus(kind) < gpus {
            return None;
        }
        let nodes = &self.nodes[kind];
        let empty: Vec<usize> = (0..nodes.len()).filter(|node| nodes[*node] == size).collect();
        let (whole, rest) = ((gpus / size) as usize, gpus % size);
        let mut taken: Vec<(u32, u32)> = Vec::new();
        if empty.len() >= whole {
            let room = (0..nodes.len()).find(|node| nodes[*node] >= rest && !empty[..whole].contains(node));
            if rest == 0 || room.is_some() {
                taken.extend(empty[..whole].iter().map(|node| (*node as u32, size)));
                taken.extend(room.filter(|_| rest > 0).map(|node| (node as u32, rest)));
            }
        }
        if taken.is_empty() {
            let mut left = gpus;
            for (node, free) in nodes.iter().enumerate().filter(|(_, free)| **free > 0) {
                let here = (*free).min(left);
                left -= here;
                taken.extend((here > 0).then_some((node as u32, here)));
            }
        }
        let allocation = Allocation { kind, nodes: taken };
        self.take(&allocation);
        Some(allocation)
    }
}
