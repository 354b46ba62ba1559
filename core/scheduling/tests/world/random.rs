//! Random clusters: small, crowded, and not always in order.

use plimsoll_menu::{Batch, Candidate, ClassName, Fit};
use plimsoll_scheduling::{
    Budget, BudgetUnit, Elasticity, Job, Mode, MoveRules, NamespaceQuota, Node, NodeExpression, Queue, Reason,
    Reclaims, Resources, Share, Standing, Taint, Takes, Target, Toleration,
};
use proptest::prelude::*;

use super::{
    GIB, World, allocation, at, candidate, counted, job, namespace_quota, node, queue, resources, running, shape,
    snapshot,
};

const ZONE: &str = "topology.kubernetes.io/zone";

fn class() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just("t4"), 1 => Just("h100")]
}

fn nodes() -> impl Strategy<Value = Vec<Node>> {
    let others = prop_oneof![4 => Just(0_u32), 1 => Just(1), 1 => Just(2)];
    let one = (class(), 1_u32..=4, others, 6_u64..48, 0_u8..10, prop::option::of(0_u8..2), 0_u8..8);
    prop::collection::vec(one, 0..14).prop_map(|all| {
        let build = |(index, (class, gpus, others, cpus, open, zone, tainted))| {
            let mut node = node(&format!("n{index}"), class, gpus);
            node.gpus_held_by_others = others;
            node.allocatable = Resources { ephemeral_bytes: 3 * cpus, ..resources(cpus, 2 * cpus, 6 + cpus % 4) };
            node.held_by_others = resources(2, 2, 5);
            node.open = open > 0;
            if let Some(zone) = zone {
                node.labels.insert(ZONE.into(), format!("z{zone}"));
            }
            node.partitioned = tainted == 1 && index % 2 == 0;
            if tainted == 0 {
                let effect = "NoSchedule".to_owned();
                node.taints = vec![Taint { key: "nvidia.com/gpu".into(), value: "present".into(), effect }];
            }
            node
        };
        all.into_iter().enumerate().map(build).collect()
    })
}

/// A share of a class in a tree: nominal, borrowing limit, lending limit.
fn share(most: u32) -> impl Strategy<Value = Share> {
    let limit = || prop::option::of(0_u32..6);
    (0..most, limit(), limit()).prop_map(|(nominal, borrowing_limit, lending_limit)| Share {
        nominal,
        borrowing_limit,
        lending_limit,
    })
}

/// One queue that is free, one that is tight, one that is private, and a small tree that lends and borrows.
fn queues() -> impl Strategy<Value = Vec<Queue>> {
    let flags = any::<(bool, bool, bool, bool)>();
    let history = (0_u32..100_000, prop_oneof![Just(1.0), Just(2.0), Just(0.0)]);
    let branch = || (share(9), share(4), 0_u8..12, any::<bool>());
    let tree = (branch(), branch(), (share(5), share(3)), flags, history);
    (0_u32..16, 0_u32..6, prop::option::of(0_u32..2), tree).prop_map(|(t4, h100, moves, tree)| {
        let mut tight = queue("tight", Some(&[("t4", t4), ("h100", h100)]));
        tight.moves_per_job_hour = moves;
        let mut private = queue("private", None);
        private.namespaces = Some(vec!["ns".into()]);
        let (left, right, above, (takes, any, nested, broke), (seconds, weight)) = tree;
        let shares = |t4, h100| Some([(ClassName::new("t4"), t4), (ClassName::new("h100"), h100)].into());
        let branch = |name: &str, (t4, h100, kind, lower): (Share, Share, u8, bool), parent: &str| {
            let mut branch = Queue { parent: Some(parent.into()), ..queue(name, None) };
            if kind > 1 {
                branch.classes = shares(t4, h100);
            }
            if lower {
                branch.preemption.reclaim = Reclaims::LowerPriority;
            }
            branch
        };
        let mut left = branch("left", left, "above");
        if !takes {
            left.preemption.within_queue = Takes::Never;
        }
        if !any {
            left.preemption.reclaim = Reclaims::Never;
        }
        left.weight = weight;
        left.usage = [(ClassName::new("t4"), f64::from(seconds))].into();
        left.usage_at = Some(at(90_000));
        let right = branch("right", right, if nested { "left" } else { "above" });
        let mut above = Queue { classes: shares(above.0, above.1), ..queue("above", None) };
        let (unit, period_ends) = (BudgetUnit::GpuHours, at(if broke { 200_000 } else { 1000 }));
        if seconds % 3 == 0 {
            above.budgets =
                vec![Budget { unit, limit: 10.0, used: if seconds % 2 == 0 { 10.0 } else { 9.0 }, period_ends }];
        }
        vec![queue("q", None), tight, private, left, right, above]
    })
}

