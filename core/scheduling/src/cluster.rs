//! The snapshot, indexed and in a total order, so that nothing below depends on the order of its lists.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use plimsoll_menu::{Candidate, ClassName, Shape};

use crate::admits::admits;
use crate::amounts::Amounts;
use crate::namespace_quota::NamespaceQuotas;
use crate::placement::{Targets, Topology, admits_devices};
use crate::quota::Tree;
use crate::{Class, Job, JobKey, Node, Queue, Sizes, Snapshot};

/// The snapshot, indexed.
pub(crate) struct Cluster<'a> {
    /// By name.
    pub(crate) nodes: Vec<&'a Node>,
    /// In the order in which they are looked at.
    pub(crate) jobs: Vec<&'a Job>,
    /// ResourceQuotas.
    pub(crate) quotas: NamespaceQuotas<'a>,
    /// Queues.
    pub(crate) tree: Arc<Tree<'a>>,
    /// Where nodes stand.
    pub(crate) topology: Topology<'a>,
    /// What is expected on nodes of each class.
    pub(crate) targets: Targets<'a>,
    classes: BTreeMap<&'a ClassName, &'a Class>,
    by_name: BTreeMap<&'a str, usize>,
    by_class: BTreeMap<&'a ClassName, Vec<usize>>,
    aims: BTreeMap<&'a JobKey, &'a Candidate>,
}

impl<'a> Cluster<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot) -> Self {
        let Snapshot { version: _, classes, nodes, topology, queues, namespace_quotas, jobs, rules: _, sizes: _ } =
            snapshot;
        let nodes: Vec<&Node> = nodes.iter().map(Arc::as_ref).collect();
        let mut jobs: Vec<&Job> = jobs.iter().map(Arc::as_ref).collect();
        jobs.sort_by_key(|job| turn(job));
        let mut by_class: BTreeMap<&ClassName, Vec<usize>> = BTreeMap::new();
        for (index, node) in nodes.iter().enumerate() {
            by_class.entry(&node.class).or_default().push(index);
        }
        Self {
            by_name: nodes.iter().enumerate().map(|(index, node)| (node.name.as_str(), index)).collect(),
            quotas: NamespaceQuotas::new(namespace_quotas),
            tree: Arc::new(Tree::new(queues.iter().map(Arc::as_ref), by_class.keys().copied())),
            classes: classes.iter().map(|class| (&class.name, &**class)).collect(),
            topology: Topology::new(topology, &nodes),
            targets: Targets::new(&nodes, &jobs),
            aims: BTreeMap::new(),
            by_class,
            nodes,
            jobs,
        }
    }

    /// Takes in which size each job should have.
    pub(crate) fn aim(&mut self, sizes: &Sizes) {
        for &job in &self.jobs {
            let Some(shape) = sizes.jobs.get(&job.key).and_then(|size| size.shape.as_ref()) else { continue };
            let of_shape = job.menu.candidates.iter().filter(|candidate| candidate.shape == *shape);
            let seconds = |candidate: &&Candidate| candidate.predicted.step_seconds;
            let best = of_shape.min_by(|a, b| b.in_band.cmp(&a.in_band).then(seconds(a).total_cmp(&seconds(b))));
            if let Some(candidate) = best {
                self.aims.insert(&job.key, candidate);
            }
        }
    }

    /// The candidate that a job should run as.
    pub(crate) fn aim_of(&self, job: &JobKey) -> Option<&'a Candidate> {
        self.aims.get(job).copied()
    }

    pub(crate) fn queue(&self, name: &str) -> Option<&'a Queue> {
        self.tree.place(name).map(|place| self.tree.queue(place))
    }

    /// Devices of a class that jobs of a queue may ever hold; `None` without a limit.
    pub(crate) fn most(&self, queue: &Queue, class: &ClassName) -> Option<u32> {
        self.tree.place(&queue.name).and_then(|place| self.tree.most(place, self.tree.column(class)))
    }

    pub(crate) fn class(&self, name: &ClassName) -> Option<&'a Class> {
        self.classes.get(name).copied()
    }

    pub(crate) fn node(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// Nodes of a class, by name.
    pub(crate) fn of_class(&self, class: &ClassName) -> &[usize] {
        self.by_class.get(class).map_or(&[], Vec::as_slice)
    }

    /// Classes that have nodes, with them, in order.
    pub(crate) fn classes_with_nodes(&self) -> impl Iterator<Item = (&'a ClassName, &[usize])> {
        self.by_class.iter().map(|(class, nodes)| (*class, nodes.as_slice()))
    }

    /// Devices of a class in all.
    pub(crate) fn gpus_of_class(&self, class: &ClassName) -> u32 {
        self.of_class(class).iter().map(|&index| self.nodes[index].gpus).sum()
    }
}

/// When a job has its turn: higher priority first, then earlier arrival, then smaller UID; the key breaks the ties of
/// objects that share a UID, which the apiserver does not allow.
pub(crate) fn turn(job: &Job) -> (Reverse<i32>, Timestamp, &str, &JobKey) {
    (Reverse(job.priority), job.arrival, &job.uid, &job.key)
}

/// The nodes that the pods of one job, or of one kind of jobs, may use, whatever is free there; worked out once per class.
pub(crate) struct Usable<'c, 'a> {
    cluster: &'c Cluster<'a>,
    job: &'a Job,
    by_class: BTreeMap<&'a ClassName, Vec<usize>>,
    could_hold: BTreeMap<(&'a ClassName, u32, bool), u32>,
}

impl<'c, 'a> Usable<'c, 'a> {
    pub(crate) fn new(cluster: &'c Cluster<'a>, job: &'a Job) -> Self {
        Self { cluster, job, by_class: BTreeMap::new(), could_hold: BTreeMap::new() }
    }

    /// By name, closed nodes too.
    pub(crate) fn of_class(&mut self, class: &'a ClassName) -> &[usize] {
        let Self { cluster, job, by_class, could_hold: _ } = self;
        by_class.entry(class).or_insert_with(|| {
            let nodes = cluster.of_class(class).iter().copied();
            nodes.filter(|&index| admits(cluster.nodes[index], &job.needs)).collect()
        })
    }

    /// How many nodes could hold a pod of this shape if nobody else were there, closed nodes too: they may open again. Those of the
    /// domain with the most of them, where the job requires one.
    pub(crate) fn that_could_hold(&mut self, shape: &'a Shape) -> u32 {
        let key = (&shape.class, shape.gpus_per_pod, shape.pods > 1);
        if let Some(&count) = self.could_hold.get(&key) {
            return count;
        }
        let pod = Amounts::of_pod(&self.job.needs, shape.gpus_per_pod);
        let (cluster, near) = (self.cluster, &self.job.topology);
        let usable = self.of_class(&shape.class);
        let could = |index: &usize| {
            let node = cluster.nodes[*index];
            pod.fits_in(&Amounts::offered(node)) && admits_devices(node, shape.pods, shape.gpus_per_pod)
        };
        let count = cluster.topology.most_together(near, usable.iter().copied().filter(could));
        self.could_hold.insert(key, count);
        count
    }
}
