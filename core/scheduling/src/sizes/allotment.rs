//! How many devices of a class each queue may use while all sizes are chosen.

use std::collections::BTreeMap;

use plimsoll_menu::ClassName;

use crate::{Queue, quota};

/// What the jobs of one queue could use of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Demand {
    /// What they hold and keep.
    pub(super) floor: u32,
    /// The most they could use; at least the floor.
    pub(super) most: u32,
}

/// What the jobs of each queue get of `supply` devices of a class, by the queue's name.
///
/// Down the tree, siblings get in turn: what their jobs keep; up to what is nominally theirs; then, by weight, of what is left
/// up to their borrowing limits, less what owners do not lend. Each step is max-min fair by weight. A queue without a parent
/// borrows of nobody, and one without limits of its own has nothing nominal and takes of what is left.
pub(super) fn allot<'a>(
    tree: &quota::Tree<'a>,
    class: &ClassName,
    supply: u32,
    demands: &BTreeMap<&'a str, Demand>,
) -> BTreeMap<&'a str, u32> {
    let mut children: BTreeMap<Option<&'a str>, Vec<&'a Queue>> = BTreeMap::new();
    for place in tree.places() {
        let parent = tree.parent(place).map(|parent| tree.queue(parent).name.as_str());
        children.entry(parent).or_default().push(tree.queue(place));
    }
    let tree = Tree { children, class, demands };
    let roots = tree.children.get(&None).into_iter().flatten().map(|queue| tree.branch(queue, true)).collect();
    let mut given = BTreeMap::new();
    tree.divide(roots, (supply, u32::MAX), &mut given);
    given
}

/// One of several that share.
struct Branch<'a> {
    of: Of<'a>,
    weight: f64,
    demand: Demand,
    nominal: u32,
    limit: u32,
    /// What of its nominal others may use while it does not; the rest stays its own.
    lends: u32,
}

