//! In which order pods come, and of which kinds they are.

use std::collections::BTreeMap;

use super::machine::Request;
use crate::openb::Pod;
use crate::random::Random;

/// The pods of a trace by what they ask for.
pub(super) struct Kinds {
    pub(super) requests: Vec<Request>,
    /// Of each kind, how many pods of the trace there are.
    pub(super) counts: Vec<usize>,
    /// The kind of each pod.
    pub(super) of_pod: Vec<usize>,
}

impl Kinds {
    pub(super) fn new(pods: &[Pod]) -> Self {
        let mut counts: BTreeMap<Request, usize> = BTreeMap::new();
        for pod in pods {
            *counts.entry(Request::of(pod)).or_default() += 1;
        }
        let (requests, counts): (Vec<Request>, Vec<usize>) = counts.into_iter().unzip();
        let of_pod = pods.iter().map(|pod| requests.binary_search(&Request::of(pod)).unwrap_or(0)).collect();
        Self { requests, counts, of_pod }
    }
}

/// Pods as they come: all of the trace in random order, then more of them drawn at random, until they have asked for `gpu_milli`.
pub(super) fn order(pods: &[Pod], gpu_milli: f64, seed: u64) -> Vec<usize> {
    let mut random = Random::new(&[seed, 0]);
    let mut order: Vec<usize> = (0..pods.len()).collect();
    for at in (1..order.len()).rev() {
        order.swap(at, random.below(at + 1));
    }
    let asks = |at: &usize| f64::from(pods[*at].total_gpu_milli());
    let mut asked = 0.0;
    let enough = order.iter().position(|at| {
        asked += asks(at);
        asked > gpu_milli
    });
    if let Some(enough) = enough {
        order.truncate(enough);
        return order;
    }
    if asked <= 0.0 {
        return order;
    }
    loop {
        let at = random.below(pods.len());
        asked += asks(&at);
        if asked > gpu_milli {
            return order;
        }
        order.push(at);
    }
}
