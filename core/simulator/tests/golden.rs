//! Published results, to the second, and an oracle.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test may end at the first surprise")]

mod oracle;

use oracle::GavelOracle;
use plimsoll_simulator::policy::{Gavel, Policy, Tiresias};
use plimsoll_simulator::profile::Catalogue;
use plimsoll_simulator::{Cluster, Outcome, Rules, builtin, simulate, workload};

const PUBLISHED: &str = include_str!("../traces/pollux-osdi21/tiresias.csv");

/// A built-in workload, by number from 1, on 16 nodes of 4 T4.
fn run(number: usize, policy: &mut dyn Policy, rules: &Rules) -> Outcome {
    let cluster: Cluster = "t4=16x4".parse().unwrap();
    let catalogue = Catalogue::read(&builtin::profiles(), &["t4".to_owned()]).unwrap();
    let (name, text) = builtin::WORKLOADS[number - 1];
    let jobs = workload::read_csv(name, text).unwrap();
    simulate(&jobs, &cluster, &catalogue, policy, rules).unwrap()
}

#[test]
fn tiresias_ends_every_job_of_the_eight_workloads_of_pollux_when_its_authors_published_it() {
    let mut lines = PUBLISHED.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
    for number in 1..=8 {
        let outcome = run(number, &mut Tiresias::default(), &Rules::POLLUX);
        assert_eq!(outcome.jobs.len(), 160);
        for job in &outcome.jobs {
            let published = lines.next().unwrap();
            assert_eq!((published[0], published[1]), (number.to_string().as_str(), job.name.as_str()));
            assert_eq!(
                job.completion_seconds(),
                published[2].parse::<f64>().unwrap(),
                "{} of workload {number}",
                job.name
            );
        }
        if number == 6 {
            assert_eq!(outcome.figures().average_seconds, 3469.69375);
        }
    }
}

#[test]
fn gavel_ends_every_job_when_its_oracle_does() {
    for number in [1, 6] {
        let fast = run(number, &mut Gavel::default(), &Rules::SIA);
        let plain = run(number, &mut GavelOracle::default(), &Rules::SIA);
        assert_eq!((fast.jobs, fast.rounds), (plain.jobs, plain.rounds), "workload {number}");
    }
}
