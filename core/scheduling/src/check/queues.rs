//! What queues may hold, stated as limits that hold at every queue of the tree, and counted again.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_menu::ClassName;

use super::Violation;
use super::world::Totals;
use crate::{Queue, Snapshot};

/// The queues, by number in order of their names.
pub(super) struct Queues<'a> {
    all: Vec<&'a Queue>,
    numbers: BTreeMap<&'a str, usize>,
    /// Each queue and all above it.
    ways_up: Vec<Vec<usize>>,
    children: Vec<Vec<usize>>,
    /// Of every class that a node or a queue names.
    quotas: Vec<BTreeMap<&'a ClassName, Quota>>,
}

/// What a subtree may hold of a class.
#[derive(Clone, Copy)]
struct Quota {
    /// What it and all below it bring; `None` without limit.
    brings: Option<i128>,
    /// What of that is never lent.
    keeps: i128,
    /// What it may hold at most by its own limits; `None` without.
    limit: Option<i128>,
}

/// What each subtree holds of a class.
pub(super) type Held<'a> = BTreeMap<(usize, &'a ClassName), i128>;

impl<'a> Queues<'a> {
    pub(super) fn new(snapshot: &'a Snapshot) -> Self {
        let all: Vec<&Queue> = snapshot.queues.iter().map(|queue| &**queue).collect();
        let numbers: BTreeMap<&str, usize> =
            all.iter().enumerate().map(|(n, queue)| (queue.name.as_str(), n)).collect();
        let named: Vec<Option<usize>> =
            all.iter().map(|queue| numbers.get(queue.parent.as_deref()?).copied()).collect();
        // The parent that counts: one that exists, of a queue that is not its own ancestor.
        let parent = |queue: usize| {
            let mut at = named[queue];
            for _ in 0..all.len() {
                match at {
                    Some(above) if above == queue => return None,
                    Some(above) => at = named[above],
                    None => break,
                }
            }
            named[queue]
        };
        let parents: Vec<Option<usize>> = (0..all.len()).map(parent).collect();
        let mut children = vec![Vec::new(); all.len()];
        for (queue, parent) in parents.iter().enumerate() {
            if let Some(parent) = parent {
                children[*parent].push(queue);
            }
        }
        let way_up = |queue: usize| {
            let mut way = vec![queue];
            while let Some(parent) = way.last().and_then(|last| parents[*last]) {
                way.push(parent);
            }
            way
        };
        let ways_up = (0..all.len()).map(way_up).collect();
        let quotas = vec![BTreeMap::new(); all.len()];
        let mut queues = Self { all, numbers, ways_up, children, quotas };
        let mut classes: BTreeSet<&ClassName> = snapshot.nodes.iter().map(|node| &node.class).collect();
        classes.extend(queues.all.iter().flat_map(|queue| queue.classes.iter().flat_map(|classes| classes.keys())));
        for class in classes {
            for root in queues.roots() {
                queues.fill(root, class);
            }
        }
        queues
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.numbers.get(name).copied()
    }

