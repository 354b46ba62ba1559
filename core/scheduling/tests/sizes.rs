//! How jobs share devices by size, told case by case.

mod world;

use plimsoll_menu::Candidate;
use plimsoll_scheduling::{Action, Cause, Elasticity, Job, plan};
use world::*;

/// Sizes of 4, 8 and 16 devices with falling returns.
fn menu() -> Vec<Candidate> {
    let sizes = [(4, 1.0), (2, 1.2), (1, 1.6)];
    let mut menu: Vec<Candidate> =
        sizes.iter().map(|&(pods, step)| candidate(shape("t4", pods, 4), step, true)).collect();
    menu.iter_mut().for_each(|candidate| candidate.batch.global = 16);
    menu
}

fn elastic(name: &str, arrival: i64) -> Job {
    let mut job = job(name, arrival, menu());
    job.remaining_steps = Some(50_000);
    job
}

#[test]
fn a_job_alone_takes_all_that_makes_it_faster() {
    let plan = lawful(&snapshot(fleet(4, "t4", 4), vec![elastic("a", 1)]));
    assert_eq!(nodes_of(&plan, "a").len(), 4);
}

#[test]
fn jobs_that_come_together_share() {
    let jobs = ["a", "b", "c", "d"].map(|name| elastic(name, 1)).to_vec();
    let plan = lawful(&snapshot(fleet(4, "t4", 4), jobs));
    for name in ["a", "b", "c", "d"] {
        assert_eq!(nodes_of(&plan, name).len(), 1, "{name}");
    }
}

/// `a` runs on the whole cluster, and `b` has come.
fn crowded() -> World {
    let a = running(elastic("a", 1), &menu()[0], &["n1", "n2", "n3", "n4"]);
    snapshot(fleet(4, "t4", 4), vec![a, elastic("b", 99_000)])
}

#[test]
fn a_running_job_gives_up_what_is_worth_more_to_one_that_waits() {
    let plan = lawful(&crowded());
    let Action::Move { candidate, cause: Cause::Reclaimed, message, .. } = action(&plan, "a") else {
        unreachable!("{plan:#?}")
    };
    assert_eq!(candidate.shape.gpus(), 8);
    assert_eq!(
        message,
        "8 t4 GPUs instead of 16: sized together with all other jobs it is to have no more, and b waits for the rest; \
         stopping it loses 960 GPU-seconds"
    );
    assert_eq!(wait(&plan, "b").0, "WaitingForPreemption");
}

#[test]
fn nobody_gives_anything_up_who_may_not_be_moved_or_just_was() {
    let keeps = |change: fn(&mut World)| {
        let mut world = crowded();
        change(&mut world);
        *action(&lawful(&world), "a") == Action::Keep
    };
    assert!(keeps(|world| world.rules.moves.enabled = false));
    assert!(keeps(|world| world.jobs[0].elasticity = Elasticity::Moldable));
    assert!(keeps(|world| world.jobs[0].preemptible = false));
    assert!(keeps(|world| allocation(&mut world.jobs[0]).since = at(99_900)));
    assert!(keeps(|world| world.jobs[0].remaining_steps = Some(60)), "it ends in a minute");
    assert!(keeps(|world| world.jobs[0].restart_seconds = 7200.0), "it costs more than it brings");
}

#[test]
fn a_job_of_higher_priority_is_sized_first() {
    let mut jobs = ["a", "b"].map(|name| elastic(name, 1)).to_vec();
    jobs[1].priority = 10;
    let plan = lawful(&snapshot(fleet(4, "t4", 4), jobs));
    assert_eq!(nodes_of(&plan, "b").len(), 4);
    assert_eq!(wait(&plan, "a").0, "WaitingForCapacity");
}

#[test]
fn sizes_stay_for_a_round_and_who_comes_in_between_gets_what_is_left() {
    let mut jobs = ["a", "b"].map(|name| elastic(name, 1)).to_vec();
    let mut snapshot = snapshot(fleet(4, "t4", 4), jobs.clone()).snapshot();
    let first = plan(&snapshot, now()).sizes.expect("sizes were chosen");
    let gpus = |sizes: &plimsoll_scheduling::Sizes, name: &str| {
        let size = sizes.jobs.iter().find(|size| size.job.name == name).expect("it was sized");
        size.shape.as_ref().map_or(0, plimsoll_menu::Shape::gpus)
    };
    assert_eq!((gpus(&first, "a"), gpus(&first, "b")), (8, 8));
    jobs.push(elastic("c", 2));
    snapshot.jobs = jobs.into_iter().collect();
    snapshot.sizes = Some(first.clone());
    let in_between = plan(&snapshot, now()).sizes.expect("sizes were carried on");
    assert_eq!(in_between.chosen_at, first.chosen_at);
    assert_eq!((gpus(&in_between, "a"), gpus(&in_between, "b"), gpus(&in_between, "c")), (8, 8, 0));
    let next = plan(&snapshot, at(100_060)).sizes.expect("sizes were chosen anew");
    assert_eq!(next.chosen_at, at(100_060));
    assert!(gpus(&next, "c") > 0, "{next:?}");
}

#[test]
fn a_running_job_grows_no_further_than_its_size() {
    let a = running(elastic("a", 1), &menu()[2], &["n1"]);
    let b = running(elastic("b", 1), &menu()[2], &["n2"]);
    let plan = lawful(&snapshot(fleet(4, "t4", 4), vec![a, b]));
    for name in ["a", "b"] {
        let Action::Move { candidate, cause: Cause::Faster, .. } = action(&plan, name) else {
            unreachable!("{plan:#?}")
        };
        assert_eq!(candidate.shape.gpus(), 8, "{name}");
    }
}
