//! How much of the cluster each queue has, now and lately, over its weight: who has least goes first.
//!
//! A queue's share of a class is what its subtree holds and what it has held on average, both in devices, over the devices
//! of the class. Its dominant share is the largest of these (Ghodsi et al., "Dominant Resource Fairness", NSDI 2011,
//! section 4), divided by its weight (section 4.3). The average is the decayed sum of GPU-seconds times ln 2 / half-life: who
//! has always held `g` devices has a sum of `g * half-life / ln 2`.
//!
//! Half a device is added to what is held, as in Webster's method of apportionment: whoever is next by what it holds alone gets
//! the remainders, and those with little weight would have more than their part of them. Not half of the next job: a queue
//! of wide jobs would wait for ever behind one of small ones.
//!
//! Devices are counted in whole millionths, so that no sum depends on its order.

use std::f64::consts::LN_2;

use jiff::Timestamp;

use super::{Column, Place, Tree};

/// Millionths in a device.
const MILLIONTHS: f64 = 1e6;

/// Devices by queue and class.
pub(crate) struct Shares {
    width: usize,
    /// Devices in all, by class.
    totals: Vec<f64>,
    weights: Vec<f64>,
    /// What a queue's own jobs hold and have held.
    own: Vec<i64>,
    /// The same of its whole subtree.
    subtree: Vec<i64>,
}

impl Shares {
    /// Of queues that hold `held` now. `totals` are the cluster's devices by class.
    pub(crate) fn new(
        tree: &Tree<'_>,
        totals: Vec<f64>,
        held: &[(Place, Column, u32)],
        now: Timestamp,
        half_life_seconds: f64,
    ) -> Self {
        let width = tree.width();
        let weights: Vec<f64> = tree.places().map(|place| tree.queue(place).weight).collect();
        let cells = weights.len() * width;
        let mut shares = Self { width, totals, weights, own: vec![0; cells], subtree: vec![0; cells] };
        // Since the sum was written down it decays, and what is held now is added: the queue is taken to have held it since.
        let rate = if half_life_seconds > 0.0 { LN_2 / half_life_seconds } else { 0.0 };
        let kept = |place: Place| {
            let since = tree.queue(place).usage_at.map_or(0.0, |at| now.duration_since(at).as_secs_f64().max(0.0));
            (-rate * since).exp()
        };
        for place in tree.places() {
            for (class, gpu_seconds) in &tree.queue(place).usage {
                shares.add(tree, place, tree.column(class), gpu_seconds.max(0.0) * rate * kept(place));
            }
        }
        for &(place, column, gpus) in held {
            shares.add(tree, place, column, f64::from(gpus) * (2.0 - kept(place)));
        }
        shares
    }

    /// A job of a queue starts.
    pub(crate) fn start(&mut self, tree: &Tree<'_>, place: Place, column: Column, gpus: u32) {
        self.add(tree, place, column, f64::from(gpus));
    }

    fn add(&mut self, tree: &Tree<'_>, place: Place, column: Column, devices: f64) {
        let millionths = (devices * MILLIONTHS).round() as i64;
        self.own[place.index() * self.width + column.index()] += millionths;
        for place in tree.path(place) {
            self.subtree[place.index() * self.width + column.index()] += millionths;
        }
    }

    /// The weighted dominant share of a queue with all below it. Infinite for a weight of 0: it gets what nobody else wants.
    pub(crate) fn of_subtree(&self, place: Place) -> f64 {
        self.dominant(&self.subtree, place)
    }

    /// The same of the queue's own jobs, beside those of its children.
    pub(crate) fn of_own(&self, place: Place) -> f64 {
        self.dominant(&self.own, place)
    }

    fn dominant(&self, millionths: &[i64], place: Place) -> f64 {
        let weight = self.weights[place.index()];
        if weight.is_nan() || weight <= 0.0 {
            return f64::INFINITY;
        }
        let row = &millionths[place.index() * self.width..][..self.width];
        let shares = row.iter().zip(&self.totals).filter(|(held, total)| **held > 0 && **total > 0.0);
        shares.map(|(held, total)| (*held as f64 / MILLIONTHS + 0.5) / total).fold(0.0, f64::max) / weight
    }
}
