//! The devices inside a node: sets that are linked with each other, and slices of others.

use crate::Node;

/// Whether a gang may use a node's devices at all: a slice of a device (MIG) is used alone, because slices reach each other no
/// faster than over the host.
pub(crate) fn admits(node: &Node, pods: u32, gpus_per_pod: u32) -> bool {
    !node.partitioned || u64::from(pods) * u64::from(gpus_per_pod) <= 1
}

/// How well a pod of so many devices sits on a node's linked sets: first whether it must be spread over several, then how many
/// devices stay free in the set that it takes. Less is better. Where links are not known all nodes are alike.
pub(super) fn spread(node: &Node, free: i64, gpus: i64) -> (bool, u32) {
    if node.links.is_empty() {
        return (false, 0);
    }
    let (Ok(free), Ok(gpus)) = (u32::try_from(free), u32::try_from(gpus)) else { return (false, 0) };
    let known: u32 = node.links.iter().sum();
    // More free than the agent knows of: who gave something back is unknown, so where it is free is too.
    if known == 0 || free > known || gpus == 0 {
        return (false, 0);
    }
    let mut sets = node.links.clone();
    // What this plan took since the agent's word is taken to have gone where it fits best.
    take(&mut sets, known - free);
    tightest(&sets, gpus).map_or((true, 0), |set| (false, sets[set] - gpus))
}

/// Takes devices from the tightest set that has them all, else from the largest sets.
fn take(sets: &mut [u32], mut gpus: u32) {
    while gpus > 0 {
        let largest = || (0..sets.len()).max_by_key(|&set| (sets[set], std::cmp::Reverse(set)));
        let Some(set) = tightest(sets, gpus).or_else(largest).filter(|&set| sets[set] > 0) else { return };
        let taken = sets[set].min(gpus);
        sets[set] -= taken;
        gpus -= taken;
    }
}

/// The smallest set with so many free devices.
fn tightest(sets: &[u32], gpus: u32) -> Option<usize> {
    (0..sets.len()).filter(|&set| sets[set] >= gpus).min_by_key(|&set| (sets[set], set))
}

#[cfg(test)]
mod tests {
    use plimsoll_menu::ClassName;

    use super::*;

    fn node(links: &[u32]) -> Node {
        Node {
            name: "n".into(),
            class: ClassName::new("v100"),
            gpus: 8,
            gpus_held_by_others: 0,
            allocatable: Default::default(),
            held_by_others: Default::default(),
            open: true,
            closed_because: String::new(),
            labels: Default::default(),
            taints: Vec::new(),
            partitioned: false,
            links: links.to_vec(),
            link_domain: None,
        }
    }

    #[test]
    fn a_pod_sits_in_the_tightest_set_that_has_room_for_it() {
        assert_eq!(spread(&node(&[4, 4]), 8, 4), (false, 0));
        assert_eq!(spread(&node(&[3, 4]), 7, 2), (false, 1));
        assert_eq!(spread(&node(&[2, 2]), 4, 3), (true, 0));
        assert_eq!(spread(&node(&[]), 8, 3), (false, 0));
    }

    #[test]
    fn what_the_plan_took_already_went_where_it_fits_best() {
        // Two of [2, 4] are taken: the set of two is gone, the set of four is whole.
        assert_eq!(spread(&node(&[2, 4]), 4, 4), (false, 0));
        // Five of [4, 4] are taken: one set is gone and one device of the other.
        assert_eq!(spread(&node(&[4, 4]), 3, 3), (false, 0));
        // More free than the agent said: nothing is known of where.
        assert_eq!(spread(&node(&[2, 2]), 6, 3), (false, 0));
    }

    #[test]
    fn a_slice_of_a_device_is_used_alone() {
        let sliced = Node { partitioned: true, ..node(&[]) };
        assert!(admits(&sliced, 1, 1) && !admits(&sliced, 1, 2) && !admits(&sliced, 2, 1));
        assert!(admits(&node(&[]), 4, 8));
    }
}
