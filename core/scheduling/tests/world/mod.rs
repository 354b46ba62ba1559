//! Small builders: a cluster in a few words.
#![allow(dead_code, reason = "each test binary uses its share")]

pub(crate) mod random;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use plimsoll_menu::{Batch, Candidate, ClassName, Fit, Layout, LoadLine, Menu, Prediction, Shape};
use plimsoll_scheduling::check::check;
use plimsoll_scheduling::{
    Action, Allocation, Class, Counted, Elasticity, Job, JobKey, Mode, NamespaceQuota, Node, Plan, PodNeeds, Queue,
    QuotaLimit, Resources, Rules, Share, Snapshot, Standing, Target, TopologyAsk, plan,
};

pub(crate) const GIB: u64 = 1 << 30;

pub(crate) fn now() -> Timestamp {
    at(100_000)
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

pub(crate) fn resources(cpus: u64, gib: u64, pods: u64) -> Resources {
    Resources { cpu_milli: cpus * 1000, memory_bytes: gib * GIB, ephemeral_bytes: 0, pods }
}

pub(crate) fn node(name: &str, class: &str, gpus: u32) -> Node {
    Node {
        name: name.into(),
        class: ClassName::new(class),
        gpus,
        gpus_held_by_others: 0,
        allocatable: resources(64, 256, 110),
        held_by_others: resources(1, 2, 5),
        open: true,
        closed_because: String::new(),
        labels: BTreeMap::new(),
        taints: Vec::new(),
        partitioned: false,
        links: Vec::new(),
        link_domain: None,
    }
}

/// Nodes `n1` to `nN` of a class.
pub(crate) fn fleet(count: usize, class: &str, gpus: u32) -> Vec<Node> {
    (1..=count).map(|index| node(&format!("n{index}"), class, gpus)).collect()
}

pub(crate) fn queue(name: &str, quota: Option<&[(&str, u32)]>) -> Queue {
    let share = |(class, gpus): &(&str, u32)| (ClassName::new(*class), Share::of(*gpus));
    Queue { classes: quota.map(|quota| quota.iter().map(share).collect()), ..Queue::unlimited(name) }
}

/// A ResourceQuota of namespace `ns`: resource, hard limit, what others hold.
pub(crate) fn namespace_quota(name: &str, limits: &[(&str, u64, u64)]) -> NamespaceQuota {
    let limit = |&(resource, hard, held_by_others): &(&str, u64, u64)| {
        (resource.to_owned(), QuotaLimit { hard, held_by_others })
    };
    NamespaceQuota { namespace: "ns".into(), name: name.into(), limits: limits.iter().map(limit).collect() }
}

/// The job, counted by ResourceQuotas: one pod each, and what it requests of CPU and memory.
pub(crate) fn counted(mut job: Job, quotas: &[&str]) -> Job {
    job.namespace_quotas = quotas.iter().map(|name| (*name).to_owned()).collect();
    let PodNeeds { base, per_gpu, .. } = &job.needs;
    let both = |base, per_gpu| Counted { base, per_gpu };
    job.counted = [
        ("pods", both(1, 0)),
        ("requests.cpu", both(base.cpu_milli, per_gpu.cpu_milli)),
        ("limits.memory", both(base.memory_bytes, 2 * per_gpu.memory_bytes)),
    ]
    .map(|(name, counted)| (name.to_owned(), counted))
    .into();
    job
}

pub(crate) fn shape(class: &str, pods: u32, gpus_per_pod: u32) -> Shape {
    Shape { class: ClassName::new(class), pods, gpus_per_pod }
}

/// A candidate with one sample per device and micro-batch; `step_seconds` and whether it is above the load line.
pub(crate) fn candidate(shape: Shape, step_seconds: f64, in_band: bool) -> Candidate {
    let gpus = shape.gpus();
    Candidate {
        layout: Layout::data_parallel(gpus),
        batch: Batch { micro: 1, accumulation: 1, global: gpus },
        predicted: Prediction {
            device_memory_bytes: 8 * GIB,
            step_seconds,
            sm_activity: if in_band { 0.85 } else { 0.31 },
            mfu: 0.3,
        },
        fit: Fit::Fits,
        in_band,
        efficient: false,
        shape,
    }
}

pub(crate) fn job(name: &str, arrival: i64, candidates: Vec<Candidate>) -> Job {
    Job {
        key: JobKey { namespace: "ns".into(), name: name.into() },
        uid: format!("uid-{name}"),
        queue: "q".into(),
        priority: 0,
        arrival: at(arrival),
        mode: Mode::Auto,
        elasticity: Elasticity::Elastic,
        menu: Menu { candidates, rejected: Vec::new() },
        needs: PodNeeds { base: resources(1, 1, 1), per_gpu: resources(1, 4, 0), ..PodNeeds::default() },
        namespace_quotas: Default::default(),
        counted: Default::default(),
        standing: Standing::Waiting,
        restart_seconds: 60.0,
        remaining_steps: None,
        waiting_since: None,
        weight: 1.0,
        deadline: None,
        topology: TopologyAsk::default(),
        preemptible: true,
    }
}

/// A job that runs as this candidate, long enough to be moved.
pub(crate) fn running(mut job: Job, held: &Candidate, nodes: &[&str]) -> Job {
    job.standing = Standing::Placed(Allocation {
        revision: 1,
        shape: held.shape.clone(),
        layout: held.layout,
        batch: held.batch,
        nodes: nodes.iter().map(|node| (*node).to_owned()).collect(),
        since: at(90_000),
        running: true,
        observed: true,
        step_seconds: Some(held.predicted.step_seconds),
        live_batch: false,
        moves_last_hour: 0,
        last_move: None,
        checkpoint_age_seconds: 0.0,
    });
    job
}

pub(crate) fn allocation(job: &mut Job) -> &mut Allocation {
    match &mut job.standing {
        Standing::Placed(held) | Standing::Leaving(held) | Standing::Moving { from: held, .. } => held,
        other => unreachable!("not placed: {other:?}"),
    }
}

/// A snapshot in the making: lists that a test can change.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct World {
    pub(crate) classes: Vec<Class>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) topology: Vec<String>,
    pub(crate) queues: Vec<Queue>,
    pub(crate) namespace_quotas: Vec<NamespaceQuota>,
    pub(crate) jobs: Vec<Job>,
    pub(crate) rules: Rules,
}

