//! Who starts and who waits, and why, told case by case.

mod world;

use plimsoll_menu::{Candidate, ClassName, Rejection, RejectionReason};
use plimsoll_scheduling::{Action, Elasticity, Job, Reason, Standing, Taint, Target, Toleration};
use world::*;

fn gang(pods: u32, gpus: u32) -> Candidate {
    candidate(shape("t4", pods, gpus), 1.0, true)
}

// Starting.

#[test]
fn a_gang_starts_whole_on_the_fullest_nodes_that_fit() {
    let mut nodes = fleet(4, "t4", 4);
    nodes[2].gpus_held_by_others = 2;
    nodes[3].gpus_held_by_others = 3;
    let plan = lawful(&snapshot(nodes, vec![job("a", 1, vec![gang(1, 2)]), job("b", 2, vec![gang(2, 2)])]));
    assert_eq!(nodes_of(&plan, "a"), ["n3"], "leaves whole nodes to those who need them");
    assert_eq!(nodes_of(&plan, "b"), ["n1", "n2"]);
}

#[test]
fn a_gang_that_fits_into_one_zone_does_not_span_two() {
    let mut nodes = fleet(5, "t4", 4);
    for (index, node) in nodes.iter_mut().enumerate() {
        let zone = if index % 2 == 0 { "a" } else { "b" };
        node.labels.insert("topology.kubernetes.io/zone".into(), zone.into());
    }
    let plan = lawful(&snapshot(nodes.clone(), vec![job("a", 1, vec![gang(2, 4)])]));
    assert_eq!(nodes_of(&plan, "a"), ["n2", "n4"], "the smaller zone that is large enough");
    let plan = lawful(&snapshot(nodes, vec![job("a", 1, vec![gang(4, 4)])]));
    assert_eq!(nodes_of(&plan, "a").len(), 4);
}

#[test]
fn priority_goes_first_then_arrival_then_uid() {
    let mut urgent = job("z", 9, vec![gang(1, 4)]);
    urgent.priority = 10;
    let mut twin = job("b", 2, vec![gang(1, 4)]);
    twin.uid = "uid-0".into();
    let jobs = vec![job("a", 2, vec![gang(1, 4)]), twin, job("c", 1, vec![gang(1, 4)]), urgent];
    let mut world = snapshot(fleet(3, "t4", 4), jobs);
    world.rules.starvation_bound_seconds = 200_000.0;
    let plan = lawful(&world);
    for name in ["z", "c", "b"] {
        assert!(matches!(action(&plan, name), Action::Start { .. }), "{name}");
    }
    let Action::Wait { reason: Reason::WaitingForCapacity, numbers, .. } = action(&plan, "a") else { unreachable!() };
    assert_eq!((numbers.position, numbers.waiting), (1, 1));
}

/// The job, bound to its count once it runs.
fn moldable(mut job: Job) -> Job {
    job.elasticity = Elasticity::Moldable;
    job
}

#[test]
fn a_job_takes_the_next_candidate_when_it_is_at_most_twice_as_slow() {
    let menu = vec![gang(2, 4), candidate(shape("t4", 1, 4), 2.0, true)];
    let plan = lawful(&snapshot(fleet(2, "t4", 4), vec![job("a", 1, menu.clone())]));
    assert_eq!(nodes_of(&plan, "a").len(), 2);
    let mut half = fleet(2, "t4", 4);
    half[0].gpus_held_by_others = 1;
    let plan = lawful(&snapshot(half.clone(), vec![moldable(job("a", 1, menu))]));
    assert_eq!(nodes_of(&plan, "a"), ["n2"]);
    let slow = vec![gang(2, 4), candidate(shape("t4", 1, 4), 2.1, true)];
    let plan = lawful(&snapshot(half.clone(), vec![moldable(job("a", 1, slow.clone()))]));
    assert_eq!(wait(&plan, "a").1, "needs 2 nodes with 4 free t4 GPUs each (8 GPUs); 1 such node, 7 GPUs free of 8");
    let plan = lawful(&snapshot(half, vec![job("a", 1, slow)]));
    assert_eq!(nodes_of(&plan, "a"), ["n2"], "who may grow later need not wait");
}

#[test]
fn what_can_never_run_is_no_reason_to_wait_for_it() {
    let menu = vec![gang(9, 4), candidate(shape("t4", 1, 4), 8.0, true)];
    let plan = lawful(&snapshot(fleet(2, "t4", 4), vec![job("a", 1, menu)]));
    assert_eq!(nodes_of(&plan, "a"), ["n1"]);
}