/// Whose branch it is.
#[derive(Clone, Copy)]
enum Of<'a> {
    /// The jobs of a queue itself.
    Jobs(&'a str),
    /// A queue with all below it.
    Queue(&'a Queue),
}

struct Tree<'t, 'a> {
    children: BTreeMap<Option<&'a str>, Vec<&'a Queue>>,
    class: &'t ClassName,
    demands: &'t BTreeMap<&'a str, Demand>,
}

impl<'a> Tree<'_, 'a> {
    fn below(&self, queue: &'a Queue) -> &[&'a Queue] {
        self.children.get(&Some(queue.name.as_str())).map_or(&[], Vec::as_slice)
    }

    fn branch(&self, queue: &'a Queue, root: bool) -> Branch<'a> {
        let own = self.demands.get(queue.name.as_str()).copied().unwrap_or_default();
        let parts: Vec<Branch<'a>> = self.below(queue).iter().map(|child| self.branch(child, false)).collect();
        let sum = |part: fn(&Branch<'a>) -> u32| parts.iter().map(part).fold(0, u32::saturating_add);
        let demand = Demand {
            floor: own.floor.saturating_add(sum(|part| part.demand.floor)),
            most: own.most.saturating_add(sum(|part| part.demand.most.min(part.limit))),
        };
        let share = queue.classes.as_ref().map(|classes| classes.get(self.class).copied().unwrap_or_default());
        let nominal = share.map_or(0, |share| share.nominal).saturating_add(sum(|part| part.nominal));
        let named = queue.classes.as_ref().is_none_or(|classes| classes.contains_key(self.class));
        let limit = match share {
            None => u32::MAX,
            Some(_) if root || !named => nominal,
            Some(share) => share.borrowing_limit.map_or(u32::MAX, |more| nominal.saturating_add(more)),
        };
        let lends = share.and_then(|share| share.lending_limit).filter(|_| !root).unwrap_or(u32::MAX);
        Branch { of: Of::Queue(queue), weight: queue.weight, demand, nominal, limit, lends }
    }

    /// `supply` is what there is, `pool` what quotas allow them together.
    fn divide(&self, branches: Vec<Branch<'a>>, (supply, pool): (u32, u32), given: &mut BTreeMap<&'a str, u32>) {
        let mut got: Vec<u32> = branches.iter().map(|branch| branch.demand.floor).collect();
        let mut left = got.iter().fold(supply, |left, floor| left.saturating_sub(*floor));
        let fill = |up_to: &dyn Fn(&Branch<'a>) -> u32, left: u32, got: &mut [u32]| {
            let wants: Vec<(f64, u32)> =
                branches.iter().zip(&*got).map(|(b, got)| (b.weight, up_to(b).saturating_sub(*got))).collect();
            for (got, more) in got.iter_mut().zip(fair(left, &wants)) {
                *got += more;
            }
        };
        let before: u32 = got.iter().sum();
        fill(&|branch| branch.demand.most.min(branch.nominal).min(branch.limit), left, &mut got);
        left = left.saturating_sub(got.iter().sum::<u32>() - before);
        let kept =
            |(branch, got): (&Branch<'a>, &u32)| branch.nominal.saturating_sub(*got).saturating_sub(branch.lends);
        let taken =
            branches.iter().zip(&got).map(|(b, got)| got.saturating_add(kept((b, got)))).fold(0, u32::saturating_add);
        left = left.min(pool.saturating_sub(taken));
        fill(&|branch| branch.demand.most.min(branch.limit), left, &mut got);
        for (branch, got) in branches.into_iter().zip(got) {
            match branch.of {
                Of::Jobs(name) => {
                    given.insert(name, got);
                }
                Of::Queue(queue) => {
                    let own = self.demands.get(queue.name.as_str()).copied().unwrap_or_default();
                    let nominal = queue.classes.as_ref().and_then(|classes| classes.get(self.class));
                    let jobs = Branch {
                        of: Of::Jobs(&queue.name),
                        weight: 1.0,
                        demand: own,
                        nominal: nominal.map_or(0, |share| share.nominal),
                        limit: u32::MAX,
                        lends: u32::MAX,
                    };
                    let parts =
                        [jobs].into_iter().chain(self.below(queue).iter().map(|child| self.branch(child, false)));
                    self.divide(parts.collect(), (got, branch.nominal.max(got)), given);
                }
            }
        }
    }
}

/// Divides `left` among those who want, max-min fair by weight, in whole devices; ties go to the first.
fn fair(left: u32, wants: &[(f64, u32)]) -> Vec<u32> {
    // Rounded down, so that the sum of the shares at a level never exceeds what the level stands for.
    let at_level = |level: f64| -> Vec<u32> {
        wants.iter().map(|(weight, want)| ((level * weight).min(f64::from(*want)) as u32).min(*want)).collect()
    };
    let sum = |got: &[u32]| got.iter().map(|gpus| u64::from(*gpus)).sum::<u64>();
    let (mut low, mut high) = (0.0, f64::from(left));
    for (weight, _) in wants {
        high = f64::max(high, f64::from(left) / weight);
    }
    for _ in 0..64 {
        let middle = low + (high - low) / 2.0;
        if sum(&at_level(middle)) <= u64::from(left) { low = middle } else { high = middle }
    }
    let mut got = at_level(low);
    for _ in sum(&got)..u64::from(left) {
        let open = (0..wants.len()).filter(|&at| got[at] < wants[at].1);
        let filled = |at: usize| f64::from(got[at] + 1) / wants[at].0;
        let Some(least) = open.min_by(|&a, &b| filled(a).total_cmp(&filled(b)).then(a.cmp(&b))) else { break };
        got[least] += 1;
    }
    got
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Share;

    fn queue(name: &str, parent: Option<&str>, share: Option<Share>) -> Queue {
        let classes = share.map(|share| [(ClassName::new("t4"), share)].into());
        Queue { parent: parent.map(str::to_owned), classes, ..Queue::unlimited(name) }
    }

    fn given(queues: &[Queue], supply: u32, most: &[(&str, u32)]) -> BTreeMap<String, u32> {
        let tree = quota::Tree::new(queues, []);
        let demands = most.iter().map(|(name, most)| (*name, Demand { floor: 0, most: *most })).collect();
        let given = allot(&tree, &ClassName::new("t4"), supply, &demands);
        given.into_iter().filter(|(_, gpus)| *gpus > 0).map(|(name, gpus)| (name.to_owned(), gpus)).collect()
    }

    fn of(list: &[(&str, u32)]) -> BTreeMap<String, u32> {
        list.iter().map(|(name, gpus)| ((*name).to_owned(), *gpus)).collect()
    }

    #[test]
    fn a_queue_without_limits_gets_what_it_could_use() {
        assert_eq!(given(&[queue("q", None, None)], 64, &[("q", 100)]), of(&[("q", 64)]));
        assert_eq!(given(&[queue("q", None, None)], 64, &[("q", 10)]), of(&[("q", 10)]));
    }

    #[test]
    fn what_is_nominal_comes_first_and_the_rest_goes_by_weight() {
        let mut heavy = queue("b", Some("org"), Some(Share::of(8)));
        heavy.weight = 3.0;
        let queues = [queue("org", None, Some(Share::of(16))), queue("a", Some("org"), Some(Share::of(8))), heavy];
        assert_eq!(given(&queues, 64, &[("a", 99), ("b", 99)]), of(&[("a", 12), ("b", 20)]), "16 of the parent's own");
        assert_eq!(given(&queues, 64, &[("a", 99)]), of(&[("a", 32)]), "it borrows what nobody uses");
        assert_eq!(
            given(&queues, 12, &[("a", 99), ("b", 99)]),
            of(&[("a", 4), ("b", 8)]),
            "too few for what is nominal"
        );
    }

    #[test]
    fn limits_on_borrowing_and_lending_are_kept() {
        let share = |nominal, borrowing_limit, lending_limit| Some(Share { nominal, borrowing_limit, lending_limit });
        let queues = [
            queue("org", None, Some(Share::of(0))),
            queue("a", Some("org"), share(8, Some(4), None)),
            queue("b", Some("org"), share(8, None, Some(2))),
        ];
        assert_eq!(given(&queues, 64, &[("a", 99)]), of(&[("a", 10)]), "b lends 2");
        assert_eq!(given(&queues, 64, &[("b", 99)]), of(&[("b", 16)]), "a lends all");
        let alone = [queue("a", None, share(8, None, None))];
        assert_eq!(given(&alone, 64, &[("a", 99)]), of(&[("a", 8)]), "there is nobody to borrow of");
    }

    #[test]
    fn a_circle_of_queues_is_no_endless_walk() {
        let queues = [queue("a", Some("b"), None), queue("b", Some("a"), None)];
        assert_eq!(given(&queues, 8, &[("a", 4), ("b", 9)]), of(&[("a", 4), ("b", 4)]));
    }

    proptest! {
        #[test]
        fn a_fair_division_wastes_nothing_and_nobody_could_get_more_from_who_has_more(
            left in 0..200_u32,
            wants in proptest::collection::vec((1..5_u8, 0..60_u32), 0..8),
        ) {
            let wants: Vec<(f64, u32)> = wants.into_iter().map(|(weight, want)| (f64::from(weight), want)).collect();
            let got = fair(left, &wants);
            let all: u32 = wants.iter().map(|want| want.1).sum();
            prop_assert_eq!(got.iter().sum::<u32>(), left.min(all));
            for (at, want) in wants.iter().enumerate() {
                prop_assert!(got[at] <= want.1);
                for (other, theirs) in wants.iter().enumerate().filter(|_| got[at] < want.1) {
                    // Whole devices: nobody has a device more for its weight than who still wants.
                    let after = f64::from(got[at] + 1) / want.0;
                    prop_assert!(f64::from(got[other].saturating_sub(1)) / theirs.0 <= after + 1e-9, "{got:?} of {wants:?}");
                }
            }
        }
    }
}
