//! Where a gang fits: as many distinct nodes as it has pods, or none.

pub mod fragmentation;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::amounts::Amounts;
use crate::books::{Books, Ledger};
use crate::cluster::Cluster;

/// The label by which nodes are grouped: a gang that fits into one zone does not span two.
const ZONE: &str = "topology.kubernetes.io/zone";

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
    /// Nodes that its pods may use, by name.
    pub(crate) usable: &'b [usize],
    /// Nodes that it holds already.
    pub(crate) holds: &'b BTreeSet<usize>,
}

impl Gang<'_> {
    /// Nodes that could take one of its pods, by name.
    pub(crate) fn nodes_that_fit(&self, cluster: &Cluster<'_>, books: &Books<'_>, when: When) -> Vec<usize> {
        let fits = |index: usize| when.all(books, |ledger| self.pod.fits_in(&ledger.rooms[index]));
        self.usable.iter().copied().filter(|&index| cluster.nodes[index].open && fits(index)).collect()
    }

    /// Its nodes, by name; `None` when it does not fit whole.
    ///
    /// One zone is better than several; among zones, the one where it holds most nodes, then the one with the fewest
    /// nodes that fit, so that larger gangs keep their place, then the first by name. Within the zone: nodes that it
    /// holds, then those with the fewest devices left over, then by name.
    pub(crate) fn place(&self, cluster: &Cluster<'_>, books: &Books<'_>, when: When) -> Option<Vec<usize>> {
        let pods = usize::try_from(self.pods).ok()?;
        let fitting = self.nodes_that_fit(cluster, books, when);
        if pods == 0 || fitting.len() < pods {
            return None;
        }
        let mut zones: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for &index in &fitting {
            zones.entry(cluster.nodes[index].labels.get(ZONE).map_or("", String::as_str)).or_default().push(index);
        }
        let whole = zones.into_iter().filter(|(_, nodes)| nodes.len() >= pods).min_by_key(|(zone, nodes)| {
            let held = nodes.iter().filter(|index| self.holds.contains(index)).count();
            (Reverse(held), nodes.len(), *zone)
        });
        let mut nodes = whole.map_or(fitting, |(_, nodes)| nodes);
        let rooms = if when == When::Later { &books.future.rooms } else { &books.now.rooms };
        nodes.sort_by_key(|&index| (!self.holds.contains(&index), rooms[index].gpus - self.pod.gpus, index));
        nodes.truncate(pods);
        nodes.sort_unstable();
        Some(nodes)
    }
}