#[test]
fn a_taint_on_accelerator_nodes_needs_a_toleration() {
    let mut nodes = fleet(1, "t4", 4);
    nodes[0].taints =
        vec![Taint { key: "nvidia.com/gpu".into(), value: "present".into(), effect: "NoSchedule".into() }];
    let mut tolerant = job("b", 2, vec![gang(1, 4)]);
    tolerant.needs.tolerations = vec![Toleration {
        key: "nvidia.com/gpu".into(),
        operator: "Exists".into(),
        value: String::new(),
        effect: String::new(),
    }];
    let plan = lawful(&snapshot(nodes, vec![job("a", 1, vec![gang(1, 4)]), tolerant]));
    assert_eq!(wait(&plan, "a").0, "ExceedsCluster");
    assert_eq!(nodes_of(&plan, "b"), ["n1"]);
}

// Waiting, each with its reason.

fn only_wait(snapshot: &World) -> (String, String) {
    wait(&lawful(snapshot), "a")
}

#[test]
fn a_queue_that_is_missing_or_closed_to_the_namespace_says_so() {
    let mut world = snapshot(fleet(1, "t4", 4), vec![job("a", 1, vec![gang(1, 4)])]);
    world.queues[0].namespaces = Some(vec!["other".into()]);
    assert_eq!(only_wait(&world), ("QueueForbidden".into(), "queue q does not admit namespace ns".into()));
    world.queues.clear();
    assert_eq!(only_wait(&world), ("QueueMissing".into(), "queue q does not exist".into()));
}

#[test]
fn an_empty_menu_says_what_sizing_said() {
    let mut hopeless = job("a", 1, vec![]);
    hopeless.menu.rejected.push(Rejection {
        class: ClassName::new("t4"),
        gpus: 8,
        reason: RejectionReason::DeviceMemory,
        message: "8 t4 GPUs need 20.1 GiB of 15.6 GiB".into(),
    });
    let world = snapshot(fleet(1, "t4", 4), vec![hopeless]);
    assert_eq!(only_wait(&world), ("NoFeasibleSize".into(), "8 t4 GPUs need 20.1 GiB of 15.6 GiB".into()));
}

#[test]
fn quota_is_refused_forever_or_for_now() {
    let held = gang(1, 3);
    let holder = running(job("h", 0, vec![held.clone()]), &held, &["n1"]);
    let mut world = snapshot(fleet(3, "t4", 4), vec![holder, job("a", 1, vec![gang(2, 4)])]);
    world.queues[0] = queue("q", Some(&[("t4", 6)]));
    assert_eq!(only_wait(&world), ("ExceedsQuota".into(), "needs 8 t4 GPUs; queue q may hold 6".into()));
    world.queues[0] = queue("q", Some(&[("h100", 6)]));
    assert_eq!(only_wait(&world), ("ExceedsQuota".into(), "queue q has no quota for class t4".into()));
    world.queues[0] = queue("q", Some(&[("t4", 10)]));
    assert_eq!(only_wait(&world), ("WaitingForQuota".into(), "needs 8 t4 GPUs; queue q holds 3 of 10".into()));
}

/// A job of 8 devices, or of 4 with steps of so many seconds, in a namespace with this quota.
fn in_namespace(limits: &[(&str, u64, u64)], seconds: f64) -> World {
    let menu = vec![gang(2, 4), candidate(shape("t4", 1, 4), seconds, true)];
    let mut world = snapshot(fleet(4, "t4", 4), vec![counted(moldable(job("a", 1, menu)), &["team"])]);
    world.namespace_quotas = vec![namespace_quota("team", limits)];
    world
}

