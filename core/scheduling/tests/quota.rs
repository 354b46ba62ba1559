//! Queues, their order, preemption and backfill, told case by case.

mod world;

use plimsoll_menu::{Candidate, ClassName};
use plimsoll_scheduling::{
    Action, Budget, BudgetUnit, Cause, Job, Plan, Queue, Reason, Reclaims, Share, Takes, queue_faults,
};
use world::*;

fn gang(pods: u32, gpus: u32) -> Candidate {
    candidate(shape("t4", pods, gpus), 1.0, true)
}

/// A queue below `root` with so many t4 of its own.
fn team(name: &str, nominal: u32) -> Queue {
    let classes = [(ClassName::new("t4"), Share::of(nominal))].into();
    Queue { parent: Some("root".into()), classes: Some(classes), ..Queue::unlimited(name) }
}

fn root() -> Queue {
    Queue { classes: Some([].into()), ..Queue::unlimited("root") }
}

fn of(queue: &str, mut job: Job) -> Job {
    job.queue = queue.into();
    job
}

fn started(plan: &Plan) -> Vec<&str> {
    let starts = plan.decisions.iter().filter(|decision| matches!(decision.action, Action::Start { .. }));
    starts.map(|decision| decision.job.name.as_str()).collect()
}

fn wait_of(plan: &Plan, name: &str) -> (Reason, String) {
    match action(plan, name) {
        Action::Wait { reason, message, .. } => (*reason, message.clone()),
        other => unreachable!("{name} does not wait: {other:?}"),
    }
}

