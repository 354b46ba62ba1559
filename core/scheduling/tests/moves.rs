//! When running jobs change size, class or batch, told case by case.

mod world;

use plimsoll_menu::{Batch, Candidate, ClassName, Fit, Rejection, RejectionReason};
use plimsoll_scheduling::{Action, Cause, Elasticity, Job, Mode, Standing, over_counted};
use world::*;

fn gang(pods: u32, gpus: u32) -> Candidate {
    candidate(shape("t4", pods, gpus), 1.0, true)
}

// The demonstration: an under-used job shrinks, and a large gang starts on what it gives back.

/// `c` runs on 8 t4 GPUs and would do on 4; `d` needs 8 whole nodes of 9.
fn shrink_and_start() -> World {
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
             4 more GPUs are coming back from c";
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
fn stays(change: impl FnOnce(&mut World)) -> bool {
    let mut world = shrink_and_start();
    change(&mut world);
    *action(&lawful(&world), "c") == Action::Keep
}

fn of_c(change: impl FnOnce(&mut Job)) -> impl FnOnce(&mut World) {
    |world| change(&mut world.jobs[0])
}

#[test]
fn nobody_is_moved_against_its_will_or_without_evidence() {
    assert!(!stays(|_| {}));
    assert!(stays(|world| world.rules.moves.enabled = false));
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
    // Nobody waits for what it would give back.
    let stays = |change: fn(&mut Job)| {
        stays(|world| {
            world.jobs.truncate(1);
            change(&mut world.jobs[0]);
        })
    };
    assert!(stays(|c| c.restart_seconds = 3600.0));
    assert!(stays(|c| c.remaining_steps = Some(66)), "240 GPU-seconds to pay, 237.6 to gain");
    assert!(!stays(|c| c.remaining_steps = Some(67)));
    assert!(stays(|c| c.menu.candidates[0].predicted.step_seconds = 1.9), "less than a tenth");
    assert!(stays(|c| c.menu.candidates.swap(0, 1)), "what runs is preferred");
    assert!(stays(|c| c.menu.candidates[1].in_band = true), "not under-used, and not faster");
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
fn a_job_that_waits_for_its_queues_quota_holds_up_no_other_queue() {
    let (small, large) = (gang(1, 4), candidate(shape("t4", 3, 4), 0.4, true));
    let mover = running(job("m", 1, vec![large, small.clone()]), &small, &["n2"]);
    let full = running(job("f", 1, vec![small.clone()]), &small, &["n4"]);
    let mut world = snapshot(fleet(4, "t4", 4), vec![mover, full, job("w", 2, vec![small])]);
    world.queues.push(queue("tight", Some(&[("t4", 4)])));
    world.jobs[1].queue = "tight".into();
    world.jobs[2].queue = "tight".into();
    let plan = lawful(&world);
    assert_eq!(wait(&plan, "w").0, "WaitingForQuota");
    assert_eq!(nodes_of(&plan, "m"), ["n1", "n2", "n3"]);
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

/// A job that would grow from 4 to 12 devices, in a namespace that allows so many.
fn growing(hard: u64) -> World {
    let (small, large) = (gang(1, 4), candidate(shape("t4", 3, 4), 0.4, true));
    let mover = counted(running(job("m", 1, vec![large, small.clone()]), &small, &["n2"]), &["team"]);
    let mut world = snapshot(fleet(3, "t4", 4), vec![mover]);
    world.namespace_quotas = vec![namespace_quota("team", &[("requests.nvidia.com/gpu", hard, 2)])];
    world
}

#[test]
fn a_growing_job_counts_its_old_pods_as_gone_in_its_namespace() {
    assert_eq!(action(&lawful(&growing(13)), "m"), &Action::Keep);
    assert_eq!(nodes_of(&lawful(&growing(14)), "m").len(), 3);
}

#[test]
fn a_job_takes_no_more_of_a_namespaces_quota_while_somebody_waits_for_it() {
    let mut world = growing(20);
    world.nodes.push(node("n9", "h100", 4));
    let waits = job("w", 2, vec![candidate(shape("h100", 1, 4), 1.0, true)]);
    world.nodes[3].gpus_held_by_others = 1;
    world.jobs.push(counted(waits, &["team"]));
    let plan = lawful(&world);
    assert_eq!(wait(&plan, "w").0, "WaitingForCapacity");
    assert_eq!(action(&plan, "m"), &Action::Keep);
    world.jobs[1].namespace_quotas.clear();
    assert_eq!(nodes_of(&lawful(&world), "m").len(), 3, "w is not counted there");
}

#[test]
fn a_job_shrinks_in_a_full_namespace_but_not_into_one_that_allows_less() {
    let (wide, narrow) = (gang(2, 4), candidate(shape("t4", 1, 4), 1.1, true));
    let under_used = Candidate { in_band: false, ..wide.clone() };
    let mover = running(job("m", 1, vec![narrow, under_used]), &wide, &["n1", "n2"]);
    let mut world = snapshot(fleet(2, "t4", 4), vec![counted(mover, &["team"])]);
    world.namespace_quotas = vec![namespace_quota("team", &[("requests.nvidia.com/gpu", 8, 0)])];
    assert_eq!(nodes_of(&lawful(&world), "m").len(), 1);
    world.namespace_quotas = vec![namespace_quota("team", &[("requests.nvidia.com/gpu", 3, 0)])];
    assert_eq!(action(&lawful(&world), "m"), &Action::Keep, "the apiserver would refuse its new pods");
}

#[test]
fn new_pods_are_not_created_while_a_quota_still_counts_the_old_ones() {
    let over = |hard, held_by_others| {
        let held = gang(1, 4);
        let jobs = ["m", "u"].map(|name| running(job(name, 1, vec![held.clone()]), &held, &["n1"]));
        let [m, u] = jobs;
        let mut world = snapshot(fleet(1, "t4", 8), vec![counted(m, &["team"]), u]);
        world.namespace_quotas = vec![namespace_quota("team", &[("requests.nvidia.com/gpu", hard, held_by_others)])];
        over_counted(&world.snapshot()).into_iter().map(|key| key.name).collect::<Vec<_>>()
    };
    assert_eq!(over(8, 4), Vec::<String>::new());
    assert_eq!(over(8, 8), ["m"], "its old pods have ended, and count as somebody else's for a moment");
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
