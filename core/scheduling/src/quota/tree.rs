//! The tree of queues: what each may hold of each class, lent and borrowed along the path to its root.
//!
//! The rules are those of Kueue's hierarchical cohorts (`pkg/cache/scheduler/resource_node.go`):
//!
//! ```text
//! subtree(q)    = nominal(q) + sum over children c of (subtree(c) - guaranteed(c))
//! guaranteed(q) = max(0, subtree(q) - lendingLimit(q)); 0 without a limit: all of it may be lent
//! usage(q)      = held by its own jobs + sum over children c of max(0, usage(c) - guaranteed(c))
//! available(q)  = subtree(q) - usage(q) at the root; else
//!                 max(0, guaranteed(q) - usage(q)) + max(0, min(available(parent),
//!                 borrowingLimit(q) + subtree(q) - guaranteed(q) - max(0, usage(q) - guaranteed(q))))
//! ```
//!
//! One thing differs: in Kueue, a parent that holds too much takes from what is guaranteed to its children.
//!
//! A queue without `classes` has no limit of its own: as a root it is unlimited, below one it brings nothing and borrows
//! what there is. A class that a queue with `classes` does not name is not for its own jobs; children may pass through.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plimsoll_menu::ClassName;

use crate::{Queue, Snapshot};

/// What stands for no limit; far above the devices of any cluster, and far below overflow.
const UNLIMITED: i64 = 1 << 40;

/// A queue of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(usize);

/// A class of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Column(usize);

impl Place {
    pub(crate) fn index(self) -> usize {
        self.0
    }
}

impl Column {
    pub(crate) fn index(self) -> usize {
        self.0
    }
}

/// What is wrong with how the queues hang together. Such a queue is treated as a root.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueFault {
    /// Its parent does not exist.
    #[error("parent {parent} of queue {queue} does not exist; until it does, the queue borrows from nobody")]
    ParentMissing {
        /// The queue.
        queue: String,
        /// The parent that it names.
        parent: String,
    },
    /// It is its own ancestor.
    #[error("queue {queue} is its own ancestor; change its parent: until then, it borrows from nobody")]
    Cycle {
        /// The queue.
        queue: String,
    },
}

/// What is wrong with how the queues of a snapshot hang together.
pub fn queue_faults(snapshot: &Snapshot) -> Vec<QueueFault> {
    Tree::new(snapshot.queues.iter().map(Arc::as_ref), []).faults
}

/// The queues as a forest, with what each may hold; by name.
pub(crate) struct Tree<'a> {
    queues: Vec<&'a Queue>,
    by_name: BTreeMap<&'a str, Place>,
    columns: BTreeMap<&'a ClassName, Column>,
    /// One more than there are names: the last is that of all classes that nobody knows.
    width: usize,
    parents: Vec<Option<Place>>,
    quotas: Vec<Quota>,
    pub(crate) faults: Vec<QueueFault>,
}

/// What a queue may hold of a class.
#[derive(Clone, Copy, Default)]
struct Quota {
    /// Its own and what its subtree lends it.
    subtree: i64,
    /// The part of it that nobody else may borrow.
    guaranteed: i64,
    /// How much more it may borrow.
    borrowing: Option<i64>,
    /// Whether its own jobs may use the class at all.
    own_jobs: bool,
}

/// Devices that the queues hold, theirs and what their subtrees hold of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Usage(Vec<i64>);

impl<'a> Tree<'a> {
    /// Of these queues and of these classes besides those that they name.
    pub(crate) fn new(
        queues: impl IntoIterator<Item = &'a Queue>,
        classes: impl IntoIterator<Item = &'a ClassName>,
    ) -> Self {
        let sorted: BTreeMap<&str, &Queue> = queues.into_iter().map(|queue| (queue.name.as_str(), queue)).collect();
        let queues: Vec<&Queue> = sorted.into_values().collect();
        let named = queues.iter().flat_map(|queue| queue.classes.iter().flat_map(|classes| classes.keys()));
        let names: BTreeSet<&ClassName> = named.chain(classes).collect();
        let columns: BTreeMap<_, _> =
            names.into_iter().enumerate().map(|(index, name)| (name, Column(index))).collect();
        let by_name: BTreeMap<&str, Place> =
            queues.iter().enumerate().map(|(index, queue)| (queue.name.as_str(), Place(index))).collect();
        let (parents, faults) = parents(&queues, &by_name);
        let width = columns.len() + 1;
        let quotas = vec![Quota::default(); queues.len() * width];
        let mut tree = Self { queues, by_name, columns, width, parents, quotas, faults };
        for place in tree.children_first() {
            tree.fill(place);
        }
        tree
    }