/// A job that runs on so many nodes of 4 from `nFROM` on.
fn on(queue: &str, name: &str, from: usize, nodes: usize) -> Job {
    let held = gang(u32::try_from(nodes).unwrap_or(1), 4);
    let names: Vec<String> = (from..from + nodes).map(|index| format!("n{index}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    of(queue, running(job(name, 0, vec![held.clone()]), &held, &names))
}

// The tree.

#[test]
fn a_team_borrows_what_its_sibling_leaves_and_no_more() {
    let mut world = snapshot(fleet(4, "t4", 4), vec![]);
    world.queues = vec![root(), team("a", 8), team("b", 8)];
    world.jobs = (0..4).map(|index| of("a", job(&format!("a{index}"), index, vec![gang(1, 4)]))).collect();
    assert_eq!(started(&lawful(&world)), ["a0", "a1", "a2", "a3"]);
    let lends_four = Share { lending_limit: Some(4), ..Share::of(8) };
    world.queues[2].classes = Some([(ClassName::new("t4"), lends_four)].into());
    let plan = lawful(&world);
    assert_eq!(started(&plan), ["a0", "a1", "a2"]);
    let said = (Reason::WaitingForQuota, "needs 4 t4 GPUs; queue a holds 12 of 12".into());
    assert_eq!(wait_of(&plan, "a3"), said);
}

#[test]
fn a_queue_whose_parent_is_missing_is_reported_and_borrows_from_nobody() {
    let mut world = snapshot(fleet(4, "t4", 4), vec![of("a", job("wide", 1, vec![gang(3, 4)]))]);
    world.queues = vec![team("a", 8)];
    let faults: Vec<String> = queue_faults(&world.snapshot()).iter().map(ToString::to_string).collect();
    assert_eq!(faults, ["parent root of queue a does not exist; until it does, the queue borrows from nobody"]);
    assert_eq!(wait_of(&lawful(&world), "wide").0, Reason::ExceedsQuota);
}

#[test]
fn a_budget_that_is_used_up_stops_starts_below_it_until_its_period_ends() {
    let mut world = snapshot(fleet(2, "t4", 4), vec![of("a", job("j", 1, vec![gang(1, 4)]))]);
    world.queues = vec![root(), team("a", 8)];
    let budget = Budget { unit: BudgetUnit::GpuHours, limit: 100.0, used: 120.0, period_ends: at(200_000) };
    world.queues[0].budgets = vec![budget.clone()];
    let said = "queue root has used 120.0 of 100.0 GPU-hours; the next period begins at 1970-01-03T07:33:20Z";
    assert_eq!(wait_of(&lawful(&world), "j"), (Reason::BudgetExhausted, said.into()));
    world.queues[0].budgets = vec![Budget { period_ends: at(100_000), ..budget }];
    assert_eq!(started(&lawful(&world)), ["j"]);
}

// The order.

#[test]
fn the_queue_with_the_least_share_for_its_weight_goes_first() {
    let jobs =
        |queue: &str| (0..6).map(|i| of(queue, job(&format!("{queue}{i}"), i, vec![gang(1, 1)]))).collect::<Vec<_>>();
    let mut world = snapshot(fleet(1, "t4", 4), [jobs("a"), jobs("b")].concat());
    world.queues = vec![root(), team("a", 4), team("b", 4)];
    assert_eq!(started(&lawful(&world)), ["a0", "a1", "b0", "b1"]);
    world.queues[1].weight = 3.0;
    assert_eq!(started(&lawful(&world)), ["a0", "a1", "a2", "b0"]);
    // A week of half-life: 5 days of 4 devices count 1.4 devices or so.
    world.queues[1].weight = 1.0;
    world.queues[1].usage = [(ClassName::new("t4"), 4.0 * 5.0 * 86_400.0)].into();
    world.queues[1].usage_at = Some(now());
    assert_eq!(started(&lawful(&world)), ["a0", "b0", "b1", "b2"]);
}

#[test]
fn who_has_waited_past_the_bound_goes_before_higher_priority_in_its_queue() {
    let mut urgent = job("urgent", 99_000, vec![gang(1, 4)]);
    urgent.priority = 100;
    let world = snapshot(fleet(1, "t4", 4), vec![job("old", 13_000, vec![gang(1, 4)]), urgent.clone()]);
    assert_eq!(started(&lawful(&world)), ["old"], "87,000 s");
    let world = snapshot(fleet(1, "t4", 4), vec![job("old", 14_000, vec![gang(1, 4)]), urgent]);
    assert_eq!(started(&lawful(&world)), ["urgent"]);
}

// Preemption.

/// Team b holds all 4 nodes, 8 devices of which it borrows of team a, which wants its own back.
fn lent() -> World {
    let mut world = snapshot(fleet(4, "t4", 4), vec![]);
    world.queues = vec![root(), team("a", 8), team("b", 8)];
    world.jobs = (1..=4).map(|index| on("b", &format!("b{index}"), index, 1)).collect();
    for (index, job) in world.jobs.iter_mut().enumerate() {
        allocation(job).checkpoint_age_seconds = 100.0 * [3.0, 1.0, 2.0, 4.0][index];
    }
    world.jobs.push(of("a", job("a", 90_000, vec![gang(1, 4)])));
    world
}

#[test]
fn nominal_quota_is_reclaimed_from_the_borrower_that_loses_least() {
    let plan = lawful(&lent());
    let Action::Preempt { for_job, message } = action(&plan, "b2") else { unreachable!("{plan:#?}") };
    assert_eq!(for_job.name, "a");
    assert_eq!(
        message,
        "gives 4 t4 GPUs back: a of queue a takes what queue b borrows; stopping it loses 640 GPU-seconds"
    );
    for name in ["b1", "b3", "b4"] {
        assert_eq!(*action(&plan, name), Action::Keep);
    }
    let said = "needs 1 node with 4 free t4 GPUs; 0 such nodes, 0 GPUs free of 16; others were told to give back 4 GPUs \
                for it; 4 more GPUs are coming back from b2";
    assert_eq!(wait_of(&plan, "a"), (Reason::WaitingForPreemption, said.into()));
    assert_eq!(plan.reservations[0].nodes, ["n2"]);
    // While b2 writes its checkpoint, nobody else is stopped.
    let next = apply(lent(), &plan);
    let plan = lawful(&next);
    assert_eq!(plan.reservations[0].nodes, ["n2"]);
    assert!(!plan.decisions.iter().any(|decision| matches!(decision.action, Action::Preempt { .. })));
}

#[test]
fn nobody_is_stopped_who_may_not_be_or_without_need() {
    let undisturbed = |change: &dyn Fn(&mut World)| {
        let mut world = lent();
        change(&mut world);
        let plan = lawful(&world);
        assert!(!plan.decisions.iter().any(|d| matches!(d.action, Action::Preempt { .. } | Action::Move { .. })));
        wait_of(&plan, "a").0
    };
    assert_eq!(undisturbed(&|world| world.rules.moves.enabled = false), Reason::WaitingForQuota);
    assert_eq!(undisturbed(&|world| world.queues[1].preemption.reclaim = Reclaims::Never), Reason::WaitingForQuota);
    assert_eq!(
        undisturbed(&|world| world.queues[1].preemption.reclaim = Reclaims::LowerPriority),
        Reason::WaitingForQuota
    );
    assert_eq!(undisturbed(&|world| world.jobs[4].menu.candidates = vec![gang(3, 4)]), Reason::WaitingForQuota);
    let nobody_may = |world: &mut World| world.jobs[..4].iter_mut().for_each(|job| job.preemptible = false);
    assert_eq!(undisturbed(&nobody_may), Reason::WaitingForQuota);
    let all_start = |world: &mut World| world.jobs[..4].iter_mut().for_each(|job| allocation(job).running = false);
    assert_eq!(undisturbed(&all_start), Reason::WaitingForQuota);
}

#[test]
fn an_elastic_job_is_shrunk_no_further_than_needed_before_any_is_stopped() {
    let mut world = snapshot(fleet(4, "t4", 4), vec![]);
    world.queues = vec![root(), team("a", 8), team("b", 8)];
    let sizes = vec![gang(4, 4), gang(3, 4), gang(2, 4), gang(1, 4)];
    let names = ["n1", "n2", "n3", "n4"];
    let wide = of("b", running(job("wide", 0, sizes.clone()), &sizes[0], &names));
    world.jobs = vec![wide, of("a", job("a", 90_000, vec![gang(1, 4)]))];
    let plan = lawful(&world);
    let Action::Move { candidate, nodes, cause: Cause::Reclaimed, message } = action(&plan, "wide") else {
        unreachable!("{plan:#?}")
    };
    assert_eq!((candidate.shape.gpus(), nodes.len()), (12, 3));
    assert!(message.starts_with("12 t4 GPUs instead of 16: "), "{message}");
    assert_eq!(wait_of(&plan, "a").0, Reason::WaitingForPreemption);
}

#[test]
fn within_a_queue_a_higher_priority_takes_of_a_lower_one_if_the_queue_says_so() {
    let mut world = snapshot(fleet(2, "t4", 4), vec![on("q", "low", 1, 1), on("q", "lower", 2, 1)]);
    world.jobs[1].priority = -1;
    let mut urgent = job("urgent", 90_000, vec![gang(1, 4)]);
    urgent.priority = 5;
    world.jobs.push(urgent);
    let plan = lawful(&world);
    let stopped = ["low", "lower"].map(|name| matches!(action(&plan, name), Action::Preempt { .. }));
    assert_eq!(stopped.iter().filter(|stopped| **stopped).count(), 1);
    world.queues[0].preemption.within_queue = Takes::Never;
    assert_eq!(wait_of(&lawful(&world), "urgent").0, Reason::WaitingForCapacity);
}

#[test]
fn a_job_past_the_bound_may_take_what_another_queue_borrows() {
    let mut world = lent();
    // Team a holds its own 8; team b borrows 4 of what team c leaves.
    world.queues = vec![root(), team("a", 4), team("b", 8), team("c", 4)];
    world.jobs.remove(0);
    world.jobs.push(on("a", "own", 1, 1));
    assert_eq!(wait_of(&lawful(&world), "a").0, Reason::WaitingForQuota, "it would borrow itself");
    world.jobs.iter_mut().filter(|job| job.key.name == "a").for_each(|job| job.waiting_since = Some(at(1000)));
    assert_eq!(wait_of(&lawful(&world), "a").0, Reason::WaitingForPreemption);
}

// Backfill.

/// A wide gang waits for both nodes; one is free, on the other a job ends in 1000 s.
fn half_full() -> World {
    let mut ends = on("q", "ends", 1, 1);
    ends.remaining_steps = Some(1000);
    allocation(&mut ends).step_seconds = Some(1.0);
    let wide = job("wide", 1, vec![gang(2, 4)]);
    snapshot(fleet(2, "t4", 4), vec![ends, wide])
}

fn narrow(name: &str, steps: Option<u64>, gpus: u32) -> Job {
    let mut job = job(name, 2, vec![gang(1, gpus)]);
    job.remaining_steps = steps;
    job
}

#[test]
fn a_wide_gang_gets_nodes_and_a_time_and_only_who_ends_before_may_use_them() {
    let mut world = half_full();
    world.jobs.extend([narrow("long", Some(1001), 4), narrow("unknown", None, 4), narrow("short", Some(1000), 4)]);
    let plan = lawful(&world);
    assert_eq!(started(&plan), ["short"]);
    let reservation = &plan.reservations[0];
    assert_eq!((&*reservation.job.name, reservation.starts_at), ("wide", Some(at(101_000))));
    let Action::Wait { numbers, .. } = action(&plan, "wide") else { unreachable!() };
    let start = numbers.start.expect("it is estimated");
    assert_eq!((start.earliest_seconds, start.likely_seconds, start.latest_seconds), (800.0, 1000.0, 1500.0));
    let said = "needs 1 node with 4 free t4 GPUs; 0 such nodes, 0 GPUs free of 8; kept for wide, which is ahead";
    assert_eq!(wait_of(&plan, "long").1, said, "so it was when it had its turn");
}

#[test]
fn what_the_wide_gang_does_not_need_may_be_used_for_as_long_as_one_likes() {
    let mut world = half_full();
    world.jobs[1].menu.candidates = vec![gang(2, 3)];
    world.jobs.extend([narrow("one", None, 1), narrow("two", None, 2)]);
    let plan = lawful(&world);
    assert_eq!(started(&plan), ["one"]);
    let said = "needs 1 node with 2 free t4 GPUs; 1 such node, 3 GPUs free of 8; kept for wide, which is ahead";
    assert_eq!(wait_of(&plan, "two").1, said);
}

#[test]
fn without_a_predicted_end_nothing_is_kept() {
    let mut world = half_full();
    world.jobs[0].remaining_steps = None;
    world.jobs.push(narrow("unknown", None, 4));
    let plan = lawful(&world);
    assert_eq!(started(&plan), ["unknown"]);
    assert!(plan.reservations.is_empty());
}

#[test]
fn who_waits_is_told_what_would_fit_now_and_what_would_make_it_run() {
    let mut world = half_full();
    world.jobs[1].menu.candidates.push(candidate(shape("t4", 1, 4), 2.5, true));
    let plan = lawful(&world);
    let Action::Wait { numbers, .. } = action(&plan, "wide") else { unreachable!() };
    assert_eq!(numbers.fits_now, Some(shape("t4", 1, 4)));
    let would = "it runs once 1 more node has 4 free t4 GPUs; 1 node with 4 t4 GPUs of its menu would fit now";
    assert_eq!(numbers.would_run.as_deref(), Some(would));
}