/// None in half of the clusters; else one of devices and one of everything else, in either namespace.
fn namespace_quotas() -> impl Strategy<Value = Vec<NamespaceQuota>> {
    let limit = |most: u64| (0..most, prop_oneof![3 => Just(0_u64), 1 => 0..4_u64]);
    let one = (any::<bool>(), limit(24), limit(12), limit(60), limit(80)).prop_map(|(other, gpus, pods, cpus, gib)| {
        let mut devices = namespace_quota("devices", &[("requests.nvidia.com/gpu", gpus.0, gpus.1)]);
        let mut rest = namespace_quota(
            "rest",
            &[
                ("pods", pods.0, pods.1),
                ("requests.cpu", 1000 * cpus.0, 1000 * cpus.1),
                ("limits.memory", GIB * gib.0, GIB * gib.1),
                ("requests.example.com/link", 0, 0),
            ],
        );
        if other {
            devices.namespace = "other".into();
            rest.namespace = "other".into();
        }
        vec![devices, rest]
    });
    prop_oneof![1 => Just(Vec::new()), 1 => one]
}

fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let one = (class(), 1_u32..=3, 1_u32..=4, 1_u32..40, any::<bool>(), any::<bool>(), 1_u32..=2);
    prop::collection::vec(one, 0..7).prop_map(|all| {
        let build = |(class, pods, gpus, tenths, in_band, tight, micro)| {
            let mut candidate = candidate(shape(class, pods, gpus), f64::from(tenths) / 10.0, in_band);
            candidate.batch = Batch { micro, accumulation: 2 / micro, global: 2 * pods * gpus };
            candidate.fit = if tight { Fit::Tight } else { Fit::Fits };
            candidate
        };
        all.into_iter().map(build).collect()
    })
}

#[derive(Clone, Debug)]
struct Draw {
    candidates: Vec<Candidate>,
    queue: &'static str,
    order: (i32, i64),
    mode: Mode,
    elasticity: Elasticity,
    needs: (u64, u64, u8),
    standing: u8,
    held: (Vec<Candidate>, usize, usize),
    flags: (bool, bool, bool),
    restart: u32,
    remaining: Option<u64>,
}

fn draws() -> impl Strategy<Value = Draw> {
    let who = (
        candidates(),
        prop_oneof![
            7 => Just("q"), 5 => Just("tight"), 2 => Just("private"), 1 => Just("missing"),
            5 => Just("left"), 5 => Just("right"), 1 => Just("above"),
        ],
        (0..3, 0_i64..4),
        prop_oneof![1 => Just(Mode::Off), 1 => Just(Mode::Initial), 4 => Just(Mode::Auto)],
        prop_oneof![1 => Just(Elasticity::Fixed), 1 => Just(Elasticity::Moldable), 3 => Just(Elasticity::Elastic)],
    );
    let how = (
        (0_u64..6, 0_u64..4, 0_u8..12),
        0_u8..14,
        (candidates(), 0_usize..8, 0_usize..8),
        any::<(bool, bool, bool)>(),
        0_u32..200,
        prop::option::of(0_u64..5000),
    );
    (who, how).prop_map(
        |((candidates, queue, order, mode, elasticity), (needs, standing, held, flags, restart, remaining))| Draw {
            candidates,
            queue,
            order,
            mode,
            elasticity,
            needs,
            standing,
            held,
            flags,
            restart,
            remaining,
        },
    )
}