    /// The place of a queue; `None` when there is no such queue.
    pub(crate) fn place(&self, queue: &str) -> Option<Place> {
        self.by_name.get(queue).copied()
    }

    pub(crate) fn column(&self, class: &ClassName) -> Column {
        self.columns.get(class).copied().unwrap_or(Column(self.width - 1))
    }

    pub(crate) fn queue(&self, place: Place) -> &'a Queue {
        self.queues[place.0]
    }

    pub(crate) fn parent(&self, place: Place) -> Option<Place> {
        self.parents[place.0]
    }

    /// All queues, by name.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> + use<> {
        (0..self.queues.len()).map(Place)
    }

    /// How many classes a row of per-class figures has.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// The queue and its ancestors, itself first.
    pub(crate) fn path(&self, place: Place) -> impl Iterator<Item = Place> + '_ {
        std::iter::successors(Some(place), |place| self.parent(*place))
    }

    /// Nobody holds anything.
    pub(crate) fn nothing_held(&self) -> Usage {
        Usage(vec![0; self.quotas.len()])
    }

    /// Jobs of a queue take devices (or, with a negative number, give them back).
    pub(crate) fn charge(&self, usage: &mut Usage, place: Place, column: Column, gpus: i64) {
        let mut change = gpus;
        for place in self.path(place) {
            let (cell, guaranteed) = (self.cell(place, column), self.quotas[self.cell(place, column)].guaranteed);
            let before = (usage.0[cell] - guaranteed).max(0);
            usage.0[cell] += change;
            change = (usage.0[cell] - guaranteed).max(0) - before;
            if change == 0 {
                return;
            }
        }
    }

    /// Devices that jobs of a queue may take besides what is held; `None` without a limit. Zero or less: none.
    pub(crate) fn available(&self, usage: &Usage, place: Place, column: Column) -> Option<i64> {
        if !self.quotas[self.cell(place, column)].own_jobs {
            return Some(0);
        }
        let room = self.room(usage, place, column);
        (room < UNLIMITED / 2).then_some(room)
    }

    /// What a subtree may still take, its ancestors' limits included.
    pub(crate) fn room(&self, usage: &Usage, place: Place, column: Column) -> i64 {
        let cell = self.cell(place, column);
        let (quota, held) = (&self.quotas[cell], usage.0[cell]);
        let Some(parent) = self.parent(place) else { return quota.subtree - held };
        let local = (quota.guaranteed - held).max(0);
        let above = self.room(usage, parent, column);
        let borrowed = |limit: i64| limit + quota.subtree - quota.guaranteed - (held - quota.guaranteed).max(0);
        // What is guaranteed stays so when more is held above than there may be.
        local + quota.borrowing.map_or(above, |limit| above.min(borrowed(limit))).max(0)
    }

    /// The most that jobs of a queue may ever hold of a class; `None` without a limit.
    pub(crate) fn most(&self, place: Place, column: Column) -> Option<u32> {
        if !self.quotas[self.cell(place, column)].own_jobs {
            return Some(0);
        }
        let most = self.most_of(place, column);
        (most < UNLIMITED / 2).then(|| u32::try_from(most.max(0)).unwrap_or(u32::MAX))
    }

    fn most_of(&self, place: Place, column: Column) -> i64 {
        let quota = &self.quotas[self.cell(place, column)];
        let Some(parent) = self.parent(place) else { return quota.subtree };
        let whole = quota.guaranteed + self.most_of(parent, column);
        quota.borrowing.map_or(whole, |limit| whole.min(quota.subtree + limit))
    }

    /// The most that a subtree may hold by a limit of its own, whatever its ancestors allow; `None` without one.
    pub(crate) fn own_limit(&self, place: Place, column: Column) -> Option<i64> {
        let quota = &self.quotas[self.cell(place, column)];
        let limit =
            if self.parent(place).is_none() { Some(quota.subtree) } else { quota.borrowing.map(|b| b + quota.subtree) };
        limit.filter(|limit| *limit < UNLIMITED / 2)
    }

    /// Devices that a queue holds, what its children borrow of it included.
    pub(crate) fn held(&self, usage: &Usage, place: Place, column: Column) -> i64 {
        usage.0[self.cell(place, column)]
    }

    /// How many devices a subtree holds beyond what is its own: what it borrows. Negative: what it leaves.
    pub(crate) fn borrowed(&self, usage: &Usage, place: Place, column: Column) -> i64 {
        let cell = self.cell(place, column);
        usage.0[cell] - self.quotas[cell].subtree
    }

    /// Whether a queue above another would hold more than its own once jobs of that one take devices.
    pub(crate) fn would_borrow(&self, usage: &Usage, (from, above): (Place, Place), column: Column, gpus: i64) -> bool {
        let mut change = gpus;
        for place in self.path(from) {
            let cell = self.cell(place, column);
            let (held, quota) = (usage.0[cell], &self.quotas[cell]);
            if place == above {
                return change > 0 && held + change > quota.subtree;
            }
            change = (held + change - quota.guaranteed).max(0) - (held - quota.guaranteed).max(0);
        }
        false
    }

    /// The lowest queue that is an ancestor of both or one of them, and the child of it that leads to each.
    pub(crate) fn fork(&self, a: Place, b: Place) -> Option<(Place, Option<Place>, Option<Place>)> {
        let above: Vec<Place> = self.path(a).collect();
        let mut below = None;
        for place in self.path(b) {
            if let Some(at) = above.iter().position(|other| *other == place) {
                return Some((place, at.checked_sub(1).map(|child| above[child]), below));
            }
            below = Some(place);
        }
        None
    }

    fn cell(&self, place: Place, column: Column) -> usize {
        place.0 * self.width + column.0
    }

    /// All queues, each after its children.
    pub(crate) fn children_first(&self) -> Vec<Place> {
        let mut places: Vec<Place> = self.places().collect();
        places.sort_by_key(|place| std::cmp::Reverse(self.path(*place).count()));
        places
    }

    /// Its quota of each class, once those of its children are known; what it lends goes to its parent.
    fn fill(&mut self, place: Place) {
        let queue = self.queues[place.0];
        let is_root = self.parents[place.0].is_none();
        for column in (0..self.width).map(Column) {
            let cell = self.cell(place, column);
            if queue.classes.is_none() {
                self.quotas[cell].own_jobs = true;
                if is_root {
                    self.quotas[cell].subtree = UNLIMITED;
                }
            }
        }
        for (class, share) in queue.classes.iter().flatten() {
            let cell = self.cell(place, self.column(class));
            let quota = &mut self.quotas[cell];
            quota.own_jobs = true;
            quota.subtree = (quota.subtree + i64::from(share.nominal)).min(UNLIMITED);
            quota.borrowing = share.borrowing_limit.map(i64::from);
            quota.guaranteed = share.lending_limit.map_or(0, |lending| (quota.subtree - i64::from(lending)).max(0));
        }
        if let Some(parent) = self.parents[place.0] {
            for column in (0..self.width).map(Column) {
                let Quota { subtree, guaranteed, .. } = self.quotas[self.cell(place, column)];
                let above = self.cell(parent, column);
                self.quotas[above].subtree += subtree - guaranteed;
            }
        }
    }
}

