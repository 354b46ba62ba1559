//! What the planner does, told case by case.

mod world;

use plimsoll_menu::{Batch, Candidate, ClassName, Fit, Rejection, RejectionReason};
use plimsoll_scheduling::{
    Action, Cause, Elasticity, Job, Mode, Node, Reason, Snapshot, Standing, Taint, Target, Toleration,
};
use world::*;

/// Nodes `n1` to `nN` of a class.
fn fleet(count: usize, class: &str, gpus: u32) -> Vec<Node> {
    (1..=count).map(|index| node(&format!("n{index}"), class, gpus)).collect()
}

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
    let plan = lawful(&snapshot(fleet(3, "t4", 4), jobs));
    for name in ["z", "c", "b"] {
        assert!(matches!(action(&plan, name), Action::Start { .. }), "{name}");
    }
    let Action::Wait { reason: Reason::WaitingForCapacity, numbers, .. } = action(&plan, "a") else { unreachable!() };
    assert_eq!((numbers.position, numbers.waiting), (1, 1));
}

#[test]
fn a_job_takes_the_next_candidate_when_it_is_at_most_twice_as_slow() {
    let menu = vec![gang(2, 4), candidate(shape("t4", 1, 4), 2.0, true)];
    let plan = lawful(&snapshot(fleet(2, "t4", 4), vec![job("a", 1, menu.clone())]));
    assert_eq!(nodes_of(&plan, "a").len(), 2);
    let mut half = fleet(2, "t4", 4);
    half[0].gpus_held_by_others = 1;
    let plan = lawful(&snapshot(half.clone(), vec![job("a", 1, menu)]));
    assert_eq!(nodes_of(&plan, "a"), ["n2"]);
    let slow = vec![gang(2, 4), candidate(shape("t4", 1, 4), 2.1, true)];
    let plan = lawful(&snapshot(half, vec![job("a", 1, slow)]));
    assert_eq!(wait(&plan, "a").1, "needs 2 nodes with 4 free t4 GPUs each (8 GPUs); 1 such node, 7 GPUs free of 8");
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

fn only_wait(snapshot: &Snapshot) -> (String, String) {
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
    let head =
        "needs 2 nodes with 4 free t4 GPUs each (8 GPUs); 1 such node, 4 GPUs free of 8; 4 more GPUs are coming back";
    assert_eq!(wait(&plan, "head").1, head);
    let later = "needs 1 node with 4 free t4 GPUs; 1 such node, 4 GPUs free of 8; kept for head, which is ahead; \
                 4 more GPUs are coming back";
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
        "needs 1 node with 2 free t4 GPUs; 0 such nodes, 0 GPUs free of 8; 4 more GPUs are coming back"
    );
}

// The demonstration: an under-used job shrinks, and a large gang starts on what it gives back.

/// `c` runs on 8 t4 GPUs and would do on 4; `d` needs 8 whole nodes of 9.
fn shrink_and_start() -> Snapshot {
    let (wide, narrow) = (candidate(shape("t4", 2, 4), 1.0, false), candidate(shape("t4", 1, 4), 1.1, true));
    let c = running(job("c", 1, vec![narrow, wide.clone()]), &wide, &["n1", "n2"]);
    snapshot(fleet(9, "t4", 4), vec![c, job("d", 2, vec![gang(8, 4)])])
}

#[test]
fn story_c_an_under_used_job_shrinks_within_what_it_holds() {
    let world = shrink_and_start();
    let plan = lawful(&world);
    let Action::Move { nodes, cause: Cause::UnderUsed, message, .. } = action(&plan, "c") else {
        unreachable!("{plan:#?}")
    };
    assert_eq!(nodes, &["n1"]);
    assert_eq!(
        message,
        "4 t4 GPUs (micro-batch 1, accumulation 1) instead of 8 t4 GPUs (micro-batch 1, accumulation 1): SM activity of \
         31 % is below the line of 60 %; 4.4 instead of 8.0 GPU-seconds per step save 12960 GPU-seconds in 3600 s for \
         240 that the restart costs"
    );
    let d = "needs 8 nodes with 4 free t4 GPUs each (32 GPUs); 7 such nodes, 28 GPUs free of 36; \
             4 more GPUs are coming back";
    assert_eq!(wait(&plan, "d"), ("WaitingForCapacity".into(), d.into()));
}

