//! Published results, to the second.

use plimsoll_simulator::policy::Tiresias;
use plimsoll_simulator::profile::Catalogue;
use plimsoll_simulator::{Cluster, Rules, builtin, simulate, workload};

const PUBLISHED: &str = include_str!("../traces/pollux-osdi21/tiresias-workload-6.csv");

#[test]
fn tiresias_ends_every_job_of_pollux_workload_6_when_its_authors_published_it() {
    let cluster: Cluster = "t4=16x4".parse().unwrap();
    let catalogue = Catalogue::read(&builtin::profiles(), &["t4".to_owned()]).unwrap();
    let (name, text) = builtin::WORKLOADS[5];
    let jobs = workload::read_csv(name, text).unwrap();
    let outcome = simulate(&jobs, &cluster, &catalogue, &mut Tiresias::default(), &Rules::POLLUX).unwrap();
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
