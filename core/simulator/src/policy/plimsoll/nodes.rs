//! Nodes for what was chosen.

use plimsoll_scheduling::elastic::{Nodes, Request, place};

use super::View;
use crate::cluster::Allocation;
use crate::rules::Moves;

/// Nodes for the chosen sizes.
pub(super) fn on_nodes(view: &View<'_>, chosen: &[Option<(usize, u32)>]) -> Vec<Option<Allocation>> {
    let mut plan = vec![None; chosen.len()];
    for (index, kind) in view.cluster.kinds.iter().enumerate() {
        let here: Vec<usize> =
            (0..chosen.len()).filter(|at| chosen[*at].is_some_and(|(class, _)| class == index)).collect();
        let request = |at: &usize| {
            let gpus = chosen[*at].map_or(0, |chosen| chosen.1);
            let held = view.jobs[*at].allocation.as_ref().filter(|held| (held.kind, held.gpus()) == (index, gpus));
            let pinned = view.jobs[*at].restoring_seconds > 0.0;
            Request { gpus, holds: held.map(|held| held.nodes.clone()), pinned }
        };
        let requests: Vec<Request> = here.iter().map(request).collect();
        let free_moves = view.rules.moves == Moves::FreeWithinKind;
        let placed: Vec<Option<Nodes>> = place(kind.nodes, kind.gpus_per_node, &requests, free_moves);
        for (at, nodes) in here.into_iter().zip(placed) {
            plan[at] = nodes.map(|nodes| Allocation { kind: index, nodes });
        }
    }
    plan
}