#[test]
fn what_a_namespace_has_left_is_waited_for_with_its_numbers() {
    let wait = |limits| only_wait(&in_namespace(limits, 9.0));
    let said = |message: &str| ("WaitingForNamespaceQuota".to_owned(), message.to_owned());
    let devices = "needs 8 nvidia.com/gpu of ResourceQuota ns/team; 6 of 24 are free";
    assert_eq!(wait(&[("requests.nvidia.com/gpu", 24, 18)]), said(devices));
    let lowered = "needs 8 nvidia.com/gpu of ResourceQuota ns/team; 0 of 12 are free";
    assert_eq!(wait(&[("requests.nvidia.com/gpu", 12, 18)]), said(lowered));
    let cpu = "needs 10 requests.cpu of ResourceQuota ns/team; 8500m of 10 are free";
    assert_eq!(wait(&[("pods", 9, 0), ("requests.cpu", 10_000, 1500)]), said(cpu));
    let memory = "needs 66Gi limits.memory of ResourceQuota ns/team; 64Gi of 100Gi are free";
    assert_eq!(wait(&[("limits.memory", 100 * GIB, 36 * GIB)]), said(memory));
    assert_eq!(wait(&[("requests.nvidia.com/gpu", 24, 18), ("requests.cpu", 10_000, 1500)]), said(devices));
    let pods = "needs 2 pods of ResourceQuota ns/team; 1 of 2 is free";
    assert_eq!(wait(&[("pods", 2, 1)]), said(pods));
}

#[test]
fn a_namespace_with_room_for_less_gets_the_next_candidate() {
    let started = |limits: &[(&str, u64, u64)], seconds| {
        let plan = lawful(&in_namespace(limits, seconds));
        matches!(action(&plan, "a"), Action::Start { .. }).then(|| nodes_of(&plan, "a").len())
    };
    assert_eq!(started(&[("requests.nvidia.com/gpu", 24, 16)], 2.0), Some(2));
    assert_eq!(started(&[("requests.nvidia.com/gpu", 24, 17)], 2.0), Some(1));
    assert_eq!(started(&[("requests.nvidia.com/gpu", 24, 17)], 2.1), None, "it is too slow to be worth it");
    assert_eq!(started(&[("requests.nvidia.com/gpu", 7, 0)], 2.1), Some(1), "eight can never run");
    assert_eq!(started(&[("requests.example.com/link", 0, 0)], 2.0), Some(2), "its pods ask for none");
}

#[test]
fn a_namespace_that_never_allows_it_says_what_it_allows() {
    let small = in_namespace(&[("requests.nvidia.com/gpu", 3, 0)], 1.0);
    let message = "needs 8 nvidia.com/gpu of ResourceQuota ns/team, which allows 3";
    assert_eq!(only_wait(&small), ("WaitingForNamespaceQuota".into(), message.into()));
}

#[test]
fn jobs_of_one_namespace_share_its_quota_and_those_of_another_do_not() {
    let mut world = in_namespace(&[("requests.nvidia.com/gpu", 8, 0)], 9.0);
    let mut foreign = counted(job("c", 3, vec![gang(1, 4)]), &["team"]);
    foreign.key.namespace = "other".into();
    world.jobs.extend([counted(job("b", 2, vec![gang(1, 4)]), &["team"]), foreign, job("d", 4, vec![gang(1, 4)])]);
    let plan = lawful(&world);
    assert_eq!(nodes_of(&plan, "a").len(), 2);
    assert_eq!(wait(&plan, "b").1, "needs 4 nvidia.com/gpu of ResourceQuota ns/team; 0 of 8 are free");
    assert_eq!(nodes_of(&plan, "c").len(), 1, "a quota of another namespace is not its own");
    assert_eq!(nodes_of(&plan, "d").len(), 1, "the quota does not count its pods");
}

#[test]
fn quota_that_is_coming_back_is_kept_for_the_head() {
    let held = gang(1, 4);
    let mut leaver = counted(running(job("l", 0, vec![held.clone()]), &held, &["n1"]), &["team"]);
    leaver.standing = Standing::Leaving(allocation(&mut leaver).clone());
    let mut world = in_namespace(&[("requests.nvidia.com/gpu", 8, 0)], 9.0);
    world.jobs.extend([leaver, counted(job("b", 2, vec![gang(1, 4)]), &["team"])]);
    let plan = lawful(&world);
    assert_eq!(wait(&plan, "a").1, "needs 8 nvidia.com/gpu of ResourceQuota ns/team; 4 of 8 are free");
    assert!(wait(&plan, "b").1.contains("kept for a, which is ahead"), "{}", wait(&plan, "b").1);
}

#[test]
fn more_than_the_cluster_has_is_not_waited_for() {
    let mut world = snapshot(fleet(2, "t4", 4), vec![job("a", 1, vec![gang(3, 4)])]);
    world.nodes.push(node("big", "a100", 8));
    let message =
        "needs 3 nodes with 4 t4 GPUs each (12 GPUs); its pods may use 2 such nodes in a cluster of 8 t4 GPUs";
    assert_eq!(only_wait(&world), ("ExceedsCluster".into(), message.into()));
}

