//! The step in which scattered room becomes room in one piece, for one waiting job at a time.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::amounts::Amounts;
use crate::backfill::{Backfill, run_seconds};
use crate::books::{Books, Footprint};
use crate::cluster::Cluster;
use crate::moves::may_move;
use crate::options::Options;
use crate::placement::consolidate::{Found, Gainer, Movable, search};
use crate::start::Started;
use crate::waiter::{Promise, Waiter};
use crate::{Action, Cause, JobKey, Reservation, Rules, words};

/// Waiting jobs that are looked at in one plan.
const MOST_LOOKED_AT: usize = 4;

/// Moves running jobs in their own shape so that the first job in turn that can be helped so starts after them. One at a time:
/// the next plan sees what came of it.
pub(crate) fn decide<'a>(
    cluster: &Cluster<'a>,
    books: &mut Books<'a>,
    rules: &Rules,
    now: Timestamp,
    started: &mut Started<'_, 'a>,
    actions: &mut BTreeMap<&'a JobKey, Action>,
) {
    let Started { waiters, kinds, reservations, backfill } = started;
    let may_be_helped =
        |waiter: &Waiter<'a>| !matches!(waiter.promise, Some(Promise::Coming { .. } | Promise::Preempted { .. }));
    let mut looked_at = waiters.iter_mut().filter(|waiter| may_be_helped(waiter)).take(MOST_LOOKED_AT).peekable();
    if !rules.moves.enabled || looked_at.peek().is_none() {
        return;
    }
    let movable: Vec<Movable<'a>> = cluster
        .jobs
        .iter()
        .filter(|job| !actions.contains_key(&job.key))
        .filter_map(|job| Movable::new(cluster, job))
        .filter(|other| may_move(cluster, other.job, other.held, &rules.moves, now))
        .collect();
    for waiter in looked_at {
        let Options::Some { takeable, .. } = &waiter.options else { continue };
        let wait_seconds = match waiter.promise {
            Some(Promise::Predicted { seconds }) => seconds,
            _ => rules.moves.horizon_seconds,
        };
        let found = takeable.iter().find_map(|&candidate| {
            let usable = kinds.usable(waiter.kind).of_class(&candidate.shape.class);
            search(cluster, books, &Gainer { job: waiter.job, candidate, usable, wait_seconds }, &movable)
        });
        let Some(found) = found.filter(|found| takes_nothing_that_is_kept(backfill, waiter, found, rules)) else {
            continue;
        };
        let names = |nodes: &[usize]| nodes.iter().map(|&index| cluster.nodes[index].name.clone()).collect::<Vec<_>>();
        for (other, nodes) in &found.moves {
            let holds = Footprint::named(cluster, other.job, &other.held.shape, &other.held.nodes);
            let to = Footprint::new(cluster, other.job, &other.candidate.shape, nodes.iter().copied());
            books.replace(cluster, other.job, &holds, &to);
            let message = words::makes_room(other.held, &names(nodes), waiter.job, other.job, other.lost());
            let action = Action::Move {
                candidate: other.candidate.clone(),
                nodes: names(nodes),
                cause: Cause::Consolidated,
                message,
            };
            actions.insert(&other.job.key, action);
        }
        let shape = &found.candidate.shape;
        let takes = Footprint::new(cluster, waiter.job, shape, found.nodes.iter().copied());
        books.future.charge(&waiter.job.queue, &takes);
        reservations.retain(|other| other.job != waiter.job.key);
        let nodes = names(&found.nodes);
        reservations.push(Reservation { job: waiter.job.key.clone(), shape: shape.clone(), nodes, starts_at: None });
        waiter.promise = Some(Promise::Coming { grace_seconds: rules.grace_seconds });
        return;
    }
}

/// Whether nobody ends up on nodes that are kept for others at the time for which they are kept.
fn takes_nothing_that_is_kept<'a>(
    kept: &Backfill<'a>,
    waiter: &Waiter<'a>,
    found: &Found<'_, 'a>,
    rules: &Rules,
) -> bool {
    let open = |needs, gpus, nodes: &[usize], seconds| {
        kept.open_to(nodes, Amounts::of_pod(needs, gpus), seconds).len() == nodes.len()
    };
    let gang = found.candidate;
    let seconds = run_seconds(waiter.job, gang) + rules.grace_seconds;
    kept.is_empty()
        || open(&waiter.job.needs, gang.shape.gpus_per_pod, &found.nodes, seconds)
            && found.moves.iter().all(|(other, nodes)| {
                let seconds = other.job.restart_seconds.max(0.0) + run_seconds(other.job, other.candidate);
                open(&other.job.needs, other.candidate.shape.gpus_per_pod, nodes, seconds)
            })
}
