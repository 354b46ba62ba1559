//! The cluster as it is and as the plan makes it, counted again from scratch.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use plimsoll_menu::{Candidate, ClassName, Shape};

use super::Violation;
use super::namespace_quota::{Limit, counts};
use super::order::positions;
use super::queues::Queues;
use crate::{
    Action, Job, JobKey, NamespaceQuota, Node, Plan, PodNeeds, Queue, Resources, Snapshot, Standing, TopologyAsk,
};

/// Devices, CPU, memory, ephemeral storage, pods.
pub(super) type Amount = [i128; 5];

const RESOURCES: [&str; 5] = ["GPUs", "thousandths of a CPU", "bytes of memory", "bytes of ephemeral storage", "pods"];

/// What a gang holds.
#[derive(Clone, Copy)]
pub(super) struct Claim<'a> {
    pub(super) shape: &'a Shape,
    pub(super) nodes: &'a [String],
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
#[derive(Clone)]
pub(super) struct Totals<'a> {
    pub(super) nodes: BTreeMap<&'a str, Amount>,
    pub(super) queues: BTreeMap<(&'a str, &'a ClassName), i128>,
    pub(super) namespaces: BTreeMap<Limit<'a>, i128>,
}

/// The snapshot and the plan, by name.
pub(super) struct World<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) plan: &'a Plan,
    pub(super) now: Timestamp,
    pub(super) nodes: BTreeMap<&'a str, &'a Node>,
    pub(super) of_class: BTreeMap<&'a ClassName, Vec<&'a Node>>,
    pub(super) queues: Queues<'a>,
    actions: BTreeMap<&'a JobKey, &'a Action>,
    /// Whose turn it was when, of all that waited.
    turns: BTreeMap<&'a JobKey, usize>,
    /// Jobs whose pods need the same, by number.
    kinds: BTreeMap<(&'a PodNeeds, &'a TopologyAsk), usize>,
    /// ResourceQuotas by namespace.
    pub(super) namespace_quotas: BTreeMap<&'a str, Vec<&'a NamespaceQuota>>,
    /// Jobs for which others are stopped.
    pub(super) gainers: BTreeSet<&'a JobKey>,
    /// How many nodes could hold a pod if they were empty, by kind, class, devices and whether it is the only one; found out once.
    pub(super) could_hold: RefCell<BTreeMap<(usize, ClassName, u32, bool), u32>>,
}