#[test]
fn free_devices_on_the_wrong_nodes_are_waiting_for_nodes() {
    let mut nodes = fleet(4, "t4", 4);
    nodes[0].gpus_held_by_others = 2;
    nodes[1].gpus_held_by_others = 2;
    nodes[3].open = false;
    nodes[3].closed_because = "cordoned".into();
    let world = snapshot(nodes.clone(), vec![job("a", 1, vec![gang(2, 4)])]);
    let message = "needs 2 nodes with 4 free t4 GPUs each (8 GPUs); 1 such node, 8 GPUs free of 16; \
                   1 node is closed (cordoned)";
    assert_eq!(only_wait(&world), ("WaitingForNodes".into(), message.into()));
    nodes[2].held_by_others = resources(60, 2, 5);
    let world = snapshot(nodes, vec![job("a", 1, vec![gang(1, 4)])]);
    let message = "needs 1 node with 4 free t4 GPUs; 0 such nodes, 8 GPUs free of 16; \
                   1 more node has the GPUs, but CPU, memory, selectors or taints keep its pods away; \
                   1 node is closed (cordoned)";
    assert_eq!(only_wait(&world), ("WaitingForNodes".into(), message.into()));
}

#[test]
fn a_job_that_is_held_repeats_its_reason() {
    let mut held = job("a", 1, vec![gang(1, 4)]);
    held.standing = Standing::Held { reason: Reason::Suspended, message: "by its user".into() };
    let world = snapshot(fleet(1, "t4", 4), vec![held]);
    assert_eq!(only_wait(&world), ("Suspended".into(), "by its user".into()));
}

// What is kept for those ahead.

#[test]
fn devices_that_are_coming_back_are_kept_for_the_head() {
    let held = gang(1, 4);
    let mut leaver = running(job("l", 0, vec![held.clone()]), &held, &["n1"]);
    leaver.standing = Standing::Leaving(allocation(&mut leaver).clone());
    let jobs = vec![leaver, job("head", 1, vec![gang(2, 4)]), job("later", 2, vec![gang(1, 4)])];
    let plan = lawful(&snapshot(fleet(2, "t4", 4), jobs.clone()));
    let head = "needs 2 nodes with 4 free t4 GPUs each (8 GPUs); 1 such node, 4 GPUs free of 8; 4 more GPUs are coming back from l";
    assert_eq!(wait(&plan, "head").1, head);
    let later = "needs 1 node with 4 free t4 GPUs; 1 such node, 4 GPUs free of 8; kept for head, which is ahead; \
                 4 more GPUs are coming back from l";
    assert_eq!(wait(&plan, "later"), ("WaitingForCapacity".into(), later.into()));
    let plan = lawful(&snapshot(fleet(3, "t4", 4), jobs));
    assert_eq!(nodes_of(&plan, "head"), ["n2", "n3"]);
}

#[test]
fn a_head_whose_wait_has_no_end_in_sight_holds_nobody_up() {
    let held = gang(1, 4);
    let stays = running(job("s", 0, vec![held.clone()]), &held, &["n1"]);
    let jobs = vec![stays, job("head", 1, vec![gang(2, 4)]), job("later", 2, vec![gang(1, 4)])];
    let plan = lawful(&snapshot(fleet(2, "t4", 4), jobs));
    assert_eq!(wait(&plan, "head").0, "WaitingForCapacity");
    assert_eq!(nodes_of(&plan, "later"), ["n2"]);
}

#[test]
fn the_target_of_a_move_under_way_is_nobody_elses() {
    let held = gang(1, 4);
    let mut mover = running(job("m", 0, vec![held.clone()]), &held, &["n1"]);
    let to = Target { shape: shape("t4", 1, 4), nodes: vec!["n2".into()] };
    mover.standing = Standing::Moving { from: allocation(&mut mover).clone(), to };
    let plan = lawful(&snapshot(fleet(2, "t4", 4), vec![mover, job("a", 1, vec![gang(1, 2)])]));
    assert_eq!(action(&plan, "m"), &Action::Keep);
    assert_eq!(
        wait(&plan, "a").1,
        "needs 1 node with 2 free t4 GPUs; 0 such nodes, 0 GPUs free of 8; 4 more GPUs are coming back from m"
    );
}
