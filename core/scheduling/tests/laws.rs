//! The laws of planning, over random clusters, and proof that the inspector sees a broken plan.

mod world;

use plimsoll_scheduling::check::{Violation, check};
use plimsoll_scheduling::{Action, Plan, Reason, Snapshot, Standing, WaitNumbers, plan};
use proptest::prelude::*;
use world::random::{large, snapshots};
use world::{World, apply, candidate, counted, job, namespace_quota, node, now, queue, running, shape, snapshot};

fn shuffled() -> impl Strategy<Value = (World, World)> {
    snapshots().prop_flat_map(|snapshot| {
        let World { classes, nodes, topology, queues, namespace_quotas, jobs, rules } = snapshot.clone();
        let lists = (
            Just(classes).prop_shuffle(),
            Just(nodes).prop_shuffle(),
            Just(queues).prop_shuffle(),
            Just(namespace_quotas).prop_shuffle(),
            Just(jobs).prop_shuffle(),
        );
        lists.prop_map(move |(classes, nodes, queues, namespace_quotas, jobs)| {
            let topology = topology.clone();
            (snapshot.clone(), World { classes, nodes, topology, queues, namespace_quotas, jobs, rules })
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_plan_is_lawful(snapshot in snapshots()) {
        let plan = plan(&snapshot.snapshot(), now());
        let violations: Vec<String> = check(&snapshot.snapshot(), &plan, now()).iter().map(ToString::to_string).collect();
        prop_assert!(violations.is_empty(), "{violations:#?}\n{plan:#?}");
    }

    #[test]
    fn what_is_carried_out_stays_and_the_next_plan_is_lawful_too(snapshot in snapshots()) {
        let first = plan(&snapshot.snapshot(), now());
        let snapshot = apply(snapshot, &first);
        let second = plan(&snapshot.snapshot(), now());
        for (before, after) in first.decisions.iter().zip(&second.decisions) {
            let done = matches!(before.action, Action::Start { .. } | Action::Move { .. } | Action::LiveBatch { .. });
            let stays = after.action == Action::Keep;
            prop_assert!(stays || !done, "{:?}\nthen {:?}", before, after);
        }
        let violations = check(&snapshot.snapshot(), &second, now());
        prop_assert!(violations.is_empty(), "{violations:#?}");
    }

    #[test]
    fn the_order_of_lists_does_not_matter((snapshot, shuffled) in shuffled()) {
        prop_assert_eq!(plan(&snapshot.snapshot(), now()), plan(&shuffled.snapshot(), now()));
    }

    #[test]
    fn a_snapshot_and_its_plan_survive_json(world in snapshots()) {
        let snapshot = world.snapshot();
        let json = serde_json::to_string(&snapshot).expect("a snapshot is JSON");
        let read: Snapshot = serde_json::from_str(&json).expect("it reads back");
        prop_assert_eq!(&read, &snapshot);
        prop_assert_eq!(serde_json::to_string(&read).expect("a snapshot is JSON"), json);
        let first = plan(&snapshot, now());
        let json = serde_json::to_string(&first).expect("a plan is JSON");
        let read: Plan = serde_json::from_str(&json).expect("it reads back");
        prop_assert_eq!(&read, &first);
        prop_assert_eq!(serde_json::to_string(&plan(&snapshot, now())).expect("a plan is JSON"), json);
    }
}

#[test]
fn random_clusters_are_not_trivial() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = std::collections::BTreeMap::new();
    for _ in 0..4000 {
        let snapshot = snapshots().new_tree(&mut runner).expect("a snapshot").current();
        let plan = plan(&snapshot.snapshot(), now());
        let timed = plan.reservations.iter().filter(|reservation| reservation.starts_at.is_some()).count();
        *seen.entry("reservation of a predicted end".to_owned()).or_insert(0) += timed;
        for decision in plan.decisions {
            let word = match decision.action {
                Action::Keep => "Keep".to_owned(),
                Action::Start { .. } => "Start".to_owned(),
                Action::Move { cause, .. } => format!("Move {cause:?}"),
                Action::LiveBatch { .. } => "LiveBatch".to_owned(),
                Action::Preempt { .. } => "Preempt".to_owned(),
                Action::Wait { reason, message, .. } if message.contains("kept for") => format!("{reason} kept"),
                Action::Wait { reason, .. } => reason.to_string(),
            };
            *seen.entry(word).or_insert(0) += 1;
        }
    }
    for word in [
        "Keep",
        "Start",
        "Move UnderUsed",
        "Move Faster",
        "LiveBatch",
        "QueueMissing",
        "QueueForbidden",
        "NoFeasibleSize",
        "ExceedsQuota",
        "ExceedsCluster",
        "WaitingForNamespaceQuota",
        "WaitingForQuota",
        "WaitingForNodes",
        "WaitingForCapacity",
        "WaitingForCapacity kept",
        "BackoffAfterFailure",
        "BudgetExhausted",
        "WaitingForPreemption",
        "Preempt",
        "Move Reclaimed",
        "reservation of a predicted end",
    ] {
        assert!(seen.get(word).is_some_and(|count| *count >= 5), "{word} is too rare: {seen:?}");
    }
}

/// A lawful plan with a start, a wait and a place that is kept, to break.
fn specimen() -> (World, Plan) {
    let held = candidate(shape("t4", 1, 4), 1.0, true);
    let jobs = vec![
        running(job("h", 0, vec![held.clone()]), &held, &["n3"]),
        job("s", 1, vec![candidate(shape("t4", 2, 4), 1.0, true)]),
        job("w", 2, vec![candidate(shape("t4", 1, 4), 1.0, true)]),
    ];
    let nodes = ["n1", "n2", "n3"].map(|name| node(name, "t4", 4)).to_vec();
    let mut snapshot = snapshot(nodes, jobs);
    snapshot.queues[0] = queue("q", Some(&[("t4", 12)]));
    let plan = plan(&snapshot.snapshot(), now());
    assert_eq!(check(&snapshot.snapshot(), &plan, now()), []);
    (snapshot, plan)
}

/// What the inspector says about the specimen once it is broken.
fn broken(change: impl FnOnce(&mut World, &mut Plan)) -> String {
    let (mut snapshot, mut plan) = specimen();
    change(&mut snapshot, &mut plan);
    let said: Vec<String> = check(&snapshot.snapshot(), &plan, now()).iter().map(Violation::to_string).collect();
    said.join("\n")
}

fn start(plan: &mut Plan) -> (&mut plimsoll_menu::Candidate, &mut Vec<String>) {
    match &mut plan.decisions[1].action {
        Action::Start { candidate, nodes } => (candidate, nodes),
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn the_inspector_sees_a_broken_plan() {
    assert_eq!(broken(|_, plan| drop(plan.decisions.pop())), "ns/w has 0 decisions instead of one");
    let twice = broken(|_, plan| start(plan).1[1] = "n1".into());
    assert!(twice.contains("ns/s has 2 pods and 1 distinct nodes"), "{twice}");
    let full = broken(|_, plan| start(plan).1[1] = "n3".into());
    assert!(full.contains("node n3 is promised 8 of 4 GPUs"), "{full}");
    let invented = broken(|_, plan| start(plan).0.shape.gpus_per_pod = 3);
    assert!(invented.contains("not on its menu"), "{invented}");
    let closed = broken(|snapshot, _| snapshot.nodes[0].open = false);
    assert!(closed.contains("ns/s may not use node n1: it is closed"), "{closed}");
    let crowded = broken(|snapshot, _| snapshot.nodes[0].held_by_others.cpu_milli = 64_000);
    assert!(crowded.contains("node n1 is promised"), "{crowded}");
    let quota = broken(|snapshot, _| snapshot.queues[0] = queue("q", Some(&[("t4", 11)])));
    assert!(quota.contains("queue q is promised 12 of 11 t4 GPUs"), "{quota}");
    let in_namespace = broken(|snapshot, _| {
        snapshot.jobs[1] = counted(snapshot.jobs[1].clone(), &["team"]);
        snapshot.namespace_quotas = vec![namespace_quota("team", &[("pods", 2, 1)])];
    });
    assert!(
        in_namespace.contains("ns/s gets pods with which ResourceQuota team is promised 3 of 2 pods"),
        "{in_namespace}"
    );
    let foreign = broken(|snapshot, _| snapshot.queues[0].namespaces = Some(vec![]));
    assert!(foreign.contains("ns/s starts, but queue q does not admit it"), "{foreign}");
    let moved = broken(|snapshot, plan| {
        let (candidate, nodes) = (snapshot.jobs[0].menu.candidates[0].clone(), vec!["n3".into()]);
        let (cause, message) = (plimsoll_scheduling::Cause::Faster, String::new());
        plan.decisions[0].action = Action::Move { candidate, nodes, cause, message };
        snapshot.jobs[0].elasticity = plimsoll_scheduling::Elasticity::Fixed;
    });
    assert!(moved.contains("ns/h may not be moved: it is Fixed"), "{moved}");
    let kept = broken(|snapshot, _| {
        snapshot.jobs[1].standing = Standing::Held { reason: Reason::Suspended, message: "".into() }
    });
    assert!(kept.contains("ns/s stands as held, and cannot start"), "{kept}");
}

#[test]
fn the_inspector_sees_a_needless_wait_and_a_wrong_reason() {
    let lazy = |reason, free_gpus, nodes_that_fit| {
        move |_: &mut World, plan: &mut Plan| {
            let numbers = WaitNumbers { needs_gpus: 8, free_gpus, nodes_that_fit, ..WaitNumbers::default() };
            plan.decisions[1].action = Action::Wait { reason, numbers, message: String::new() };
        }
    };
    let needless = broken(lazy(Reason::WaitingForCapacity, 8, 2));
    assert!(needless.contains("ns/s waits though 8 t4 GPUs could be had"), "{needless}");
    let in_namespace = broken(|snapshot, plan| {
        snapshot.jobs[1] = counted(snapshot.jobs[1].clone(), &["team"]);
        snapshot.namespace_quotas = vec![namespace_quota("team", &[("pods", 2, 0)])];
        lazy(Reason::WaitingForNamespaceQuota, 8, 2)(snapshot, plan);
    });
    let instead = "ns/s waits as WaitingForNamespaceQuota instead of WaitingForCapacity";
    assert!(in_namespace.contains(instead) && in_namespace.contains("could be had"), "{in_namespace}");
    let wrong = broken(lazy(Reason::WaitingForQuota, 9, 2));
    assert!(wrong.contains("ns/s waits as WaitingForQuota instead of WaitingForCapacity"), "{wrong}");
    assert!(wrong.contains("ns/s waits with 9 GPUs free, but it is 8"), "{wrong}");
}

#[test]
fn a_large_cluster_is_planned_lawfully() {
    let snapshot = large(60, 40, 15);
    let plan = plan(&snapshot.snapshot(), now());
    assert_eq!(check(&snapshot.snapshot(), &plan, now()), []);
}

/// `cargo test --release -p plimsoll-scheduling -- --ignored --nocapture` prints how long a plan takes.
#[test]
#[ignore = "a measurement, not a law"]
#[allow(clippy::print_stderr, clippy::disallowed_methods, reason = "a measurement takes time and says so")]
fn how_long_a_plan_takes() {
    for (nodes, jobs, already) in [(500, 200, 0), (500, 200, 150), (500, 1000, 190), (2000, 1000, 700)] {
        let snapshot = large(nodes, jobs, already);
        let mut best = f64::INFINITY;
        for _ in 0..10 {
            let clock = std::time::Instant::now();
            let plan = std::hint::black_box(plan(&snapshot.snapshot(), now()));
            best = best.min(clock.elapsed().as_secs_f64());
            assert_eq!(plan.decisions.len(), jobs);
        }
        eprintln!("{nodes} nodes, {jobs} jobs, {already} of them running: {:.1} ms", best * 1e3);
    }
}