impl World {
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            classes: self.classes.iter().cloned().collect(),
            nodes: self.nodes.iter().cloned().collect(),
            topology: self.topology.clone(),
            queues: self.queues.iter().cloned().collect(),
            namespace_quotas: self.namespace_quotas.iter().cloned().collect(),
            jobs: self.jobs.iter().cloned().collect(),
            rules: self.rules,
            ..Snapshot::default()
        }
    }
}

pub(crate) fn snapshot(nodes: Vec<Node>, jobs: Vec<Job>) -> World {
    let names: std::collections::BTreeSet<ClassName> = nodes.iter().map(|node| node.class.clone()).collect();
    let class = |name| Class {
        name,
        resource: "nvidia.com/gpu".into(),
        line: LoadLine::DEFAULT,
        price_per_hour: None,
        watts: None,
    };
    World {
        classes: names.into_iter().map(class).collect(),
        nodes,
        queues: vec![queue("q", None)],
        namespace_quotas: Vec::new(),
        jobs,
        topology: Snapshot::default().topology,
        rules: Rules::default(),
    }
}

/// Plans, and has the plan inspected.
pub(crate) fn lawful(world: &World) -> Plan {
    let snapshot = world.snapshot();
    let plan = plan(&snapshot, now());
    let violations: Vec<String> = check(&snapshot, &plan, now()).iter().map(ToString::to_string).collect();
    assert!(violations.is_empty(), "{violations:#?}\n{plan:#?}");
    plan
}

pub(crate) fn action<'p>(plan: &'p Plan, name: &str) -> &'p Action {
    let found = plan.decisions.iter().find(|decision| decision.job.name == name);
    &found.expect("the job has a decision").action
}

pub(crate) fn nodes_of<'p>(plan: &'p Plan, name: &str) -> Vec<&'p str> {
    match action(plan, name) {
        Action::Start { nodes, .. } | Action::Move { nodes, .. } => nodes.iter().map(String::as_str).collect(),
        other => unreachable!("{name} is not placed: {other:?}"),
    }
}

/// The reason and message of a job that waits.
pub(crate) fn wait(plan: &Plan, name: &str) -> (String, String) {
    match action(plan, name) {
        Action::Wait { reason, message, .. } => (reason.to_string(), message.clone()),
        other => unreachable!("{name} does not wait: {other:?}"),
    }
}

/// The snapshot after the plan was carried out; moves are under way.
pub(crate) fn apply(mut snapshot: World, plan: &Plan) -> World {
    for job in &mut snapshot.jobs {
        let decision = plan.decisions.iter().find(|decision| decision.job == job.key).expect("every job is decided");
        match (&decision.action, &mut job.standing) {
            (Action::Start { candidate, nodes }, standing) => {
                *standing = Standing::Placed(Allocation {
                    revision: 1,
                    shape: candidate.shape.clone(),
                    layout: candidate.layout,
                    batch: candidate.batch,
                    nodes: nodes.clone(),
                    since: now(),
                    running: false,
                    observed: false,
                    step_seconds: None,
                    live_batch: false,
                    moves_last_hour: 0,
                    last_move: None,
                    checkpoint_age_seconds: 0.0,
                });
            }
            (Action::Move { candidate, nodes, .. }, Standing::Placed(held)) => {
                let to = Target { shape: candidate.shape.clone(), nodes: nodes.clone() };
                job.standing = Standing::Moving { from: held.clone(), to };
            }
            (Action::Preempt { .. }, Standing::Placed(held)) => {
                job.standing = Standing::Leaving(held.clone());
            }
            (Action::LiveBatch { batch, .. }, Standing::Placed(held)) => {
                held.batch = *batch;
                held.last_move = Some(now());
            }
            _ => {}
        }
    }
    snapshot
}
