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
        let rooms = if when == When::Later { &books.future.rooms } else { &books.now.rooms };
        let ranked = self.ranked(cluster, rooms, fitting);
        let mut nodes = Domains { topology: &cluster.topology, near: self.near }.choose(ranked, pods)?;
        nodes.sort_unstable();
        Some(nodes)
    }

    /// Nodes with how good they are, the best first.
    fn ranked(&self, cluster: &Cluster<'_>, rooms: &Rooms, fitting: Vec<usize>) -> Vec<Ranked> {
        let mut known: Vec<(Amounts, i64)> = Vec::new();
        let mut ranked: Vec<Ranked> = Vec::with_capacity(fitting.len());
        for index in fitting {
            let (node, room) = (cluster.nodes[index], rooms[index]);
            let (spread, left_in_set) = devices::spread(node, room.gpus, self.pod.gpus);
            // Nodes are often alike.
            let added = known.iter().rev().take(8).find(|(other, _)| *other == room).map(|(_, added)| *added);
            let added = added.unwrap_or_else(|| {
                let added = millionths(cluster.targets.added_loss(&node.class, room, self.pod));
                known.push((room, added));
                added
            });
            let held = self.holds.contains(&index);
            let rank = (!held, spread, added, room.gpus - self.pod.gpus, left_in_set);
            ranked.push(Ranked { node: index, held, rank });
        }
        ranked
    }
}

/// A loss as a whole number: sums of the same shares in another order differ in their last bits.
fn millionths(gpus: f64) -> i64 {
    (gpus * 1e6).round() as i64
}