/// The parent of each queue, and what is wrong: a parent that does not exist, or a way up that comes back.
fn parents(queues: &[&Queue], by_name: &BTreeMap<&str, Place>) -> (Vec<Option<Place>>, Vec<QueueFault>) {
    let mut faults = Vec::new();
    let mut parents: Vec<Option<Place>> = Vec::new();
    for queue in queues {
        let parent = queue.parent.as_ref().and_then(|name| {
            let found = by_name.get(name.as_str()).copied();
            if found.is_none() {
                faults.push(QueueFault::ParentMissing { queue: queue.name.clone(), parent: name.clone() });
            }
            found
        });
        parents.push(parent);
    }
    // Every queue has one parent, so a walk of as many steps as there are queues either ends at a root or is in a cycle.
    // 0: not looked at; else the number of the walk that came by first.
    let mut walked = vec![0_usize; queues.len()];
    let mut in_cycle = BTreeSet::new();
    for start in 0..queues.len() {
        let mut at = start;
        while walked[at] == 0 {
            walked[at] = start + 1;
            let Some(parent) = parents[at] else { break };
            at = parent.0;
        }
        if walked[at] == start + 1 && parents[at].is_some() {
            // This walk came back to itself; unless it broke off at a root, which has no parent.
            let mut round = at;
            while in_cycle.insert(round) {
                match parents[round] {
                    Some(parent) => round = parent.0,
                    None => break,
                }
            }
        }
    }
    for &index in &in_cycle {
        parents[index] = None;
        faults.push(QueueFault::Cycle { queue: queues[index].name.clone() });
    }
    (parents, faults)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Share;

    /// A queue with a share of class `t4`: nominal, borrowing limit, lending limit.
    fn queue(name: &str, parent: Option<&str>, share: Option<(u32, Option<u32>, Option<u32>)>) -> Queue {
        let share = share.map(|(nominal, borrowing_limit, lending_limit)| {
            [(ClassName::new("t4"), Share { nominal, borrowing_limit, lending_limit })].into()
        });
        Queue { parent: parent.map(Into::into), classes: share, ..Queue::unlimited(name) }
    }

    fn held(queues: &[Queue], held: &[(&str, i64)], of: &str) -> (Option<i64>, Option<u32>) {
        let tree = Tree::new(queues, []);
        let mut usage = tree.nothing_held();
        let class = ClassName::new("t4");
        let column = tree.column(&class);
        for (name, gpus) in held {
            tree.charge(&mut usage, tree.place(name).expect("it exists"), column, *gpus);
        }
        let place = tree.place(of).expect("it exists");
        (tree.available(&usage, place, column), tree.most(place, column))
    }

    #[test]
    fn a_queue_alone_may_hold_its_nominal_share_and_one_without_limits_anything() {
        let queues = [queue("a", None, Some((8, Some(99), Some(0)))), queue("b", None, None)];
        assert_eq!(held(&queues, &[("a", 3)], "a"), (Some(5), Some(8)));
        assert_eq!(held(&queues, &[("b", 3)], "b"), (None, None));
        let tree = Tree::new(&queues, []);
        let (place, other) = (tree.place("a").expect("it exists"), ClassName::new("h100"));
        assert_eq!(tree.most(place, tree.column(&other)), Some(0), "a class that is not named is not allowed");
    }

    #[test]
    fn siblings_lend_each_other_what_their_limits_let_them() {
        let two = |a, b| {
            [queue("root", None, Some((0, None, None))), queue("a", Some("root"), a), queue("b", Some("root"), b)]
        };
        let plain = two(Some((8, None, None)), Some((4, None, None)));
        assert_eq!(held(&plain, &[("a", 2)], "b"), (Some(10), Some(12)));
        let lends_three = two(Some((8, None, Some(3))), Some((4, None, None)));
        assert_eq!(held(&lends_three, &[("a", 2)], "b"), (Some(7), Some(7)));
        assert_eq!(held(&lends_three, &[("b", 7)], "a"), (Some(5), Some(12)), "it always has what it does not lend");
        let borrows_one = two(Some((8, None, None)), Some((4, Some(1), None)));
        assert_eq!(held(&borrows_one, &[("b", 4)], "b"), (Some(1), Some(5)));
        let unlimited_child = two(Some((8, None, None)), None);
        assert_eq!(held(&unlimited_child, &[("a", 2)], "b"), (Some(6), Some(8)));
    }

    #[test]
    fn the_least_room_on_the_path_counts_and_a_parents_own_share_adds() {
        let queues = [
            queue("root", None, Some((2, None, None))),
            queue("left", Some("root"), Some((1, Some(3), None))),
            queue("a", Some("left"), Some((4, None, None))),
            queue("right", Some("root"), Some((0, None, None))),
            queue("b", Some("right"), Some((6, None, Some(4)))),
        ];
        assert_eq!(held(&queues, &[], "a"), (Some(8), Some(8)), "4 + 1 of its own side, 3 borrowed at left");
        assert_eq!(held(&queues, &[("b", 6)], "a"), (Some(7), Some(8)), "5 + 2 of the root");
        assert_eq!(held(&queues, &[("a", 8)], "b"), (Some(5), Some(13)), "2 guaranteed, 3 left in the tree");
    }

    #[test]
    fn cycles_and_missing_parents_are_reported_and_are_roots() {
        let queues = [
            queue("a", Some("b"), Some((1, None, None))),
            queue("b", Some("c"), Some((2, None, None))),
            queue("c", Some("b"), Some((4, None, None))),
            queue("d", Some("gone"), Some((8, None, None))),
            queue("e", Some("e"), Some((16, None, None))),
        ];
        let faults: Vec<String> = Tree::new(&queues, []).faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            faults,
            [
                "parent gone of queue d does not exist; until it does, the queue borrows from nobody",
                "queue b is its own ancestor; change its parent: until then, it borrows from nobody",
                "queue c is its own ancestor; change its parent: until then, it borrows from nobody",
                "queue e is its own ancestor; change its parent: until then, it borrows from nobody",
            ]
        );
        assert_eq!(held(&queues, &[], "a"), (Some(3), Some(3)), "a hangs below b, which is a root");
        assert_eq!(held(&queues, &[], "d"), (Some(8), Some(8)));
    }

    #[test]
    fn giving_back_undoes_taking() {
        let queues = [
            queue("root", None, Some((2, None, None))),
            queue("a", Some("root"), Some((4, None, Some(1)))),
            queue("b", Some("root"), Some((4, None, Some(3)))),
        ];
        let tree = Tree::new(&queues, []);
        let column = tree.column(&ClassName::new("t4"));
        let mut usage = tree.nothing_held();
        for (name, gpus) in [("a", 3), ("b", 2), ("a", 2), ("b", -2), ("a", -5)] {
            tree.charge(&mut usage, tree.place(name).expect("it exists"), column, gpus);
        }
        assert_eq!(usage, tree.nothing_held());
    }
}