fn build_job(index: usize, draw: Draw, nodes: &[Node]) -> Job {
    let mut job = job(&format!("j{index}"), draw.order.1, draw.candidates);
    job.priority = draw.order.0;
    job.key.namespace = if index.is_multiple_of(4) { "other" } else { "ns" }.into();
    job.queue = draw.queue.into();
    (job.mode, job.elasticity) = (draw.mode, draw.elasticity);
    let (base, per_gpu, kind) = draw.needs;
    job.needs.base = Resources { ephemeral_bytes: 10 * per_gpu, ..resources(base, 2, 1) };
    job.needs.per_gpu = resources(per_gpu, base, 0);
    let expression = |key: &str, operator: &str, value: &str| NodeExpression {
        key: key.into(),
        field: key == "metadata.name",
        operator: operator.into(),
        values: vec![value.into()],
    };
    match kind {
        0 => {
            job.needs.node_selector.insert(ZONE.into(), "z0".into());
        }
        1 => job.needs.node_terms = vec![vec![expression(ZONE, "NotIn", "z0")]],
        2 => job.needs.node_terms = vec![vec![expression("metadata.name", "NotIn", "n1")]],
        3 | 4 => {
            let (key, operator) = ("nvidia.com/gpu".into(), "Exists".into());
            job.needs.tolerations = vec![Toleration { key, operator, value: String::new(), effect: String::new() }];
        }
        _ => {}
    }
    match kind {
        5 => job.topology.required = Some(ZONE.into()),
        6 => job.topology.preferred = Some(ZONE.into()),
        _ => {}
    }
    job = match index % 3 {
        0 => counted(job, &["devices"]),
        1 => counted(job, &["devices", "rest", "gone"]),
        _ => job,
    };
    job.preemptible = !draw.restart.is_multiple_of(5);
    if draw.restart.is_multiple_of(7) {
        job.waiting_since = Some(at(10_000 + i64::from(draw.restart)));
    }
    job.restart_seconds = f64::from(draw.restart);
    job.remaining_steps = draw.remaining;
    if draw.standing < 6 {
        return job;
    }
    if draw.standing == 6 {
        job.standing = Standing::Held { reason: Reason::BackoffAfterFailure, message: "12 s to go".into() };
        return job;
    }

    // What it holds: a candidate of its menu, or of another.
    let (others, first, second) = draw.held;
    let offered: Vec<Candidate> = job.menu.candidates.iter().chain(&others).cloned().collect();
    let pick = |seed: usize| -> Option<(Candidate, Vec<String>)> {
        let candidate = offered.get(seed % offered.len().max(1))?;
        let mut fitting: Vec<String> =
            nodes.iter().filter(|node| node.class == candidate.shape.class).map(|node| node.name.clone()).collect();
        let start = seed.min(fitting.len());
        fitting.rotate_left(start);
        fitting.truncate(candidate.shape.pods as usize);
        (fitting.len() == candidate.shape.pods as usize).then(|| (candidate.clone(), fitting))
    };
    let Some((held, on)) = pick(first) else { return job };
    let on: Vec<&str> = on.iter().map(String::as_str).collect();
    // Corrected menus often end with what runs now, and begin with another cut of its batch.
    if first % 2 == 0 {
        job.menu.candidates.push(Candidate { in_band: false, ..held.clone() });
    }
    if first % 4 == 0 {
        let batch = Batch { micro: held.batch.accumulation, accumulation: held.batch.micro, ..held.batch };
        let mut other = Candidate { batch, fit: Fit::Fits, ..held.clone() };
        other.predicted.step_seconds *= 0.7;
        job.menu.candidates.insert(0, other);
    }
    job = running(job, &held, &on);
    let (live_batch, observed, step) = draw.flags;
    let long = first % 8 > 0;
    {
        let allocation = allocation(&mut job);
        allocation.live_batch = live_batch;
        allocation.since = at([90_000, 99_700, 80_000, 50_000, 99_701][second % 5]);
        allocation.last_move = (second == 7).then(|| at(99_900));
        allocation.observed = observed || long;
        allocation.running = live_batch || long;
        allocation.checkpoint_age_seconds = if step { f64::from(draw.restart) * 3.0 } else { 0.0 };
        allocation.step_seconds = step.then_some(held.predicted.step_seconds * 1.2);
    }
    match draw.standing {
        7 | 9 => job.standing = Standing::Leaving(allocation(&mut job).clone()),
        8 => {
            if let Some((target, nodes)) = pick(second) {
                let to = Target { shape: target.shape, nodes };
                job.standing = Standing::Moving { from: allocation(&mut job).clone(), to };
            }
        }
        _ => {}
    }
    job
}