#[test]
fn story_d_the_gang_starts_only_once_the_devices_are_really_free() {
    let world = shrink_and_start();
    let first = lawful(&world);
    let mut world = apply(world, &first);
    let second = lawful(&world);
    assert_eq!(action(&second, "c"), &Action::Keep);
    assert_eq!(wait(&second, "d"), wait(&first, "d"), "they are still coming");
    for job in &mut world.jobs {
        if let Standing::Moving { from, to } = &job.standing {
            let mut held = from.clone();
            (held.shape, held.nodes, held.since) = (to.shape.clone(), to.nodes.clone(), now());
            job.standing = Standing::Placed(held);
        }
    }
    let third = lawful(&world);
    assert_eq!(nodes_of(&third, "d"), ["n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9"]);
}

// Moving.

/// A job that would be moved, and a change to it after which it is not.
fn stays(change: impl FnOnce(&mut Snapshot)) -> bool {
    let mut world = shrink_and_start();
    change(&mut world);
    *action(&lawful(&world), "c") == Action::Keep
}

fn of_c(change: impl FnOnce(&mut Job)) -> impl FnOnce(&mut Snapshot) {
    |world| change(&mut world.jobs[0])
}

#[test]
fn nobody_is_moved_against_its_will_or_without_evidence() {
    assert!(!stays(|_| {}));
    assert!(stays(|world| world.moves.enabled = false));
    assert!(stays(|world| world.queues[0].moves_per_job_hour = Some(0)));
    assert!(stays(of_c(|c| c.mode = Mode::Off)));
    assert!(stays(of_c(|c| c.mode = Mode::Initial)));
    assert!(stays(of_c(|c| c.elasticity = Elasticity::Fixed)));
    assert!(stays(of_c(|c| c.elasticity = Elasticity::Moldable)));
    assert!(stays(of_c(|c| allocation(c).running = false)));
    assert!(stays(of_c(|c| allocation(c).observed = false)));
    assert!(stays(of_c(|c| allocation(c).moves_last_hour = 4)));
    assert!(stays(of_c(|c| allocation(c).since = at(99_701))));
    assert!(!stays(of_c(|c| allocation(c).since = at(99_700))));
    assert!(stays(of_c(|c| allocation(c).last_move = Some(at(99_999)))));
}

#[test]
fn nobody_is_moved_for_less_than_it_costs() {
    assert!(stays(of_c(|c| c.restart_seconds = 3600.0)));
    assert!(stays(of_c(|c| c.remaining_steps = Some(66))), "240 GPU-seconds to pay, 237.6 to gain");
    assert!(!stays(of_c(|c| c.remaining_steps = Some(67))));
    assert!(stays(of_c(|c| c.menu.candidates[0].predicted.step_seconds = 1.9)), "less than a tenth");
    assert!(stays(of_c(|c| c.menu.candidates.swap(0, 1))), "what runs is preferred");
    assert!(stays(of_c(|c| c.menu.candidates[1].in_band = true)), "not under-used, and not faster");
}

#[test]
fn a_faster_class_is_taken_when_nobody_waits_for_it() {
    let (slow, fast) = (gang(1, 4), candidate(shape("h100", 1, 4), 0.5, true));
    let mover = running(job("m", 1, vec![fast.clone(), slow.clone()]), &slow, &["n1"]);
    let mut world = snapshot(vec![node("n1", "t4", 4), node("n2", "h100", 4)], vec![mover]);
    let plan = lawful(&world);
    let Action::Move { cause: Cause::Faster, nodes, .. } = action(&plan, "m") else { unreachable!("{plan:#?}") };
    assert_eq!(nodes, &["n2"]);
    world.nodes.push(node("n3", "h100", 4));
    world.jobs.push(job("w", 2, vec![candidate(shape("h100", 2, 4), 1.0, true)]));
    let plan = lawful(&world);
    assert_eq!(nodes_of(&plan, "w"), ["n2", "n3"], "who waits goes first");
    world.jobs.push(job("x", 3, vec![candidate(shape("h100", 1, 2), 1.0, true)]));
    world.nodes[1].gpus_held_by_others = 1;
    world.nodes[2].gpus_held_by_others = 0;
    let plan = lawful(&world);
    assert_eq!(action(&plan, "m"), &Action::Keep, "w waits for that class");
}

