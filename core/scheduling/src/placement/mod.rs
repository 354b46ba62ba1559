//! Where a gang goes: as many distinct nodes as it has pods, or none.
//!
//! ```text
//! nodes that fit now (and later) ─▶ the narrowest domain that has room ─▶ inside it, the fewest domains ─▶ the best nodes
//! ```
//!
//! Domains come from node labels ([`Topology`]), the last level being nodes that are linked with each other. Among domains of one
//! level that have room, the one where the gang holds most nodes is best, then the one with the fewest nodes that fit, so that
//! larger gangs keep their place. Among nodes the order is: nodes that it holds, nodes whose linked sets take a pod whole,
//! those that lose the fewest GPUs to what is expected ([`fragmentation`]), the tightest fit, the tightest linked set, the name.

mod bits;
pub mod consolidate;
mod devices;
mod domains;
pub mod fragmentation;
mod rooms;
mod targets;
mod topology;

use std::collections::BTreeSet;

use crate::TopologyAsk;
use crate::amounts::Amounts;
use crate::books::{Books, Ledger};
use crate::cluster::Cluster;

pub(crate) use devices::admits as admits_devices;
use domains::{Domains, Ranked};
pub(crate) use rooms::Rooms;
pub(crate) use targets::Targets;
pub(crate) use topology::Topology;

/// Which rooms a gang must fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Those of now, whatever is kept for others.
    Now,
    /// Those of now, without what is kept for others.
    NowAndLater,
    /// Those of later: whether a wait would end.
    Later,
}

impl When {
    /// Whether a question about a ledger is answered with yes by each ledger that counts.
    pub(crate) fn all<'b, 'a>(self, books: &'b Books<'a>, holds: impl Fn(&'b Ledger<'a>) -> bool) -> bool {
        match self {
            Self::Now => holds(&books.now),
            Self::NowAndLater => holds(&books.now) && holds(&books.future),
            Self::Later => holds(&books.future),
        }
    }
}

/// A gang that looks for nodes.
pub(crate) struct Gang<'b> {
    /// What each pod takes.
    pub(crate) pod: Amounts,
    /// How many pods.
    pub(crate) pods: u32,
    /// How near each other they are to be.
    pub(crate) near: &'b TopologyAsk,
    /// Nodes of one class that its pods may use, by name.
    pub(crate) usable: &'b [usize],
    /// Nodes that it holds already.
    pub(crate) holds: &'b BTreeSet<usize>,
}

impl Gang<'_> {
    /// Nodes that could take one of its pods, by name.
    pub(crate) fn nodes_that_fit(&self, cluster: &Cluster<'_>, books: &Books<'_>, when: When) -> Vec<usize> {
        self.fitting(cluster, books, when, 0)
    }

    /// Nodes that could take one of its pods, by name; none where there are fewer than `least`.
    fn fitting(&self, cluster: &Cluster<'_>, books: &Books<'_>, when: When, least: usize) -> Vec<usize> {
        let gpus = u32::try_from(self.pod.gpus).unwrap_or(u32::MAX);
        let fits = |index: &usize| {
            let node = cluster.nodes[*index];
            node.open
                && devices::admits(node, self.pods, gpus)
                && when.all(books, |ledger| self.pod.fits_in(&ledger.rooms[*index]))
        };
        let with_free = |ledger: &Ledger<'_>| ledger.rooms.with_free(self.pod.gpus);
        let free = match when {
            When::Now => with_free(&books.now),
            When::Later => with_free(&books.future),
            When::NowAndLater => {
                with_free(&books.now).zip(with_free(&books.future)).map(|(now, later)| now.and(&later))
            }
        };
        let usable = self.usable.iter().copied();
        match free {
            Some(free) if free.len() < least => Vec::new(),
            Some(free) if free.len() < self.usable.len() / 8 => {
                free.iter().filter(|index| self.usable.binary_search(index).is_ok()).filter(fits).collect()
            }
            _ => usable.filter(fits).collect(),
        }
    }

    /// Its nodes, by name; `None` when it does not fit whole, or not within one domain of a level that it requires.
    pub(crate) fn place(&self, cluster: &Cluster<'_>, books: &Books<'_>, when: When) -> Option<Vec<usize>> {
        let pods = usize::try_from(self.pods).ok().filter(|pods| *pods > 0)?;
        let fitting = self.fitting(cluster, books, when, pods);
        if fitting.len() < pods {
            return None;
        }
        let domains = Domains::new(&cluster.topology, self.near, pods)?;
        let eligible = domains.eligible(fitting);
        if eligible.len() < pods {
            return None;
        }
        let rooms = if when == When::Later { &books.future.rooms } else { &books.now.rooms };
        let mut ranking = Ranking { gang: self, cluster, rooms, known: Vec::new() };
        if pods == 1 {
            let mut best: Vec<usize> = Vec::new();
            let mut least = None;
            for &node in &eligible {
                let rank = ranking.of(node).rank;
                if least.is_none_or(|least| rank < least) {
                    least = Some(rank);
                    best.clear();
                }
                if least == Some(rank) {
                    best.push(node);
                }
            }
            return domains.fewest(best, &eligible).map(|node| vec![node]);
        }
        let mut nodes = domains.choose(eligible.into_iter().map(|node| ranking.of(node)).collect())?;
        nodes.sort_unstable();
        Some(nodes)
    }
}

/// How good nodes are for a gang.
struct Ranking<'g, 'c, 'a> {
    gang: &'g Gang<'g>,
    cluster: &'c Cluster<'a>,
    rooms: &'c Rooms,
    /// Rooms and the loss that a pod adds to them: nodes are often alike, and more so their neighbours.
    known: Vec<(Amounts, i64)>,
}

impl Ranking<'_, '_, '_> {
    fn of(&mut self, index: usize) -> Ranked {
        let (node, room, pod) = (self.cluster.nodes[index], self.rooms[index], self.gang.pod);
        let added = match self.known.iter().position(|(other, _)| *other == room) {
            Some(at) => {
                self.known.swap(0, at);
                self.known[0].1
            }
            None => {
                let added = millionths(self.cluster.targets.added_loss(&node.class, room, pod));
                self.known.truncate(MOST_ALIKE);
                self.known.push((room, added));
                added
            }
        };
        let (spread, left_in_set) = devices::spread(node, room.gpus, pod.gpus);
        let held = self.gang.holds.contains(&index);
        Ranked { node: index, held, rank: (!held, spread, added, room.gpus - pod.gpus, left_in_set) }
    }
}

/// Rooms of which the loss is kept while a gang looks for nodes.
const MOST_ALIKE: usize = 15;

/// A loss as a whole number: sums of the same shares in another order differ in their last bits.
fn millionths(gpus: f64) -> i64 {
    (gpus * 1e6).round() as i64
}
