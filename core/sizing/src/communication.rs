//! Time of collectives, in seconds.
//!
//! Ring formulas with latency per hop (Thakur, Rabenseifner, Gropp 2005): all-reduce `2(n-1)/n·M/β + 2(n-1)·α`,
//! all-gather and reduce-scatter half of it. A ring that leaves the node is hierarchical: reduce-scatter inside, all-reduce
//! of each device's part between nodes, all-gather inside.

use crate::{ClassSpec, Shape};

/// Share of a link's rate that large messages reach: 0.7 to 0.9 above 64 MiB.
const ACHIEVED: f64 = 0.8;

/// Latency of one hop inside a node, in seconds.
const HOP: f64 = 10e-6;

/// Latency of one hop between nodes, in seconds.
const NETWORK_HOP: f64 = 25e-6;

/// The devices that take part in a collective: `nodes` groups of `per_node`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ring {
    per_node: f64,
    nodes: f64,
    link: f64,
    network: f64,
}

impl Ring {
    /// The data-parallel ring of a shape: every `tensor`-th device, tensor-parallel groups staying inside a node.
    pub(crate) fn data(class: &ClassSpec, shape: &Shape, data: u32, tensor: u32) -> Self {
        let per_node = (shape.gpus_per_pod / tensor.max(1)).clamp(1, data.max(1));
        Self::new(class, per_node, data.div_ceil(per_node))
    }

    /// The ring of one tensor-parallel group, inside a node.
    pub(crate) fn tensor(class: &ClassSpec, tensor: u32) -> Self {
        Self::new(class, tensor.max(1), 1)
    }

    fn new(class: &ClassSpec, per_node: u32, nodes: u32) -> Self {
        Self {
            per_node: f64::from(per_node),
            nodes: f64::from(nodes),
            link: (class.link_bytes_per_second * ACHIEVED).max(1.0),
            network: (class.network_bytes_per_second * ACHIEVED).max(1.0),
        }
    }

    /// Time to sum `bytes` over all.
    pub(crate) fn all_reduce(&self, bytes: f64) -> f64 {
        2.0 * self.all_gather(bytes)
    }

    /// Time to gather `bytes` in all on every device; a reduce-scatter takes as long.
    pub(crate) fn all_gather(&self, bytes: f64) -> f64 {
        let inside = if self.per_node > 1.0 {
            (self.per_node - 1.0) / self.per_node * bytes / self.link + (self.per_node - 1.0) * HOP
        } else {
            0.0
        };
        let between = if self.nodes > 1.0 {
            (self.nodes - 1.0) / self.nodes * (bytes / self.per_node) / self.network + (self.nodes - 1.0) * NETWORK_HOP
        } else {
            0.0
        };
        inside + between
    }
}
