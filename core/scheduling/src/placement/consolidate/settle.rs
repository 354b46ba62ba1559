//! Whether everyone who leaves fits elsewhere, and where.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::{Gainer, Movable};
use crate::Job;
use crate::amounts::Amounts;
use crate::books::{Books, Footprint, Ledger};
use crate::cluster::{Cluster, Usable};
use crate::namespace_quota::charges;
use crate::placement::{Gang, When};

/// Nodes for each of those who leave, once the gang has its own: now, beside everything that is held now, and later. Who can keep
/// its nodes is not among the answers.
///
/// # Errors
/// The job that fits nowhere.
pub(super) fn settle<'m, 'a>(
    cluster: &Cluster<'a>,
    books: &Books<'a>,
    gainer: &Gainer<'_, 'a>,
    nodes: &[usize],
    lifted: &[&'m Movable<'a>],
) -> Result<Vec<(&'m Movable<'a>, Vec<usize>)>, &'a Job> {
    let mut books = books.clone();
    for other in lifted {
        books.future.release(&other.job.queue, &other.holds);
    }
    let takes = Footprint::new(cluster, gainer.job, &gainer.candidate.shape, nodes.iter().copied());
    books.future.charge(&gainer.job.queue, &takes);

    let mut order: Vec<&'m Movable<'a>> = lifted.to_vec();
    order.sort_by_key(|other| (Reverse(other.held.shape.gpus()), &other.job.key));
    let mut moves = Vec::new();
    for other in order {
        let (job, shape) = (other.job, &other.held.shape);
        // Its own devices count as free: it gives them back first. Those of others are not free yet.
        books.now.release(&job.queue, &other.holds);
        let stays = |ledger: &Ledger<'_>| other.holds.pods.iter().all(|(&node, pod)| pod.fits_in(&ledger.rooms[node]));
        if When::NowAndLater.all(&books, stays) {
            books.start(&job.queue, &other.holds);
            continue;
        }
        let holds: BTreeSet<usize> = other.holds.pods.keys().copied().collect();
        let mut usable = Usable::new(cluster, job);
        let gang = Gang {
            pod: Amounts::of_pod(&job.needs, shape.gpus_per_pod),
            pods: shape.pods,
            near: &job.topology,
            usable: usable.of_class(&shape.class),
            holds: &holds,
        };
        // New pods are counted beside whatever is over its ResourceQuota already.
        let counted = charges(cluster, job, shape);
        let allowed = When::NowAndLater.all(&books, |ledger| ledger.too_little(&counted).is_none());
        let found = gang.place(cluster, &books, When::NowAndLater).filter(|_| allowed).ok_or(job)?;
        let to = Footprint::new(cluster, job, shape, found.iter().copied());
        books.now.charge(&job.queue, &other.holds.or(&to));
        books.future.charge(&job.queue, &to);
        moves.push((other, found));
    }
    moves.sort_by(|(a, _), (b, _)| a.job.key.cmp(&b.job.key));
    Ok(moves)
}
