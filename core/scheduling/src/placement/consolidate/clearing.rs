//! Which nodes are cheapest to clear for a gang.

use std::collections::{BTreeMap, BTreeSet};

use super::Movable;
use crate::amounts::Amounts;
use crate::books::Books;
use crate::cluster::Cluster;
use crate::placement::topology::Level;
use crate::placement::{Gang, admits_devices};

/// Nodes that a gang could use, and who would have to leave each of them.
pub(super) struct Clearing<'s, 'a> {
    cluster: &'s Cluster<'a>,
    books: &'s Books<'a>,
    gang: &'s Gang<'s>,
    /// The fewest GPU-seconds lost first.
    movable: &'s [&'s Movable<'a>],
    /// Who is on each node, by place in `movable`.
    on_node: BTreeMap<usize, Vec<usize>>,
}

/// Nodes for the gang, and who leaves them.
type Choice = (Vec<usize>, BTreeSet<usize>);

impl<'s, 'a> Clearing<'s, 'a> {
    pub(super) fn new(
        cluster: &'s Cluster<'a>,
        books: &'s Books<'a>,
        gang: &'s Gang<'s>,
        movable: &'s [&'s Movable<'a>],
    ) -> Self {
        let mut on_node: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, other) in movable.iter().enumerate() {
            for &node in other.holds.pods.keys() {
                on_node.entry(node).or_default().push(index);
            }
        }
        Self { cluster, books, gang, movable, on_node }
    }

    /// The cheapest nodes for the whole gang, the narrowest domain first among equally cheap ones.
    pub(super) fn cheapest(&self) -> Option<Choice> {
        let Gang { pods, pod, near, usable, .. } = self.gang;
        let gpus = u32::try_from(pod.gpus).unwrap_or(u32::MAX);
        let open = |node: &usize| {
            let node = self.cluster.nodes[*node];
            node.open && admits_devices(node, *pods, gpus)
        };
        let nodes: Vec<usize> = usable.iter().copied().filter(open).collect();
        let topology = &self.cluster.topology;
        let widest = match near.required.as_deref().map(|key| topology.level(key)) {
            Some(Level::Unknown) => return None,
            Some(Level::Domains(level)) => Some(level),
            Some(Level::Node) if *pods > 1 => return None,
            Some(Level::Node) | None => None,
        };
        let mut best: Option<(f64, Choice)> = None;
        let mut consider = |nodes: &[usize]| {
            let least = best.as_ref().map_or(f64::INFINITY, |(lost, _)| *lost);
            if let Some((lost, choice)) = self.of(nodes).filter(|(lost, _)| *lost < least) {
                best = Some((lost, choice));
            }
        };
        for level in (widest.unwrap_or(0)..topology.depth()).rev() {
            let mut domains: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
            for &node in &nodes {
                if let Some(domain) = topology.domain(level, node) {
                    domains.entry(domain).or_default().push(node);
                }
            }
            domains.values().for_each(|domain| consider(domain));
        }
        if widest.is_none() {
            consider(&nodes);
        }
        best.map(|(_, choice)| choice)
    }

    /// The cheapest of these nodes, one after the other: who has left one node has left all of its others too.
    fn of(&self, nodes: &[usize]) -> Option<(f64, Choice)> {
        let pods = usize::try_from(self.gang.pods).ok()?;
        if nodes.len() < pods {
            return None;
        }
        let mut lifted = BTreeSet::new();
        let mut open: BTreeMap<usize, (f64, Vec<usize>)> =
            nodes.iter().filter_map(|&node| Some((node, self.clear(node, &lifted)?))).collect();
        let (mut chosen, mut lost) = (Vec::new(), 0.0);
        while chosen.len() < pods {
            let (&node, _) = open.iter().min_by(|(a, (x, _)), (b, (y, _))| x.total_cmp(y).then_with(|| a.cmp(b)))?;
            let (more, leave) = open.remove(&node)?;
            lost += more;
            chosen.push(node);
            for index in leave {
                lifted.insert(index);
                for other in self.movable[index].holds.pods.keys() {
                    if let Some(known) = open.get_mut(other)
                        && let Some(now) = self.clear(*other, &lifted)
                    {
                        *known = now;
                    }
                }
            }
        }
        chosen.sort_unstable();
        Some((lost, (chosen, lifted)))
    }

    /// Who else must leave a node so that a pod fits, and what that loses; `None` when nobody's leaving is enough.
    fn clear(&self, node: usize, lifted: &BTreeSet<usize>) -> Option<(f64, Vec<usize>)> {
        let here = self.on_node.get(&node).map_or(&[][..], Vec::as_slice);
        let pod_of = |index: &usize| self.movable[*index].holds.pods.get(&node).copied().unwrap_or_default();
        let fits = |room: Amounts| self.gang.pod.fits_in(&room);
        let gone = here.iter().filter(|index| lifted.contains(index)).map(pod_of);
        let mut room = gone.fold(self.books.future.rooms[node], Amounts::plus);
        let mut leave: Vec<usize> = Vec::new();
        for index in here.iter().filter(|index| !lifted.contains(index)) {
            if fits(room) {
                break;
            }
            room = room.plus(pod_of(index));
            leave.push(*index);
        }
        if !fits(room) {
            return None;
        }
        // Whoever loses most stays if the others are enough.
        for at in (0..leave.len()).rev() {
            let without = room.minus(pod_of(&leave[at]));
            if fits(without) {
                room = without;
                leave.remove(at);
            }
        }
        Some((leave.iter().map(|index| self.movable[*index].lost()).sum(), leave))
    }
}