impl<'a> World<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, plan: &'a Plan, now: Timestamp) -> Self {
        let actions: BTreeMap<&JobKey, &Action> =
            plan.decisions.iter().map(|decision| (&decision.job, &decision.action)).collect();
        let queues = Queues::new(snapshot);
        let mut of_class: BTreeMap<&ClassName, Vec<&Node>> = BTreeMap::new();
        for node in snapshot.nodes.iter() {
            of_class.entry(&node.class).or_default().push(node);
        }
        let mut kinds = BTreeMap::new();
        for job in snapshot.jobs.iter() {
            let next = kinds.len();
            kinds.entry((&job.needs, &job.topology)).or_insert(next);
        }
        let mut namespace_quotas: BTreeMap<&str, Vec<&NamespaceQuota>> = BTreeMap::new();
        for quota in snapshot.namespace_quotas.iter() {
            namespace_quotas.entry(&quota.namespace).or_default().push(quota);
        }
        let gainer = |action: &&'a Action| match action {
            Action::Preempt { for_job, .. } => Some(for_job),
            _ => None,
        };
        let mut world = Self {
            gainers: actions.values().filter_map(gainer).collect(),
            namespace_quotas,
            could_hold: RefCell::default(),
            snapshot,
            plan,
            now,
            nodes: snapshot.nodes.iter().map(|node| (node.name.as_str(), &**node)).collect(),
            of_class,
            queues,
            actions,
            turns: BTreeMap::new(),
            kinds,
        };
        // What queues held at the first turn.
        let held = world.queues.held(&world.totals(|_, action| match action {
            Action::Start { .. } => Count::Nothing,
            Action::Move { .. } => Count::Before,
            _ => Count::Both,
        }));
        world.turns = positions(snapshot, &world.queues, &world.actions, held, now);
        world
    }

    /// Every job with its action.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&'a Job, &'a Action)> {
        self.snapshot.jobs.iter().filter_map(|job| Some((&**job, *self.actions.get(&job.key)?)))
    }

    /// The jobs that waited with what was decided, in the order of their turns.
    pub(super) fn in_turn(&self) -> Vec<(&'a Job, &'a Action)> {
        let mut waiting: Vec<_> = self.pairs().filter(|(job, _)| job.standing == Standing::Waiting).collect();
        waiting.sort_by_key(|(job, _)| self.turns.get(&job.key));
        waiting
    }

    /// When a job that waited had its turn.
    pub(super) fn turn(&self, job: &JobKey) -> Option<usize> {
        self.turns.get(job).copied()
    }

    pub(super) fn action(&self, job: &JobKey) -> Option<&'a Action> {
        self.actions.get(job).copied()
    }

    /// The candidate of the size that the plan says a job should have.
    pub(super) fn aim(&self, job: &'a Job) -> Option<&'a Candidate> {
        let shape = self.plan.sizes.as_ref()?.jobs.get(&job.key)?.shape.as_ref()?;
        let mut best: Option<&Candidate> = None;
        for candidate in job.menu.candidates.iter().filter(|candidate| candidate.shape == *shape) {
            let better = best.is_none_or(|best| {
                candidate.in_band && !best.in_band
                    || candidate.in_band == best.in_band
                        && candidate.predicted.step_seconds < best.predicted.step_seconds
            });
            if better {
                best = Some(candidate);
            }
        }
        best
    }

    pub(super) fn queue(&self, name: &str) -> Option<&'a Queue> {
        self.snapshot.queues.get(name).map(|queue| &**queue)
    }

    pub(super) fn kind(&self, job: &Job) -> usize {
        self.kinds.get(&(&job.needs, &job.topology)).copied().unwrap_or(usize::MAX)
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
            (Some(Action::Preempt { .. }), _) => None,
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
            self.add(&mut totals, job, count(job, action), 1);
        }
        totals
    }

    /// Adds what a job holds, or takes it away again with a `sign` of -1.
    pub(super) fn add(&self, totals: &mut Totals<'a>, job: &'a Job, count: Count, sign: i128) {
        let (before, after) = self.claims(job);
        let claims: Vec<Claim<'a>> = match count {
            Count::Nothing => Vec::new(),
            // A job that is moving already holds its target, too.
            Count::Before if matches!(job.standing, Standing::Moving { .. }) => {
                before.into_iter().chain(after).collect()
            }
            Count::Before => before.into_iter().collect(),
            Count::Both => before.into_iter().chain(after).collect(),
            Count::After => after.into_iter().collect(),
        };
        self.add_claims(totals, job, &claims, sign);
    }

    /// Adds claims of a job: the most of them on each node, of each class and at each limit.
    pub(super) fn add_claims(&self, totals: &mut Totals<'a>, job: &'a Job, claims: &[Claim<'a>], sign: i128) {
        let mut on_nodes: BTreeMap<&str, Amount> = BTreeMap::new();
        let mut of_class: BTreeMap<&ClassName, i128> = BTreeMap::new();
        let mut in_namespace: BTreeMap<Limit<'a>, i128> = BTreeMap::new();
        for claim in claims {
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
                    *total += sign * pod;
                }
            }
        }
        for (limit, count) in in_namespace {
            *totals.namespaces.entry(limit).or_default() += sign * count;
        }
        for (class, gpus) in of_class {
            *totals.queues.entry((&job.queue, class)).or_default() += sign * gpus;
        }
    }

    /// Nodes on which the plan adds to what is held, beyond what they offer. What reality holds too much is no plan's
    /// fault.
    pub(super) fn over_committed(&self, before: &Totals<'a>, both: &Totals<'a>) -> Vec<Violation> {
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