    pub(super) fn get(&self, number: usize) -> &'a Queue {
        self.all[number]
    }

    pub(super) fn roots(&self) -> Vec<usize> {
        (0..self.all.len()).filter(|queue| self.is_root(*queue)).collect()
    }

    pub(super) fn children(&self, queue: usize) -> &[usize] {
        &self.children[queue]
    }

    /// A queue and all above it.
    pub(super) fn way_up(&self, queue: usize) -> &[usize] {
        &self.ways_up[queue]
    }

    fn is_root(&self, queue: usize) -> bool {
        self.ways_up[queue].len() == 1
    }

    /// Works out the quotas of a subtree.
    fn fill(&mut self, queue: usize, class: &'a ClassName) -> Quota {
        let mut brings = self.own(queue, class);
        for child in self.children[queue].clone() {
            let child = self.fill(child, class);
            brings = brings.and_then(|brings| Some(brings + child.brings? - child.keeps));
        }
        let share = self.all[queue].classes.as_ref().and_then(|classes| classes.get(class));
        let lends = share.and_then(|share| share.lending_limit).map(i128::from);
        let keeps = brings.zip(lends).map_or(0, |(brings, lends)| (brings - lends).max(0));
        let borrows = share.and_then(|share| share.borrowing_limit).map(i128::from);
        let limit = if self.is_root(queue) { brings } else { brings.zip(borrows).map(|(a, b)| a + b) };
        let quota = Quota { brings, keeps, limit };
        self.quotas[queue].insert(class, quota);
        quota
    }

    /// What a queue brings of its own.
    fn own(&self, queue: usize, class: &ClassName) -> Option<i128> {
        match &self.all[queue].classes {
            Some(classes) => Some(classes.get(class).map_or(0, |share| share.nominal.into())),
            None if self.is_root(queue) => None,
            None => Some(0),
        }
    }

    fn quota(&self, queue: usize, class: &ClassName) -> Quota {
        self.quotas[queue].get(class).copied().unwrap_or_else(|| {
            let brings = self.own(queue, class);
            Quota { brings, keeps: 0, limit: if self.is_root(queue) { brings } else { None } }
        })
    }

    /// What subtrees hold when queues hold so much of their own.
    pub(super) fn held(&self, totals: &Totals<'a>) -> Held<'a> {
        let mut held = Held::new();
        for (&(queue, class), &gpus) in &totals.queues {
            if let Some(queue) = self.number(queue) {
                self.hold(&mut held, queue, class, gpus);
            }
        }
        held
    }

    /// Jobs of a queue hold so many more.
    pub(super) fn hold(&self, held: &mut Held<'a>, queue: usize, class: &'a ClassName, gpus: i128) {
        for (place, _, after) in self.with(held, queue, class, gpus) {
            held.insert((place, class), after);
        }
    }

    /// What the queues on the way up hold before and after jobs of one hold so many more. A queue counts above only for
    /// what goes beyond what it keeps for itself.
    fn with(&self, held: &Held<'a>, queue: usize, class: &'a ClassName, gpus: i128) -> Vec<(usize, i128, i128)> {
        let mut more = gpus;
        let mut all = Vec::new();
        for &place in self.way_up(queue) {
            let keeps = self.quota(place, class).keeps;
            let before = held.get(&(place, class)).copied().unwrap_or(0);
            let after = before + more;
            all.push((place, before, after));
            more = (after - keeps).max(0) - (before - keeps).max(0);
        }
        all
    }

    /// Whether jobs of a queue may hold so many more: no limit is passed on the way up by what is added.
    pub(super) fn allow(&self, held: &Held<'a>, queue: &str, class: &'a ClassName, gpus: u32) -> bool {
        let Some(queue) = self.number(queue) else { return false };
        if self.all[queue].classes.as_ref().is_some_and(|classes| !classes.contains_key(class)) {
            return false;
        }
        let fits = |(place, before, after): (usize, i128, i128)| {
            after <= before || self.quota(place, class).limit.is_none_or(|limit| after <= limit)
        };
        self.with(held, queue, class, gpus.into()).into_iter().all(fits)
    }

    /// Devices that a subtree holds beyond what it brings; of one that brings anything, the least number there is.
    pub(super) fn borrowed(&self, held: &Held<'a>, queue: usize, class: &'a ClassName) -> i128 {
        let holds = held.get(&(queue, class)).copied().unwrap_or(0);
        self.quota(queue, class).brings.map_or(i128::MIN, |brings| holds - brings)
    }

    /// Whether a queue above another holds more than it brings once jobs of that one hold so many more.
    pub(super) fn would_borrow(
        &self,
        held: &Held<'a>,
        (queue, above): (usize, usize),
        class: &'a ClassName,
        gpus: u32,
    ) -> bool {
        let changes = self.with(held, queue, class, gpus.into());
        let at = changes.into_iter().find(|(place, _, _)| *place == above);
        let brings = self.quota(above, class).brings;
        at.zip(brings).is_some_and(|((_, before, after), brings)| after > before && after > brings)
    }

    /// Queues that the plan gives more than they may hold.
    pub(super) fn over(&self, before: &Totals<'a>, both: &Totals<'a>) -> Vec<Violation> {
        let (before, both) = (self.held(before), self.held(both));
        let mut violations = Vec::new();
        for (&(queue, class), &promised) in &both {
            let was = before.get(&(queue, class)).copied().unwrap_or(0);
            let Some(limit) = self.quota(queue, class).limit else { continue };
            if promised > was && promised > limit {
                let queue = self.all[queue].name.clone();
                violations.push(Violation::OverQuota { queue, class: class.clone(), promised, limit });
            }
        }
        violations
    }
}
