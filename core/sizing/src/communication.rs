//! Time of collectives, in seconds.
//!
//! Ring formulas with latency per hop (Thakur, Rabenseifner, Gropp 2005): an all-gather of `M` bytes over `n` takes
//! `(n-1)/n·M/β + (n-1)·α`, an all-reduce twice that, or along a tree `2·M/β + 2·log2(n)·α` where that is shorter. A group
//! that leaves the node works in both at once: every device moves its part of the other nodes' share over its own rail
//! while the node moves the rest over its links, so that the slower of the two counts.

use crate::calibration::TimeConstants;
use crate::{ClassSpec, Shape};

/// The devices that take part in a collective: `nodes` groups of `per_node`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Group {
    per_node: f64,
    nodes: f64,
    link: f64,
    network: f64,
    hop: f64,
}

impl Group {
    /// `devices` of a shape that stand `stride` apart: tensor ranks lie side by side (1), then context ranks, then data
    /// ranks, then pipeline stages.
    pub(crate) fn new(
        class: &ClassSpec,
        shape: &Shape,
        devices: u32,
        stride: u32,
        network_share: f64,
        constants: &TimeConstants,
    ) -> Self {
        let devices = devices.max(1);
        let per_node = (shape.gpus_per_pod / stride.max(1)).clamp(1, devices);
        Self {
            per_node: f64::from(per_node),
            nodes: f64::from(devices.div_ceil(per_node)),
            link: (class.link_bytes_per_second * constants.link_share).max(1.0),
            network: (class.network_bytes_per_second * network_share).max(1.0),
            hop: constants.hop_seconds,
        }
    }

    /// Time to gather `bytes` in all on every device in `messages` collectives; a reduce-scatter takes as long.
    pub(crate) fn all_gather(&self, bytes: f64, messages: f64) -> f64 {
        let ring = |n: f64, bytes: f64, rate: f64| {
            if n > 1.0 { (n - 1.0) / n * bytes / rate + messages * (n - 1.0) * self.hop } else { 0.0 }
        };
        ring(self.per_node, bytes, self.link).max(ring(self.nodes, bytes / self.per_node, self.network))
    }

    /// Time to sum `bytes` over all in `messages` collectives.
    pub(crate) fn all_reduce(&self, bytes: f64, messages: f64) -> f64 {
        let tree = |n: f64, bytes: f64, rate: f64| {
            if n > 1.0 { 2.0 * bytes / rate + messages * 2.0 * n.log2() * self.hop } else { 0.0 }
        };
        let tree = tree(self.per_node, bytes, self.link).max(tree(self.nodes, bytes / self.per_node, self.network));
        (2.0 * self.all_gather(bytes, messages)).min(tree)
    }

    /// Time in which every device sends `bytes`, cut evenly, to all others.
    pub(crate) fn all_to_all(&self, bytes: f64, messages: f64) -> f64 {
        let devices = self.per_node * self.nodes;
        if devices <= 1.0 {
            return 0.0;
        }
        let inside = bytes * (self.per_node - 1.0) / devices / self.link;
        let outside = bytes * (devices - self.per_node) / devices / self.network;
        inside.max(outside) + messages * self.hop
    }

    /// Time in which every device sends `bytes` to the next one, over the slowest step of the ring.
    pub(crate) fn shift(&self, bytes: f64) -> f64 {
        let rate = if self.nodes > 1.0 { self.network } else { self.link };
        if self.per_node * self.nodes > 1.0 { bytes / rate } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue;

    fn group(devices: u32, pods: u32, stride: u32) -> Group {
        let class = catalogue::by_class("h100-sxm5-80gb").expect("in the catalogue").class_spec(8, 8);
        let shape = Shape { class: class.name.clone(), pods, gpus_per_pod: 8 };
        Group::new(&class, &shape, devices, stride, 0.8, &TimeConstants::STARTING)
    }

    #[test]
    fn alone_there_is_nothing_to_say() {
        let alone = group(1, 1, 1);
        assert_eq!((alone.all_gather(1e9, 1.0), alone.all_reduce(1e9, 1.0), alone.shift(1e9)), (0.0, 0.0, 0.0));
        assert_eq!(alone.all_to_all(1e9, 1.0), 0.0);
    }

    #[test]
    fn a_ring_moves_all_but_ones_own_part() {
        let TimeConstants { link_share, hop_seconds, .. } = TimeConstants::STARTING;
        let expected = 7.0 / 8.0 * 8e9 / (450e9 * link_share) + 7.0 * hop_seconds;
        assert!((group(8, 1, 1).all_gather(8e9, 1.0) - expected).abs() < 1e-12);
    }

    #[test]
    fn ranks_further_apart_leave_the_node_sooner() {
        assert!(group(8, 1, 1).shift(1e9) < group(8, 2, 2).shift(1e9));
        assert!(group(8, 1, 1).all_gather(1e9, 1.0) < group(8, 4, 4).all_gather(1e9, 1.0));
    }

    #[test]
    fn small_sums_take_the_tree() {
        let wide = group(64, 8, 1);
        assert!(wide.all_reduce(1e3, 1.0) < 2.0 * wide.all_gather(1e3, 1.0));
    }
}
