//! The step time of one job on one class, as a function of placement and batch.

use crate::learned::least_squares::Bounds;

use super::Placement;

/// How many numbers a job's step time is described by.
pub(super) const COUNT: usize = 11;

/// Share of a sample's compute that is its backward pass, which an all-reduce can hide behind: of the three equal parts
/// forward, gradient of inputs and gradient of weights, two.
const BACKWARD: f64 = 2.0 / 3.0;

/// Ranks at which [`Parameters::node_seconds`] is stated.
const NODE_RANKS: f64 = 4.0;

/// Ranks at which [`Parameters::network_seconds`] is stated.
const NETWORK_RANKS: f64 = 8.0;

/// Step time of one job on one class: the model of Pollux (Qiao et al., OSDI 2021, section 3.2), written in terms of a ring.
///
/// - One micro-batch of `b` samples on a device computes for `t(b) = ((a^p + (c·b)^p)^(1/p)) · (1 + u·(f − 1))`, with `f`
///   devices on the fullest node. `p = 1` is Pollux's `a + c·b`; a large `p` is a roofline: a launch-bound floor, then a
///   slope.
/// - Gradients of `K` ranks take `s = R(K) · n · (K/4)^q` on one node and `s = R(K) · w · (K/8)^r` over several, times `d` on
///   exactly two. `R(K) = 2(K − 1)/K` is what a ring all-reduce sends (research: Thakur et al. 2005); Pollux has
///   `α + β·(K − 2)` instead, whose slope at few ranks says nothing of many. `d` is there since a ring over two nodes has
///   one neighbour to talk to and over more has two: where a network limits each flow (cloud networks do), two nodes
///   have half the bandwidth.
/// - Gradients meet when the slowest rank has them: `t` becomes `t·(1 + j·√(2·ln K))`, which is how the largest of `K`
///   normal times grows for large `K` (David and Nagaraja, Order Statistics, section 10.5) and 0 for one rank.
/// - Both overlap in the backward pass: `T = t/3 + ((2t/3)^g + s^g)^(1/g)`, where `g = 1` is one after the other. Each
///   further micro-batch of the step adds `t`, without an exchange.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameters {
    /// `a`: seconds of a micro-batch that do not depend on its samples; above 0.
    pub floor_seconds: f64,
    /// `c`: seconds of each sample; above 0.
    pub sample_seconds: f64,
    /// `p`: how sharply the floor gives way to the slope; at least 1.
    pub sharpness: f64,
    /// `u`: share by which each further device on a node slows the others (loaders, host links); at least 0.
    pub crowding: f64,
    /// `n`: seconds of an exchange on one node of four ranks, for each unit of `R`; above 0.
    pub node_seconds: f64,
    /// `q`: how that grows with ranks.
    pub node_growth: f64,
    /// `w`: seconds of an exchange over nodes of eight ranks, for each unit of `R`; above 0.
    pub network_seconds: f64,
    /// `r`: how that grows with ranks.
    pub network_growth: f64,
    /// `d`: how much longer exactly two nodes take; above 0.
    pub two_nodes: f64,
    /// `g`: how well exchange and backward pass overlap; at least 1.
    pub overlap: f64,
    /// `j`: spread of the ranks' compute, as a share of it; above 0.
    pub straggling: f64,
}

/// Where the parts stand in a vector of parameters.
pub(super) mod at {
    pub(in super::super) const FLOOR: usize = 0;
    pub(in super::super) const SAMPLE: usize = 1;
    pub(in super::super) const SHARPNESS: usize = 2;
    pub(in super::super) const CROWDING: usize = 3;
    /// Logarithm of `n / w`: how much faster a node is than the network.
    pub(in super::super) const NODE: usize = 4;
    pub(in super::super) const NODE_GROWTH: usize = 5;
    pub(in super::super) const NETWORK: usize = 6;
    pub(in super::super) const NETWORK_GROWTH: usize = 7;
    pub(in super::super) const TWO_NODES: usize = 8;
    pub(in super::super) const OVERLAP: usize = 9;
    pub(in super::super) const STRAGGLING: usize = 10;
}

/// Bounds of the vector: what no device or network is outside of.
pub(super) const BOUNDS: [Bounds; COUNT] = [
    Bounds { low: -16.0, high: 10.0 },
    Bounds { low: -25.0, high: 10.0 },
    Bounds { low: -4.0, high: 2.5 },
    Bounds { low: -6.0, high: -0.7 },
    Bounds { low: -6.0, high: 3.0 },
    Bounds { low: -0.5, high: 2.0 },
    Bounds { low: -20.0, high: 10.0 },
    Bounds { low: -0.5, high: 2.0 },
    Bounds { low: -0.5, high: 1.2 },
    Bounds { low: -5.0, high: 2.2 },
    Bounds { low: -7.0, high: -2.3 },
];

