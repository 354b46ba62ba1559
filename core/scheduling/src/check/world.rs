//! The cluster as it is and as the plan makes it, counted again from scratch.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use plimsoll_menu::{ClassName, Shape};

use super::Violation;
use super::namespace_quota::{Limit, counts};
use crate::{Action, Job, JobKey, Node, Plan, PodNeeds, Queue, Resources, Snapshot, Standing};

/// Devices, CPU, memory, ephemeral storage, pods.
pub(super) type Amount = [i128; 5];

const RESOURCES: [&str; 5] = ["GPUs", "thousandths of a CPU", "bytes of memory", "bytes of ephemeral storage", "pods"];

/// What a gang holds.
pub(super) struct Claim<'a> {
    shape: &'a Shape,
    nodes: &'a [String],
}

/// Which claims of a job count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    /// None.
    Nothing,
    /// What it holds already.
    Before,
    /// What it holds and what it is promised, the larger of both on each node.
    Both,
    /// What it will hold in the end.
    After,
}

/// Totals by node, by queue and class, and by limit of a namespace.
pub(super) struct Totals<'a> {
    pub(super) nodes: BTreeMap<&'a str, Amount>,
    pub(super) queues: BTreeMap<(&'a str, &'a ClassName), i128>,
    pub(super) namespaces: BTreeMap<Limit<'a>, i128>,
}

/// The snapshot and the plan, by name.
pub(super) struct World<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) nodes: BTreeMap<&'a str, &'a Node>,
    actions: BTreeMap<&'a JobKey, &'a Action>,
}

