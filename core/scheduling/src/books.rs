//! Who holds what: rooms on nodes, devices per queue and ResourceQuotas, as they are now and as they will be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plimsoll_menu::{ClassName, Shape};

use crate::amounts::Amounts;
use crate::cluster::Cluster;
use crate::namespace_quota::{Charges, charges};
use crate::placement::Rooms;
use crate::quota::{Column, Place, Tree, Usage};
use crate::{Job, JobKey, Queue, Standing};

/// What a job takes: on each node, of each class, and of its namespace's quotas.
#[derive(Clone, Debug, Default)]
pub(crate) struct Footprint<'a> {
    pub(crate) pods: BTreeMap<usize, Amounts>,
    pub(crate) gpus: BTreeMap<&'a ClassName, i64>,
    pub(crate) counted: Charges,
}

impl<'a> Footprint<'a> {
    /// A gang of `job` in this shape on these nodes.
    pub(crate) fn new(
        cluster: &Cluster<'_>,
        job: &Job,
        shape: &'a Shape,
        nodes: impl IntoIterator<Item = usize>,
    ) -> Self {
        let pod = Amounts::of_pod(&job.needs, shape.gpus_per_pod);
        Self {
            pods: nodes.into_iter().map(|node| (node, pod)).collect(),
            gpus: [(&shape.class, i64::from(shape.gpus()))].into(),
            counted: charges(cluster, job, shape),
        }
    }

    /// A gang on nodes by name; those that the snapshot does not know have no room to take.
    pub(crate) fn named(cluster: &Cluster<'_>, job: &Job, shape: &'a Shape, nodes: &[String]) -> Self {
        Self::new(cluster, job, shape, nodes.iter().filter_map(|name| cluster.node(name)))
    }

    /// Whether it counts more than another on any line of a ResourceQuota.
    pub(crate) fn counts_more_than(&self, other: &Self) -> bool {
        self.counted.iter().any(|(line, charge)| *charge > other.counted.get(line).copied().unwrap_or(0))
    }

    /// What must be kept while one gang gives its devices back and the other waits for them. A job has one pod on a node
    /// at any time, so the larger of the two is enough there.
    pub(crate) fn or(&self, other: &Self) -> Self {
        let mut both = self.clone();
        for (&node, &pod) in &other.pods {
            both.pods.entry(node).and_modify(|own| *own = own.max(pod)).or_insert(pod);
        }
        for (&class, &gpus) in &other.gpus {
            both.gpus.entry(class).and_modify(|own| *own = gpus.max(*own)).or_insert(gpus);
        }
        for (&line, &charge) in &other.counted {
            both.counted.entry(line).and_modify(|own| *own = charge.max(*own)).or_insert(charge);
        }
        both
    }
}

/// One state of the cluster.
#[derive(Clone)]
pub(crate) struct Ledger<'a> {
    /// What is left on each node.
    pub(crate) rooms: Rooms,
    /// The queues, and the devices that they hold.
    pub(crate) tree: Arc<Tree<'a>>,
    pub(crate) usage: Usage,
    /// What is left of each line of the ResourceQuotas.
    pub(crate) left: Vec<i64>,
}

impl<'a> Ledger<'a> {
    fn empty(cluster: &Cluster<'a>) -> Self {
        Self {
            rooms: Rooms::new(cluster),
            tree: Arc::clone(&cluster.tree),
            usage: cluster.tree.nothing_held(),
            left: cluster.quotas.rooms(),
        }
    }

    pub(crate) fn charge(&mut self, queue: &'a str, footprint: &Footprint<'a>) {
        for (&node, &pod) in &footprint.pods {
            self.rooms[node] = self.rooms[node].minus(pod);
        }
        self.charge_quota(queue, footprint);
        for (&line, &charge) in &footprint.counted {
            self.left[line] = self.left[line].saturating_sub(charge);
        }
    }

    pub(crate) fn release(&mut self, queue: &'a str, footprint: &Footprint<'a>) {
        for (&node, &pod) in &footprint.pods {
            self.rooms[node] = self.rooms[node].plus(pod);
        }
        self.release_quota(queue, footprint);
        for (&line, &charge) in &footprint.counted {
            self.left[line] = self.left[line].saturating_add(charge);
        }
    }

    /// Charges the queue alone: a queue that does not exist holds nothing.
    fn charge_quota(&mut self, queue: &str, footprint: &Footprint<'a>) {
        self.change_quota(queue, footprint, 1);
    }

    fn release_quota(&mut self, queue: &str, footprint: &Footprint<'a>) {
        self.change_quota(queue, footprint, -1);
    }

    fn change_quota(&mut self, queue: &str, footprint: &Footprint<'a>, sign: i64) {
        let Some(place) = self.tree.place(queue) else { return };
        for (&class, &gpus) in &footprint.gpus {
            self.tree.charge(&mut self.usage, place, self.tree.column(class), sign * gpus);
        }
    }

    /// Devices of a class that a queue holds, those that its children borrow of it included.
    pub(crate) fn held(&self, queue: &str, class: &ClassName) -> u32 {
        let place = self.tree.place(queue);
        let held = place.map_or(0, |place| self.tree.held(&self.usage, place, self.tree.column(class)));
        u32::try_from(held).unwrap_or(0)
    }

    /// Whether a queue may hold this many more devices of a class.
    pub(crate) fn quota_allows(&self, queue: &Queue, class: &ClassName, gpus: u32) -> bool {
        let Some(place) = self.tree.place(&queue.name) else { return false };
        self.allows(place, self.tree.column(class), gpus)
    }