#[test]
fn a_growing_job_keeps_its_nodes_and_its_old_devices_count_as_its_own() {
    let (small, large) = (gang(1, 4), candidate(shape("t4", 3, 4), 0.4, true));
    let mover = running(job("m", 1, vec![large, small.clone()]), &small, &["n2"]);
    let mut world = snapshot(fleet(3, "t4", 4), vec![mover]);
    assert_eq!(nodes_of(&lawful(&world), "m"), ["n1", "n2", "n3"]);
    world.queues[0] = queue("q", Some(&[("t4", 11)]));
    assert_eq!(action(&lawful(&world), "m"), &Action::Keep);
    world.queues[0] = queue("q", Some(&[("t4", 12)]));
    assert_eq!(nodes_of(&lawful(&world), "m").len(), 3);
}

#[test]
fn a_queue_whose_quota_was_lowered_may_still_shrink() {
    assert!(!stays(|world| world.queues[0] = queue("q", Some(&[("t4", 1)]))));
}

/// Runs with micro-batch 1; the menu prefers 4, with steps of `step` seconds.
fn other_cut(step: f64) -> Job {
    let with = |micro, step| {
        let batch = Batch { micro, accumulation: 4 / micro, global: 16 };
        Candidate { batch, ..candidate(shape("t4", 1, 4), step, true) }
    };
    running(job("m", 1, vec![with(4, step), with(1, 1.0)]), &with(1, 1.0), &["n1"])
}

#[test]
fn another_cut_of_the_batch_goes_to_a_live_loop_even_of_a_fixed_job() {
    let mut live = other_cut(0.8);
    live.elasticity = Elasticity::Fixed;
    allocation(&mut live).live_batch = true;
    let plan = lawful(&snapshot(fleet(1, "t4", 4), vec![live.clone()]));
    let Action::LiveBatch { batch, message, .. } = action(&plan, "m") else { unreachable!("{plan:#?}") };
    assert_eq!(*batch, Batch { micro: 4, accumulation: 1, global: 16 });
    assert!(message.contains("steps of 0.80 s instead of 1.00 s save 720 s"), "{message}");
    allocation(&mut live).last_move = Some(at(99_999));
    assert_eq!(action(&lawful(&snapshot(fleet(1, "t4", 4), vec![live])), "m"), &Action::Keep);
    assert!(stays_at(other_cut(0.95)), "a twentieth is not worth it");
}

fn stays_at(mut job: Job) -> bool {
    allocation(&mut job).live_batch = true;
    *action(&lawful(&snapshot(fleet(1, "t4", 4), vec![job])), "m") == Action::Keep
}

#[test]
fn another_cut_of_the_batch_restarts_a_moldable_job_but_never_a_fixed_one() {
    let mut job = other_cut(0.8);
    job.elasticity = Elasticity::Moldable;
    let plan = lawful(&snapshot(fleet(1, "t4", 4), vec![job.clone()]));
    assert_eq!(nodes_of(&plan, "m"), ["n1"]);
    job.elasticity = Elasticity::Fixed;
    assert_eq!(action(&lawful(&snapshot(fleet(1, "t4", 4), vec![job])), "m"), &Action::Keep);
}

#[test]
fn a_job_past_the_memory_line_is_eased_without_a_gain() {
    let mut live = other_cut(1.2);
    live.menu.candidates[1].fit = Fit::Tight;
    assert_eq!(action(&lawful(&snapshot(fleet(1, "t4", 4), vec![live.clone()])), "m"), &Action::Keep);
    allocation(&mut live).live_batch = true;
    let plan = lawful(&snapshot(fleet(1, "t4", 4), vec![live]));
    assert!(matches!(action(&plan, "m"), Action::LiveBatch { .. }), "{plan:#?}");

    let mut ruled_out = other_cut(1.2);
    ruled_out.menu.candidates.pop();
    ruled_out.menu.rejected.push(Rejection {
        class: ClassName::new("t4"),
        gpus: 4,
        reason: RejectionReason::DeviceMemory,
        message: String::new(),
    });
    let plan = lawful(&snapshot(fleet(1, "t4", 4), vec![ruled_out]));
    assert!(matches!(action(&plan, "m"), Action::Move { cause: Cause::OverLoaded, .. }), "{plan:#?}");
}
