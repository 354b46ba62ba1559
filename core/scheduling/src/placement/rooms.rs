//! What is left on each node, indexed by how many devices are free there.

use std::cell::RefCell;
use std::ops::{Index, IndexMut};

use super::bits::Bits;
use crate::amounts::Amounts;
use crate::cluster::Cluster;

/// What is left on each node.
///
/// A write marks its node; the index is brought up to date when it is asked next. So a gang that is too large is refused after
/// counting a few words, without a look at any node.
#[derive(Clone)]
pub(crate) struct Rooms {
    amounts: Vec<Amounts>,
    index: RefCell<Free>,
}

/// Nodes by free devices.
#[derive(Clone)]
struct Free {
    /// Free devices of each node as indexed.
    gpus: Vec<usize>,
    /// For each number of devices up to the most of any node, the nodes that have so many free or more.
    at_least: Vec<Bits>,
    /// Nodes that were written since.
    written: Vec<usize>,
}

impl Rooms {
    /// What is left on each node beside pods outside the plan.
    pub(crate) fn new(cluster: &Cluster<'_>) -> Self {
        let room = |node| Amounts::offered(node).minus(Amounts::held_by_others(node));
        Self::of(cluster.nodes.iter().map(|node| room(node)).collect())
    }

    fn of(amounts: Vec<Amounts>) -> Self {
        let most = amounts.iter().map(|room| devices(*room)).max().unwrap_or(0);
        let count = amounts.len();
        let none =
            Free { gpus: vec![0; count], at_least: vec![Bits::none(count); most], written: (0..count).collect() };
        Self { amounts, index: RefCell::new(none) }
    }

    pub(crate) fn len(&self) -> usize {
        self.amounts.len()
    }

    /// Nodes with so many free devices or more; `None` stands for all.
    pub(super) fn with_free(&self, gpus: i64) -> Option<Bits> {
        let wanted = usize::try_from(gpus).ok().filter(|gpus| *gpus > 0)?;
        let mut index = self.index.borrow_mut();
        index.bring_up_to_date(&self.amounts);
        Some(index.at_least.get(wanted - 1).cloned().unwrap_or_else(|| Bits::none(self.amounts.len())))
    }
}

impl Free {
    fn bring_up_to_date(&mut self, amounts: &[Amounts]) {
        for node in std::mem::take(&mut self.written) {
            let (before, now) = (self.gpus[node], devices(amounts[node]));
            if now > self.at_least.len() {
                self.at_least.resize(now, Bits::none(amounts.len()));
            }
            for count in before.min(now)..before.max(now) {
                self.at_least[count].set(node, now > before);
            }
            self.gpus[node] = now;
        }
    }
}

/// Free devices of a room; none where more is held than there is.
fn devices(room: Amounts) -> usize {
    usize::try_from(room.gpus).unwrap_or(0)
}

impl Index<usize> for Rooms {
    type Output = Amounts;

    fn index(&self, node: usize) -> &Amounts {
        &self.amounts[node]
    }
}

impl IndexMut<usize> for Rooms {
    fn index_mut(&mut self, node: usize) -> &mut Amounts {
        self.index.get_mut().written.push(node);
        &mut self.amounts[node]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(gpus: i64) -> Amounts {
        let mut room = Amounts::default();
        room.gpus = gpus;
        room
    }

    proptest::proptest! {
        #[test]
        fn the_index_agrees_with_the_rooms_after_any_writes(
            start in proptest::collection::vec(-1_i64..9, 1..80),
            writes in proptest::collection::vec((0_usize..80, -2_i64..12, 0_i64..12), 0..60),
        ) {
            let mut rooms = Rooms::of(start.iter().map(|gpus| room(*gpus)).collect());
            for (node, gpus, asked) in writes {
                let node = node % rooms.len();
                rooms[node] = room(gpus);
                let expected: Vec<usize> = (0..rooms.len()).filter(|node| rooms[*node].gpus >= asked).collect();
                match rooms.with_free(asked) {
                    Some(found) => proptest::prop_assert_eq!(found.iter().collect::<Vec<_>>(), expected),
                    None => proptest::prop_assert!(asked == 0),
                }
            }
        }
    }
}