    /// The same of a queue by its place.
    pub(crate) fn allows(&self, place: Place, column: Column, gpus: u32) -> bool {
        self.tree.available(&self.usage, place, column).is_none_or(|available| i64::from(gpus) <= available)
    }

    /// The first line of a ResourceQuota that leaves too little for these pods, and what it leaves.
    ///
    /// Unlike its queue, a namespace lets nobody hold what it may not: the apiserver counts pods anew when they are
    /// created, so a job of a namespace that holds too much cannot even move to less, unless that fits.
    pub(crate) fn too_little(&self, charges: &Charges) -> Option<(usize, i64)> {
        charges
            .iter()
            .map(|(&line, &charge)| (line, charge))
            .find(|(line, charge)| *charge > self.left[*line])
            .map(|(line, _)| (line, self.left[line]))
    }

    /// Whether a line of a ResourceQuota counts more than it allows.
    pub(crate) fn is_over(&self, line: usize) -> bool {
        self.left[line] < 0
    }

    /// Devices of a class that are free on open nodes.
    pub(crate) fn free(&self, cluster: &Cluster<'_>, class: &ClassName) -> u32 {
        let open = cluster.of_class(class).iter().filter(|&&index| cluster.nodes[index].open);
        open.map(|&index| u32::try_from(self.rooms[index].gpus).unwrap_or(0)).sum()
    }
}

/// Two states of the cluster: now, and once all that is leaving has left.
///
/// What starts is charged to both. What is kept for a job that waits is charged to the future alone: a later job must fit
/// both, so it may use what the earlier one cannot use now or then, but not what its wait would end with.
#[derive(Clone)]
pub(crate) struct Books<'a> {
    pub(crate) now: Ledger<'a>,
    pub(crate) future: Ledger<'a>,
    coming: BTreeMap<&'a ClassName, Coming<'a>>,
}

/// Devices of a class that will be given back.
#[derive(Clone, Default)]
struct Coming<'a> {
    gpus: i64,
    from: BTreeSet<&'a JobKey>,
}

impl<'a> Books<'a> {
    /// What jobs hold already.
    pub(crate) fn open(cluster: &Cluster<'a>) -> Self {
        let empty = Ledger::empty(cluster);
        let mut books = Self { now: empty.clone(), future: empty, coming: BTreeMap::new() };
        for &job in &cluster.jobs {
            let queue = job.queue.as_str();
            match &job.standing {
                Standing::Held { .. } | Standing::Waiting => {}
                Standing::Placed(allocation) => {
                    let held = Footprint::named(cluster, job, &allocation.shape, &allocation.nodes);
                    books.start(queue, &held);
                }
                Standing::Leaving(allocation) => {
                    let held = Footprint::named(cluster, job, &allocation.shape, &allocation.nodes);
                    books.now.charge(queue, &held);
                    books.count_coming(cluster, &job.key, &held, &Footprint::default());
                }
                Standing::Moving { from, to } => {
                    let from = Footprint::named(cluster, job, &from.shape, &from.nodes);
                    let to = Footprint::named(cluster, job, &to.shape, &to.nodes);
                    books.now.charge(queue, &from.or(&to));
                    books.future.charge(queue, &to);
                    books.count_coming(cluster, &job.key, &from, &to);
                }
            }
        }
        books
    }

    /// A gang starts.
    pub(crate) fn start(&mut self, queue: &'a str, footprint: &Footprint<'a>) {
        self.now.charge(queue, footprint);
        self.future.charge(queue, footprint);
    }

    /// A gang takes another's place in both states; the old one's devices are not free yet.
    pub(crate) fn replace(&mut self, cluster: &Cluster<'a>, job: &'a Job, from: &Footprint<'a>, to: &Footprint<'a>) {
        let queue = job.queue.as_str();
        self.now.release(queue, from);
        self.now.charge(queue, &from.or(to));
        self.future.release(queue, from);
        self.future.charge(queue, to);
        self.count_coming(cluster, &job.key, from, to);
    }

    /// A gang will leave another in its place, or nothing; the future's books know that already.
    pub(crate) fn gives(&mut self, cluster: &Cluster<'a>, job: &'a Job, from: &Footprint<'a>, to: &Footprint<'a>) {
        self.count_coming(cluster, &job.key, from, to);
    }

    /// Devices of a class that will be given back.
    pub(crate) fn coming(&self, class: &ClassName) -> u32 {
        self.coming.get(class).map_or(0, |coming| u32::try_from(coming.gpus).unwrap_or(0))
    }

    /// The jobs that will give back devices of a class, in order of their keys.
    pub(crate) fn coming_from(&self, class: &ClassName) -> Vec<JobKey> {
        self.coming.get(class).map_or_else(Vec::new, |coming| coming.from.iter().map(|key| (*key).clone()).collect())
    }

    fn count_coming(&mut self, cluster: &Cluster<'a>, job: &'a JobKey, from: &Footprint<'a>, to: &Footprint<'a>) {
        for (node, pod) in &from.pods {
            let kept = to.pods.get(node).map_or(0, |pod| pod.gpus);
            let gives = (pod.gpus - kept).max(0);
            if gives > 0 {
                let coming = self.coming.entry(&cluster.nodes[*node].class).or_default();
                coming.gpus += gives;
                coming.from.insert(job);
            }
        }
    }
}
