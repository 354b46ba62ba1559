//! The future's books while a search tries things out.

use std::collections::BTreeSet;

use super::{Keeps, Victim};
use crate::amounts::Amounts;
use crate::backfill::{Ask, Backfill, run_seconds};
use crate::books::{Books, Footprint};
use crate::cluster::Cluster;
use crate::placement::{Gang, When};
use crate::quota::Usage;

/// A gang that looks for room, in books that change.
pub(super) struct Trial<'t, 'b, 'a> {
    cluster: &'t Cluster<'a>,
    ask: &'t Ask<'b, 'a>,
    books: &'t mut Books<'a>,
    kept: &'t Backfill<'a>,
    pod: Amounts,
    /// Nodes that its pods may use.
    could: Vec<bool>,
    /// Those of them that have room for one.
    fitting: u32,
}

impl<'t, 'b, 'a> Trial<'t, 'b, 'a> {
    pub(super) fn new(
        cluster: &'t Cluster<'a>,
        ask: &'t Ask<'b, 'a>,
        books: &'t mut Books<'a>,
        kept: &'t Backfill<'a>,
    ) -> Self {
        let pod = Amounts::of_pod(&ask.job.needs, ask.candidate.shape.gpus_per_pod);
        let mut could = vec![false; cluster.nodes.len()];
        let mut fitting = 0;
        for &node in ask.usable.iter().filter(|node| cluster.nodes[**node].open) {
            could[node] = true;
            fitting += u32::from(pod.fits_in(&books.future.rooms[node]));
        }
        Self { cluster, ask, books, kept, pod, could, fitting }
    }

    pub(super) fn usage(&self) -> &Usage {
        &self.books.future.usage
    }

    pub(super) fn cluster(&self) -> &'t Cluster<'a> {
        self.cluster
    }

    /// Whether the ResourceQuotas that count a victim let it have new pods like that once its old ones are gone, and it is gone
    /// itself by the time for which its nodes are kept: with less it runs for longer.
    pub(super) fn may_become(&self, victim: &Victim<'a>, to: &Keeps<'a>) -> bool {
        let Keeps::Less { candidate, nodes } = to else { return true };
        let job = victim.job;
        let seconds = job.restart_seconds.max(0.0) + run_seconds(job, candidate);
        let pod = Amounts::of_pod(&job.needs, candidate.shape.gpus_per_pod);
        if self.kept.open_to(nodes, pod, seconds).len() < nodes.len() {
            return false;
        }
        let (left, own) = (&self.books.now.left, &victim.holds.counted);
        let to = victim.footprint(self.cluster, to);
        to.counted.iter().all(|(line, charge)| *charge <= left[*line] + own.get(line).copied().unwrap_or(0))
    }

    /// A victim is left with something else than before.
    pub(super) fn change(&mut self, victim: &Victim<'a>, from: &Keeps<'a>, to: &Keeps<'a>) {
        let (from, to) = (victim.footprint(self.cluster, from), victim.footprint(self.cluster, to));
        self.fitting -= self.count(&from, &to);
        self.books.future.release(&victim.job.queue, &from);
        self.books.future.charge(&victim.job.queue, &to);
        self.fitting += self.count(&from, &to);
    }

    /// Nodes of either that have room for a pod.
    fn count(&self, from: &Footprint<'a>, to: &Footprint<'a>) -> u32 {
        let fits = |node: usize| self.could[node] && self.pod.fits_in(&self.books.future.rooms[node]);
        let also = to.pods.keys().filter(|node| !from.pods.contains_key(node));
        from.pods.keys().chain(also).map(|node| u32::from(fits(*node))).sum()
    }

    /// Whether the gang fits whole.
    pub(super) fn fits(&self) -> bool {
        let Self { cluster, ask, books, pod, fitting, .. } = self;
        let (shape, queue) = (&ask.candidate.shape, cluster.tree.queue(ask.place));
        let holds = BTreeSet::new();
        let gang = Gang { pod: *pod, pods: shape.pods, near: &ask.job.topology, usable: ask.usable, holds: &holds };
        *fitting >= shape.pods
            && books.future.quota_allows(queue, &shape.class, shape.gpus())
            && books.future.too_little(ask.charges).is_none()
            && gang.place(cluster, books, When::Later).is_some()
    }
}
