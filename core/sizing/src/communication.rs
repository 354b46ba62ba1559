//! Time of collectives, in seconds.
//!
//! Formulas with a latency for each hop between nodes (Thakur, Rabenseifner, Gropp 2005): an all-gather of `M` bytes over
//! `n` takes `(n-1)/n·M/β + (n-1)·α`; an all-reduce moves twice the bytes along a ring, or along a pair of trees in
//! `2·log2(n)` hops where these are fewer. A group that leaves the node works in both at once: every device moves its part
//! of the other nodes' share over its own rail while the node moves the rest over its links, so that the slower of the two
//! counts.

use crate::calibration::TimeConstants;
use crate::{ClassSpec, Shape};

/// The devices that take part in a collective: `nodes` groups of `per_node`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Group {
    per_node: f64,
    nodes: f64,
    link: f64,
    network: f64,
    /// Seconds that a collective takes inside a node however small it is, and for each hop between nodes.
    message: f64,
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
            link: (class.link_bytes_per_second * constants.link_share.min(1.0)).max(1.0),
            network: (class.network_bytes_per_second * network_share.min(1.0)).max(1.0),
            message: constants.message_seconds,
            hop: constants.hop_seconds,
        }
    }

    /// Whether its devices stand on several nodes.
    pub(crate) fn leaves_node(&self) -> bool {
        self.nodes > 1.0
    }

    /// Time to gather `bytes` in all on every device in `messages` collectives; a reduce-scatter takes as long.
    pub(crate) fn all_gather(&self, bytes: f64, messages: f64) -> f64 {
        self.rings(bytes, messages, 1.0, self.nodes - 1.0)
    }

    /// Time to sum `bytes` over all in `messages` collectives.
    pub(crate) fn all_reduce(&self, bytes: f64, messages: f64) -> f64 {
        let hops = (2.0 * (self.nodes - 1.0)).min(2.0 * self.nodes.log2());
        self.rings(bytes, messages, 2.0, hops)
    }

    /// `rounds` times round a ring with `bytes`, of which every device keeps its own part.
    fn rings(&self, bytes: f64, messages: f64, rounds: f64, hops: f64) -> f64 {
        let moved = |n: f64, bytes: f64, rate: f64| rounds * (n - 1.0) / n * bytes / rate;
        let inside = if self.per_node > 1.0 {
            moved(self.per_node, bytes, self.link) + messages * rounds * self.message
        } else {
            0.0
        };
        let between = if self.nodes > 1.0 {
            moved(self.nodes, bytes / self.per_node, self.network) + messages * hops * self.hop
        } else {
            0.0
        };
        inside.max(between)
    }

    /// Time in which every device sends `bytes`, cut evenly, to all others.
    pub(crate) fn all_to_all(&self, bytes: f64, messages: f64) -> f64 {
        let devices = self.per_node * self.nodes;
        if devices <= 1.0 {
            return 0.0;
        }
        let inside = bytes * (self.per_node - 1.0) / devices / self.link;
        let outside = bytes * (devices - self.per_node) / devices / self.network;
        inside.max(outside) + messages * if self.nodes > 1.0 { self.hop } else { self.message }
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
        let class = catalogue::by_class("h100-sxm5-80gb").expect("in the catalogue").class_spec(8, 64);
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
        let TimeConstants { link_share, message_seconds, .. } = TimeConstants::STARTING;
        let expected = 7.0 / 8.0 * 8e9 / (450e9 * link_share) + message_seconds;
        assert!((group(8, 1, 1).all_gather(8e9, 1.0) - expected).abs() < 1e-12);
    }

    #[test]
    fn ranks_further_apart_leave_the_node_sooner() {
        assert!(group(8, 1, 1).shift(1e9) < group(8, 2, 2).shift(1e9));
        assert!(group(8, 1, 1).all_gather(1e9, 1.0) < group(8, 4, 4).all_gather(1e9, 1.0));
    }

    #[test]
    fn small_sums_take_the_tree() {
        let wide = group(512, 64, 1);
        assert!(wide.all_reduce(1e3, 1.0) < 2.0 * wide.all_gather(1e3, 1.0));
    }
}