impl<'a> World<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, plan: &'a Plan) -> Self {
        Self {
            snapshot,
            nodes: snapshot.nodes.iter().map(|node| (node.name.as_str(), &**node)).collect(),
            actions: plan.decisions.iter().map(|decision| (&decision.job, &decision.action)).collect(),
        }
    }

    /// Every job with its action.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&'a Job, &'a Action)> {
        self.snapshot.jobs.iter().filter_map(|job| Some((&**job, *self.actions.get(&job.key)?)))
    }

    pub(super) fn queue(&self, name: &str) -> Option<&'a Queue> {
        self.snapshot.queues.get(name).map(|queue| &**queue)
    }

    /// What a job holds before the plan and after it.
    fn claims(&self, job: &'a Job) -> (Option<Claim<'a>>, Option<Claim<'a>>) {
        let before = match &job.standing {
            Standing::Held { .. } | Standing::Waiting => None,
            Standing::Placed(held) | Standing::Leaving(held) | Standing::Moving { from: held, .. } => {
                Some(Claim { shape: &held.shape, nodes: &held.nodes })
            }
        };
        let after = match (self.actions.get(&job.key), &job.standing) {
            (Some(Action::Start { candidate, nodes } | Action::Move { candidate, nodes, .. }), _) => {
                Some(Claim { shape: &candidate.shape, nodes })
            }
            (_, Standing::Moving { to, .. }) => Some(Claim { shape: &to.shape, nodes: &to.nodes }),
            (_, Standing::Placed(held)) => Some(Claim { shape: &held.shape, nodes: &held.nodes }),
            _ => None,
        };
        (before, after)
    }

    /// What all jobs hold; `count` says which claims of each job count.
    pub(super) fn totals(&self, count: impl Fn(&Job, &Action) -> Count) -> Totals<'a> {
        let mut totals = Totals { nodes: BTreeMap::new(), queues: BTreeMap::new(), namespaces: BTreeMap::new() };
        for (&name, &node) in &self.nodes {
            totals.nodes.insert(name, amount(node.gpus_held_by_others, &node.held_by_others));
        }
        for quota in self.snapshot.namespace_quotas.iter() {
            for (resource, limit) in &quota.limits {
                totals.namespaces.insert((&quota.namespace, &quota.name, resource), limit.held_by_others.into());
            }
        }
        for (job, action) in self.pairs() {
            let (before, after) = self.claims(job);
            let claims: Vec<Claim<'a>> = match count(job, action) {
                Count::Nothing => Vec::new(),
                // A job that is moving already holds its target, too.
                Count::Before if matches!(job.standing, Standing::Moving { .. }) => {
                    before.into_iter().chain(after).collect()
                }
                Count::Before => before.into_iter().collect(),
                Count::Both => before.into_iter().chain(after).collect(),
                Count::After => after.into_iter().collect(),
            };
            let mut on_nodes: BTreeMap<&str, Amount> = BTreeMap::new();
            let mut of_class: BTreeMap<&ClassName, i128> = BTreeMap::new();
            let mut in_namespace: BTreeMap<Limit<'a>, i128> = BTreeMap::new();
            for claim in &claims {
                let gpus = i128::from(claim.shape.pods) * i128::from(claim.shape.gpus_per_pod);
                let most = of_class.entry(&claim.shape.class).or_default();
                *most = gpus.max(*most);
                for (limit, count) in counts(self, job, claim.shape) {
                    let most = in_namespace.entry(limit).or_default();
                    *most = count.max(*most);
                }
                let pod = pod_amount(&job.needs, claim.shape.gpus_per_pod);
                for node in claim.nodes {
                    let most = on_nodes.entry(node).or_default();
                    for (most, pod) in most.iter_mut().zip(pod) {
                        *most = pod.max(*most);
                    }
                }
            }
            for (node, pod) in on_nodes {
                if let Some(total) = totals.nodes.get_mut(node) {
                    for (total, pod) in total.iter_mut().zip(pod) {
                        *total += pod;
                    }
                }
            }
            for (limit, count) in in_namespace {
                *totals.namespaces.entry(limit).or_default() += count;
            }
            for (class, gpus) in of_class {
                *totals.queues.entry((&job.queue, class)).or_default() += gpus;
            }
        }
        totals
    }

    /// Nodes on which the plan adds to what is held, beyond what they offer. What reality holds too much is no plan's
    /// fault.
    pub(super) fn over_committed(&self) -> Vec<Violation> {
        let before = self.totals(|_, _| Count::Before);
        let both = self.totals(|_, _| Count::Both);
        let mut violations = Vec::new();
        for (&name, &node) in &self.nodes {
            let offered = amount(node.gpus, &node.allocatable);
            for (index, resource) in RESOURCES.into_iter().enumerate() {
                let (was, promised, offered) = (before.nodes[name][index], both.nodes[name][index], offered[index]);
                if promised > was && promised > offered {
                    violations.push(Violation::OverCommitted { node: name.into(), resource, promised, offered });
                }
            }
        }
        violations
    }

    /// Queues that the plan gives more than they may hold.
    pub(super) fn over_quota(&self) -> Vec<Violation> {
        let before = self.totals(|_, _| Count::Before);
        let both = self.totals(|_, _| Count::Both);
        let mut violations = Vec::new();
        for (&(queue, class), &promised) in &both.queues {
            let was = before.queues.get(&(queue, class)).copied().unwrap_or(0);
            let Some(limit) = self.queue(queue).and_then(|queue| quota(queue, class)) else { continue };
            if promised > was && promised > i128::from(limit) {
                violations.push(Violation::OverQuota { queue: queue.into(), class: class.clone(), promised, limit });
            }
        }
        violations
    }
}

/// Whether `a` has its turn before `b`.
pub(super) fn goes_before(a: &Job, b: &Job) -> bool {
    let turn = |job: &Job| (Reverse(job.priority), job.arrival, job.uid.clone(), job.key.clone());
    turn(a) < turn(b)
}

/// Devices of a class that a queue may hold; `None` without a limit.
pub(super) fn quota(queue: &Queue, class: &ClassName) -> Option<u32> {
    let classes = queue.classes.as_ref()?;
    Some(classes.get(class).map_or(0, |share| share.nominal))
}

/// Everything that a pod takes.
pub(super) fn pod_amount(needs: &PodNeeds, gpus: u32) -> Amount {
    let mut pod = amount(gpus, &needs.base);
    let per_gpu = amount(0, &needs.per_gpu);
    for index in 1..4 {
        pod[index] += per_gpu[index] * i128::from(gpus);
    }
    pod[4] = pod[4].max(1);
    pod
}

/// Everything in one row.
pub(super) fn amount(gpus: u32, resources: &Resources) -> Amount {
    [
        gpus.into(),
        resources.cpu_milli.into(),
        resources.memory_bytes.into(),
        resources.ephemeral_bytes.into(),
        resources.pods.into(),
    ]
}
