//! Nodes for what was allocated.

/// GPUs taken on nodes of a class: node and count.
pub type Nodes = Vec<(u32, u32)>;

/// What one job is to have on nodes of one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// GPUs; above 0.
    pub gpus: u32,
    /// Where it runs now, if with so many GPUs.
    pub holds: Option<Nodes>,
    /// Whether it must stay there.
    pub pinned: bool,
}

/// Places jobs on `nodes` nodes of `size` GPUs; `None` for what does not fit, which needs more GPUs than there are.
///
/// Who keeps its size stays. The others come biggest first: whole free nodes, and the rest where it fits best; split over what is
/// free only if nothing else does. With `free_moves` (moving at the same shape costs nothing) a job that was split is reason to
/// place all but the pinned ones anew.
pub fn place(nodes: u32, size: u32, requests: &[Request], free_moves: bool) -> Vec<Option<Nodes>> {
    let kept = |request: &Request| request.holds.is_some();
    let first = pack(nodes, size, requests, kept);
    let split = |placed: &[Option<Nodes>]| {
        let excess = requests.iter().zip(placed).map(|(request, placed)| {
            placed.as_ref().map_or(u32::MAX / 1024, |nodes| nodes.len() as u32 - request.gpus.div_ceil(size))
        });
        excess.sum::<u32>()
    };
    if !free_moves || split(&first) == 0 {
        return first;
    }
    let anew = pack(nodes, size, requests, |request| request.pinned && request.holds.is_some());
    if split(&anew) < split(&first) { anew } else { first }
}

fn pack(nodes: u32, size: u32, requests: &[Request], stays: impl Fn(&Request) -> bool) -> Vec<Option<Nodes>> {
    let mut free = vec![size; nodes as usize];
    let mut placed: Vec<Option<Nodes>> = vec![None; requests.len()];
    for (request, placed) in requests.iter().zip(&mut placed) {
        if let Some(holds) = request.holds.as_ref().filter(|_| stays(request)) {
            for (node, gpus) in holds {
                free[*node as usize] = free[*node as usize].saturating_sub(*gpus);
            }
            *placed = Some(holds.clone());
        }
    }
    let mut open: Vec<usize> = (0..requests.len()).filter(|at| placed[*at].is_none()).collect();
    open.sort_by_key(|at| std::cmp::Reverse(requests[*at].gpus));
    for at in open {
        placed[at] = find(&mut free, size, requests[at].gpus);
    }
    placed
}

fn find(free: &mut [u32], size: u32, gpus: u32) -> Option<Nodes> {
    if free.iter().sum::<u32>() < gpus {
        return None;
    }
    let (whole, rest) = ((gpus / size) as usize, gpus % size);
    let mut taken: Nodes = Vec::new();
    let empty: Vec<usize> = (0..free.len()).filter(|node| free[*node] == size).take(whole).collect();
    if empty.len() == whole {
        let best = (0..free.len())
            .filter(|node| rest > 0 && free[*node] >= rest && !empty.contains(node))
            .min_by_key(|node| free[*node]);
        if rest == 0 || best.is_some() {
            taken.extend(empty.iter().map(|node| (*node as u32, size)));
            taken.extend(best.map(|node| (node as u32, rest)));
        }
    }
    if taken.is_empty() {
        let mut left = gpus;
        let mut order: Vec<usize> = (0..free.len()).filter(|node| free[*node] > 0).collect();
        order.sort_by_key(|node| std::cmp::Reverse(free[*node]));
        for node in order {
            let here = free[node].min(left);
            if here > 0 {
                taken.push((node as u32, here));
            }
            left -= here;
        }
    }
    for (node, gpus) in &taken {
        free[*node as usize] -= gpus;
    }
    Some(taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ask(gpus: u32) -> Request {
        Request { gpus, holds: None, pinned: false }
    }

    #[test]
    fn who_keeps_its_size_stays_and_the_rest_takes_the_tightest_fit() {
        let holds = Request { gpus: 3, holds: Some(vec![(1, 3)]), pinned: false };
        let placed = place(3, 4, &[holds, ask(1), ask(4)], false);
        assert_eq!(placed, [Some(vec![(1, 3)]), Some(vec![(1, 1)]), Some(vec![(0, 4)])]);
    }

    #[test]
    fn with_free_moves_nobody_is_split_who_need_not_be() {
        let one = |node| Request { gpus: 1, holds: Some(vec![(node, 1)]), pinned: false };
        let requests = [one(0), one(1), ask(4)];
        assert_eq!(place(2, 4, &requests, false)[2].as_ref().map(Vec::len), Some(2));
        assert_eq!(place(2, 4, &requests, true)[2].as_ref().map(Vec::len), Some(1));
    }

    proptest! {
        #[test]
        fn no_node_gives_more_than_it_has(sizes in proptest::collection::vec(1..9_u32, 0..9), free_moves: bool) {
            let requests: Vec<Request> = sizes.iter().map(|gpus| ask(*gpus)).collect();
            let mut given = [0; 5];
            for (request, placed) in requests.iter().zip(place(5, 4, &requests, free_moves)) {
                if let Some(nodes) = placed {
                    prop_assert_eq!(nodes.iter().map(|node| node.1).sum::<u32>(), request.gpus);
                    nodes.iter().for_each(|(node, gpus)| given[*node as usize] += gpus);
                }
            }
            prop_assert!(given.iter().all(|gpus| *gpus <= 4), "{given:?}");
        }
    }
}