/// A random cluster.
pub(crate) fn snapshots() -> impl Strategy<Value = World> {
    let rules = (0_u8..10, prop_oneof![Just(0.0), Just(0.1), Just(0.5)]);
    let quotas = (queues(), namespace_quotas());
    (nodes(), quotas, prop::collection::vec(draws(), 0..10), rules).prop_map(|(nodes, quotas, draws, (on, least))| {
        let jobs = draws.into_iter().enumerate().map(|(index, draw)| build_job(index, draw, &nodes)).collect();
        let mut snapshot = snapshot(nodes, jobs);
        (snapshot.queues, snapshot.namespace_quotas) = quotas;
        snapshot.rules.moves = MoveRules { enabled: on > 0, least_gain: least, ..MoveRules::default() };
        snapshot
    })
}

/// A large cluster: this many nodes of 8 devices in two classes, and jobs with menus of a dozen sizes, of which the first
/// `running` hold devices.
pub(crate) fn large(count: usize, jobs: usize, already: usize) -> World {
    let name = |index: usize| format!("node-{index:04}");
    let class = |index: usize| if index.is_multiple_of(5) { "h100" } else { "t4" };
    let nodes: Vec<Node> = (0..count).map(|index| node(&name(index), class(index), 8)).collect();
    let free: Vec<String> =
        nodes.iter().filter(|node| node.class == ClassName::new("t4")).map(|n| n.name.clone()).collect();
    let build = |index: usize| {
        let sizes = [(16, 8), (12, 8), (8, 8), (6, 8), (4, 8), (3, 8), (2, 8), (1, 8), (1, 4), (1, 2)];
        let menu = sizes.iter().flat_map(|&(pods, gpus)| {
            ["h100", "t4"].map(|class| candidate(shape(class, pods, gpus), f64::from(16 - pods + 16), pods < 2))
        });
        let menu: Vec<Candidate> = menu.skip((index % 4) * 4).collect();
        let mut job = job(&format!("job-{index:04}"), i64::try_from(index).unwrap_or(0), menu.clone());
        job.needs.node_terms = vec![vec![NodeExpression {
            key: "metadata.name".into(),
            field: true,
            operator: "NotIn".into(),
            values: vec![name(index)],
        }]];
        if index < already {
            let held = candidate(shape("t4", 2, 8), 40.0, false);
            let nodes: Vec<&str> = free[2 * index..2 * index + 2].iter().map(String::as_str).collect();
            job = running(job, &held, &nodes);
            allocation(&mut job).since = at(1000);
        }
        job
    };
    let jobs: Vec<Job> = (0..jobs).map(build).collect();
    snapshot(nodes, jobs)
}
