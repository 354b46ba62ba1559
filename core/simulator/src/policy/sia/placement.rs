//! Nodes for what Sia's program chose.

use plimsoll_scheduling::elastic::{Request, place};

use super::View;
use crate::beliefs::Size;
use crate::cluster::{Allocation, Kind};
use crate::job::Job;

/// Free GPUs of the nodes of a kind, and a pointer that goes around them.
struct Around {
    size: u32,
    free: Vec<u32>,
    pointer: usize,
}

impl Around {
    fn of(kind: &Kind) -> Self {
        Self { size: kind.gpus_per_node, free: vec![kind.gpus_per_node; kind.nodes as usize], pointer: 0 }
    }

    /// Takes up to so many GPUs of the node at the pointer.
    fn take(&mut self, most: u32, nodes: &mut Vec<(u32, u32)>) -> u32 {
        let taken = self.free[self.pointer].min(most);
        self.free[self.pointer] -= taken;
        let node = self.pointer as u32;
        match nodes.iter_mut().find(|held| held.0 == node) {
            Some(held) => held.1 += taken,
            None if taken > 0 => nodes.push((node, taken)),
            None => {}
        }
        taken
    }

    fn step(&mut self) {
        self.pointer = (self.pointer + 1) % self.free.len();
    }

    /// Whole free nodes, once around, for what fills them, and the rest wherever something is free; the next job begins behind.
    fn place(&mut self, gpus: u32) -> Option<Vec<(u32, u32)>> {
        if self.free.iter().sum::<u32>() < gpus {
            return None;
        }
        let (mut nodes, mut left) = (Vec::new(), gpus);
        for _ in 0..self.free.len() {
            if left < self.size {
                break;
            }
            if self.free[self.pointer] == self.size {
                left -= self.take(self.size, &mut nodes);
            }
            self.step();
        }
        while left > 0 {
            left -= self.take(left, &mut nodes);
            self.step();
        }
        Some(nodes)
    }
}

/// Biggest first, anew each round, around the nodes of each kind; who restores stays.
pub(super) fn around(view: &View<'_>, chosen: &[Option<Size<'_>>]) -> Vec<Option<Allocation>> {
    let mut plan: Vec<Option<Allocation>> = vec![None; view.jobs.len()];
    for (index, kind) in view.cluster.kinds.iter().enumerate() {
        let mut nodes = Around::of(kind);
        for (at, job) in view.jobs.iter().enumerate() {
            let held = job.allocation.as_ref().filter(|held| held.kind == index && job.restoring_seconds > 0.0);
            if let Some(held) = held {
                held.nodes.iter().for_each(|(node, gpus)| nodes.free[*node as usize] -= gpus);
                plan[at] = Some(held.clone());
            }
        }
        let here = |at: &usize| chosen[*at].filter(|size| size.index == index).map(|size| (*at, size.gpus));
        let mut order: Vec<(usize, u32)> = (0..chosen.len()).filter_map(|at| here(&at)).collect();
        order.sort_by_key(|(_, gpus)| std::cmp::Reverse(*gpus));
        for (at, gpus) in order {
            plan[at] = nodes.place(gpus).map(|nodes| Allocation { kind: index, nodes });
        }
    }
    plan
}

/// Who keeps its size keeps its nodes, the others where they fit best.
pub(super) fn in_place(view: &View<'_>, chosen: &[Option<Size<'_>>]) -> Vec<Option<Allocation>> {
    let mut plan = vec![None; view.jobs.len()];
    for (index, kind) in view.cluster.kinds.iter().enumerate() {
        let request = |(at, job): (usize, &&Job)| {
            let held = job.allocation.as_ref().filter(|held| held.kind == index);
            let pinned = held.filter(|_| job.restoring_seconds > 0.0);
            let size = chosen[at].filter(|size| size.index == index).map(|size| size.gpus);
            let gpus = pinned.map(Allocation::gpus).or(size)?;
            let holds = held.filter(|held| held.gpus() == gpus).map(|held| held.nodes.clone());
            Some((at, Request { gpus, holds, pinned: pinned.is_some() }))
        };
        let (here, requests): (Vec<usize>, Vec<Request>) = view.jobs.iter().enumerate().filter_map(request).unzip();
        for (at, nodes) in here.into_iter().zip(place(kind.nodes, kind.gpus_per_node, &requests, false)) {
            plan[at] = nodes.map(|nodes| Allocation { kind: index, nodes });
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_job_begins_behind_the_last_and_what_is_left_is_split() {
        let mut nodes = Around::of(&Kind { name: "t4".to_owned(), nodes: 3, gpus_per_node: 4 });
        assert_eq!(nodes.place(4), Some(vec![(0, 4)]));
        assert_eq!(nodes.place(2), Some(vec![(1, 2)]));
        assert_eq!(nodes.place(3), Some(vec![(2, 3)]));
        assert_eq!(nodes.place(3), Some(vec![(1, 2), (2, 1)]));
        assert_eq!(nodes.place(1), None);
    }
}
