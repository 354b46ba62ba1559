//! What holds whatever the policy.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::collections::BTreeSet;

use plimsoll_simulator::policy::{NAMES, by_name};
use plimsoll_simulator::profile::Catalogue;
use plimsoll_simulator::workload::{Submission, read_csv};
use plimsoll_simulator::{Cluster, Outcome, Rules, builtin, simulate};

/// The first jobs of a workload of Pollux that ask for a node at most.
fn jobs(count: usize) -> Vec<Submission> {
    let (name, text) = builtin::WORKLOADS[1];
    let all = read_csv(name, text).unwrap();
    let small = ["ncf", "cifar10"];
    all.into_iter()
        .filter(|job| small.contains(&job.application.as_str()))
        .map(|job| Submission { gpus: job.gpus.min(4), ..job })
        .take(count)
        .collect()
}

fn run(name: &str, rules: &Rules) -> Outcome {
    let cluster: Cluster = "t4=3x4".parse().unwrap();
    let catalogue = Catalogue::read(&builtin::profiles(), &["t4".to_owned()]).unwrap();
    simulate(&jobs(7), &cluster, &catalogue, by_name(name, 0.2, 1).unwrap().as_mut(), rules).unwrap()
}

#[test]
fn every_policy_ends_every_job_without_overcommitting_a_node_and_twice_the_same() {
    for name in NAMES.iter().filter(|name| **name != "pollux") {
        for rules in [Rules::SIA, Rules::POLLUX, Rules::real(1)] {
            let outcome = run(name, &rules);
            assert!(outcome.jobs.iter().all(|job| job.completed_at >= job.submitted_at), "{name}");
            assert_eq!(outcome, run(name, &rules), "{name}");
        }
    }
}

#[test]
fn every_name_is_a_policy_of_that_name() {
    for name in NAMES {
        assert_eq!(by_name(name, 0.2, 1).unwrap().name(), name);
    }
    assert_eq!(NAMES.iter().collect::<BTreeSet<_>>().len(), NAMES.len());
    assert!(by_name("lottery", 0.0, 1).is_none());
}

#[test]
fn events_are_seen_at_once_where_rounds_make_jobs_wait() {
    let average = |rules: &Rules| run("fifo", rules).figures().average_seconds;
    let events = Rules { events_seconds: Some(5.0), ..Rules::SIA };
    assert!(average(&events) < average(&Rules::SIA));
}

#[test]
fn a_real_world_loses_work_to_failures() {
    let calm = run("fifo", &Rules { world: plimsoll_simulator::World::CALM, ..Rules::real(1) });
    let mut world = plimsoll_simulator::World::CALM;
    world.gpu_hours_between_failures = 2.0;
    world.checkpoint_seconds = 600.0;
    let failing = run("fifo", &Rules { world, ..Rules::real(1) });
    assert!(failing.figures().restarts_per_job > 0.0);
    assert!(failing.figures().average_seconds > calm.figures().average_seconds);
}
