//! Published results, to the second, and an oracle.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test may end at the first surprise")]

mod oracle;

use oracle::GavelOracle;
use plimsoll_simulator::policy::{Gavel, Policy, Tiresias};
use plimsoll_simulator::profile::Catalogue;
use plimsoll_simulator::{Cluster, Outcome, Rules, builtin, simulate, workload};

const PUBLISHED: &str = include_str!("../traces/pollux-osdi21/tiresias-workload-6.csv");

/// A built-in workload, by number from 1, on 16 nodes of 4 T4.
fn run(number: usize, policy: &mut dyn Policy, rules: &Rules) -> Outcome {
    let cluster: Cluster = "t4=16x4".parse().unwrap();
    let catalogue = Catalogue::read(&builtin::profiles(), &["t4".to_owned()]).unwrap();
    let (name, text) = builtin::WORKLOADS[number - 1];
    let jobs = workload::read_csv(name, text).unwrap();
    simulate(&jobs, &cluster, &catalogue, policy, rules).unwrap()
}

#[test]
fn tiresias_ends_every_job_of_pollux_workload_6_when_its_authors_published_it() {
    let outcome = run(6, &mut Tiresias::default(), &Rules::POLLUX);
    let published: Vec<(&str, f64)> = PUBLISHED
        .lines()
        .skip(1)
        .map(|line| line.split_once(',').map(|(name, seconds)| (name, seconds.parse().unwrap())).unwrap())
        .collect();
    let simulated: Vec<(&str, f64)> =
        outcome.jobs.iter().map(|job| (job.name.as_str(), job.completion_seconds())).collect();
    assert_eq!(simulated.len(), 160);
    assert_eq!(simulated, published);
    assert_eq!(outcome.figures().average_seconds, 3469.69375);
}

#[test]
fn gavel_ends_every_job_when_its_oracle_does() {
    for number in [1, 6] {
        let fast = run(number, &mut Gavel::default(), &Rules::SIA);
        let plain = run(number, &mut GavelOracle::default(), &Rules::SIA);
        assert_eq!((fast.jobs, fast.rounds), (plain.jobs, plain.rounds), "workload {number}");
    }
}