impl Parameters {
    /// As a vector to fit: logarithms, so that every value in [`BOUNDS`] makes sense.
    pub(super) fn to_vector(self) -> [f64; COUNT] {
        let mut vector = [0.0; COUNT];
        vector[at::FLOOR] = self.floor_seconds.ln();
        vector[at::SAMPLE] = self.sample_seconds.ln();
        vector[at::SHARPNESS] = (self.sharpness - 1.0).ln();
        vector[at::CROWDING] = self.crowding.ln();
        vector[at::NODE] = (self.node_seconds / self.network_seconds).ln();
        vector[at::NODE_GROWTH] = self.node_growth;
        vector[at::NETWORK] = self.network_seconds.ln();
        vector[at::NETWORK_GROWTH] = self.network_growth;
        vector[at::TWO_NODES] = self.two_nodes.ln();
        vector[at::OVERLAP] = (self.overlap - 1.0).ln();
        vector[at::STRAGGLING] = self.straggling.ln();
        for (value, bounds) in vector.iter_mut().zip(BOUNDS) {
            *value = bounds.clamp(*value);
        }
        vector
    }

    /// Of a vector of [`COUNT`] numbers.
    pub(super) fn of_slice(vector: &[f64]) -> Self {
        let network_seconds = vector[at::NETWORK].exp();
        Self {
            floor_seconds: vector[at::FLOOR].exp(),
            sample_seconds: vector[at::SAMPLE].exp(),
            sharpness: 1.0 + vector[at::SHARPNESS].exp(),
            crowding: vector[at::CROWDING].exp(),
            node_seconds: network_seconds * vector[at::NODE].exp(),
            node_growth: vector[at::NODE_GROWTH],
            network_seconds,
            network_growth: vector[at::NETWORK_GROWTH],
            two_nodes: vector[at::TWO_NODES].exp(),
            overlap: 1.0 + vector[at::OVERLAP].exp(),
            straggling: vector[at::STRAGGLING].exp(),
        }
    }

    /// Seconds that one micro-batch of `local_batch` samples computes on each device.
    pub fn compute_seconds(&self, placement: Placement, local_batch: f64) -> f64 {
        let alone = norm(self.floor_seconds, self.sample_seconds * local_batch.max(0.0), self.sharpness);
        alone * (1.0 + self.crowding * f64::from(placement.fullest() - 1))
    }

    /// Seconds that the gradients of one step are under way, hidden or not; 0 for one rank.
    pub fn exchange_seconds(&self, placement: Placement) -> f64 {
        let ranks = f64::from(placement.gpus());
        let ring = 2.0 * (ranks - 1.0) / ranks;
        match placement.nodes() {
            _ if placement.gpus() == 1 => 0.0,
            1 => ring * self.node_seconds * (ranks / NODE_RANKS).powf(self.node_growth),
            nodes => {
                let flows = if nodes == 2 { self.two_nodes } else { 1.0 };
                ring * self.network_seconds * flows * (ranks / NETWORK_RANKS).powf(self.network_growth)
            }
        }
    }

    /// Seconds of one optimizer step of `accumulation` micro-batches (at least 1) of `local_batch` samples on each device.
    pub fn step_seconds(&self, placement: Placement, local_batch: f64, accumulation: u32) -> f64 {
        self.step_of_compute(placement, self.compute_seconds(placement, local_batch), accumulation)
    }

    /// The same where one micro-batch computes for `compute` seconds.
    pub(super) fn step_of_compute(&self, placement: Placement, compute: f64, accumulation: u32) -> f64 {
        let compute = compute * (1.0 + self.straggling * (2.0 * f64::from(placement.gpus()).ln()).sqrt());
        let exchange = self.exchange_seconds(placement);
        let last = (1.0 - BACKWARD) * compute + norm(BACKWARD * compute, exchange, self.overlap);
        f64::from(accumulation.max(1) - 1) * compute + last
    }
}

/// `(x^p + y^p)^(1/p)` of what is not negative, without overflow.
fn norm(x: f64, y: f64, power: f64) -> f64 {
    let (large, small) = if x >= y { (x, y) } else { (y, x) };
    if small <= 0.0 { large } else { large * (1.0 + (small / large).powf(power)).powf(power.recip()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: Parameters = Parameters {
        floor_seconds: 0.1,
        sample_seconds: 0.01,
        sharpness: 1.5,
        crowding: 0.02,
        node_seconds: 0.05,
        node_growth: 0.3,
        network_seconds: 0.2,
        network_growth: 0.1,
        two_nodes: 1.5,
        overlap: 2.0,
        straggling: 0.02,
    };

    #[test]
    fn a_vector_and_back_is_the_same() {
        let back = Parameters::of_slice(&SOME.to_vector()).to_vector();
        assert!(SOME.to_vector().iter().zip(back).all(|(a, b)| (a - b).abs() < 1e-12));
    }

    #[test]
    fn an_accumulated_micro_batch_costs_compute_and_no_exchange() {
        let placement = Placement::of_nodes(&[4, 4]).unwrap();
        let step = |accumulation| SOME.step_seconds(placement, 8.0, accumulation);
        let slowest = SOME.compute_seconds(placement, 8.0) * (1.0 + 0.02 * (2.0 * 8_f64.ln()).sqrt());
        assert!((step(3) - step(1) - 2.0 * slowest).abs() < 1e-12);
    }

    #[test]
    fn one_rank_exchanges_nothing_and_two_nodes_take_longer_than_three() {
        let exchange = |nodes: &[u32]| SOME.exchange_seconds(Placement::of_nodes(nodes).unwrap());
        assert_eq!(exchange(&[1]), 0.0);
        assert!(exchange(&[3, 3]) > exchange(&[2, 2, 2]));
    }
}
