//! Where gangs go: topology, linked devices, slices, fragments.

mod world;

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_scheduling::{Action, Job, Node, Snapshot, TopologyAsk, plan};
use proptest::prelude::*;
use world::{action, candidate, job, node, nodes_of, now, resources, shape, snapshot, wait};

const BLOCK: &str = "example.com/block";
const RACK: &str = "example.com/rack";

fn asking(required: Option<&str>, preferred: Option<&str>) -> TopologyAsk {
    TopologyAsk { required: required.map(str::to_owned), preferred: preferred.map(str::to_owned) }
}

fn gang(name: &str, pods: u32, gpus: u32, topology: TopologyAsk) -> Job {
    Job { topology, ..job(name, 0, vec![candidate(shape("h100", pods, gpus), 1.0, true)]) }
}

/// A node of 8 devices, some of them held by pods outside the plan, in a rack of a block.
fn standing(name: &str, block: &str, rack: &str, held: u32) -> Node {
    let mut node = node(name, "h100", 8);
    node.gpus_held_by_others = held;
    node.labels = [(BLOCK, block), (RACK, rack)].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    node
}

fn cluster(nodes: Vec<Node>, jobs: Vec<Job>) -> Snapshot {
    Snapshot { topology: vec![BLOCK.to_owned(), RACK.to_owned()], ..snapshot(nodes, jobs).snapshot() }
}

/// Clusters of two blocks with racks of the same names, with nodes that are partly held, closed, poor in CPU or without labels.
fn clusters() -> impl Strategy<Value = Vec<Node>> {
    let one = (0_u8..2, 0_u8..3, prop_oneof![4 => Just(0_u32), 1 => 1_u32..9], 0_u8..12);
    prop::collection::vec(one, 1..60).prop_map(|all| {
        let build = |(index, (block, rack, held, flaw))| {
            let mut node = standing(&format!("n{index:02}"), &format!("b{block}"), &format!("r{rack}"), held);
            match flaw {
                0 => node.open = false,
                1 => node.allocatable = resources(6, 256, 110),
                2 => drop(node.labels.remove(RACK)),
                3 => node.labels.clear(),
                _ => {}
            }
            node
        };
        all.into_iter().enumerate().map(build).collect()
    })
}

/// The nodes that could take a pod of 8 devices, by the domain that they stand in.
fn free<'n>(nodes: &'n [Node], keys: &[&str]) -> BTreeMap<Vec<&'n String>, BTreeSet<&'n str>> {
    let mut domains: BTreeMap<Vec<&String>, BTreeSet<&str>> = BTreeMap::new();
    for node in nodes {
        let labels: Vec<&String> = keys.iter().filter_map(|key| node.labels.get(*key)).collect();
        let cpus = node.allocatable.cpu_milli - node.held_by_others.cpu_milli;
        if node.open && node.gpus_held_by_others == 0 && cpus >= 9000 && labels.len() == keys.len() {
            domains.entry(labels).or_default().insert(&node.name);
        }
    }
    domains
}

fn one_has_room(domains: &BTreeMap<Vec<&String>, BTreeSet<&str>>, pods: usize) -> bool {
    domains.values().any(|nodes| nodes.len() >= pods)
}

fn in_one(domains: &BTreeMap<Vec<&String>, BTreeSet<&str>>, nodes: &BTreeSet<&str>) -> bool {
    domains.values().any(|domain| nodes.is_subset(domain))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_gang_that_prefers_a_rack_is_in_one_whenever_one_has_room(nodes in clusters(), pods in 1_usize..9) {
        let job = gang("a", u32::try_from(pods).unwrap_or(1), 8, asking(None, Some(RACK)));
        let plan = plan(&cluster(nodes.clone(), vec![job]), now());
        let (racks, blocks, all) = (free(&nodes, &[BLOCK, RACK]), free(&nodes, &[BLOCK]), free(&nodes, &[]));
        match action(&plan, "a") {
            Action::Start { nodes, .. } => {
                let nodes: BTreeSet<&str> = nodes.iter().map(String::as_str).collect();
                prop_assert_eq!(nodes.len(), pods);
                prop_assert!(in_one(&all, &nodes));
                prop_assert!(in_one(&racks, &nodes) || !one_has_room(&racks, pods), "{nodes:?} {racks:?}");
                prop_assert!(in_one(&blocks, &nodes) || !one_has_room(&blocks, pods), "{nodes:?} {blocks:?}");
            }
            _ => prop_assert!(!one_has_room(&all, pods)),
        }
    }

    #[test]
    fn a_gang_that_requires_a_rack_is_in_one_or_waits_for_one(nodes in clusters(), pods in 1_usize..9) {
        let job = gang("a", u32::try_from(pods).unwrap_or(1), 8, asking(Some(RACK), None));
        let plan = plan(&cluster(nodes.clone(), vec![job]), now());
        let (racks, all) = (free(&nodes, &[BLOCK, RACK]), free(&nodes, &[]));
        match action(&plan, "a") {
            Action::Start { nodes, .. } => {
                let nodes: BTreeSet<&str> = nodes.iter().map(String::as_str).collect();
                prop_assert!(nodes.len() == pods && in_one(&racks, &nodes), "{nodes:?}");
            }
            Action::Wait { reason, numbers, .. } => {
                prop_assert!(!one_has_room(&racks, pods));
                let most = racks.values().map(BTreeSet::len).max().unwrap_or(0);
                prop_assert_eq!(numbers.nodes_together, u32::try_from(most).ok());
                let enough_in_all = one_has_room(&all, pods);
                let word = reason.to_string();
                prop_assert!(word == "ExceedsCluster" || (word == "WaitingForTopology") == enough_in_all, "{word}");
            }
            other => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn a_gang_that_asks_for_nothing_is_in_the_narrowest_domain_that_has_room(nodes in clusters(), pods in 2_usize..9) {
        let job = gang("a", u32::try_from(pods).unwrap_or(1), 8, TopologyAsk::default());
        let plan = plan(&cluster(nodes.clone(), vec![job]), now());
        if let Action::Start { nodes: chosen, .. } = action(&plan, "a") {
            let chosen: BTreeSet<&str> = chosen.iter().map(String::as_str).collect();
            for keys in [&[BLOCK, RACK][..], &[BLOCK]] {
                let domains = free(&nodes, keys);
                prop_assert!(in_one(&domains, &chosen) || !one_has_room(&domains, pods), "{chosen:?} {domains:?}");
            }
        }
    }
}

#[test]
fn racks_of_the_same_name_in_two_blocks_are_two() {
    let nodes = vec![standing("n1", "b1", "r1", 0), standing("n2", "b2", "r1", 0)];
    let plan = plan(&cluster(nodes, vec![gang("a", 2, 8, asking(Some(RACK), None))]), now());
    let (reason, message) = wait(&plan, "a");
    assert_eq!(reason, "ExceedsCluster");
    assert_eq!(
        message,
        "needs 2 nodes with 8 h100 GPUs each (16 GPUs) in one example.com/rack; its pods may use 1 such nodes in one, \
         in a cluster of 16 h100 GPUs"
    );
}

#[test]
fn who_waits_for_a_rack_is_told_how_much_room_the_best_one_has() {
    let free = |rack: &str, name: &str, held| standing(name, "b1", rack, held);
    let nodes = vec![free("r1", "n1", 0), free("r1", "n2", 4), free("r2", "n3", 0), free("r2", "n4", 8)];
    let plan = plan(&cluster(nodes, vec![gang("a", 2, 8, asking(Some(RACK), None))]), now());
    let (reason, message) = wait(&plan, "a");
    assert_eq!(reason, "WaitingForTopology");
    assert_eq!(
        message,
        "needs 2 nodes with 8 free h100 GPUs each (16 GPUs) in one example.com/rack; 1 such node in the one with most; \
         2 such nodes, 20 GPUs free of 32"
    );
}

#[test]
fn a_level_that_the_cluster_does_not_have_is_named() {
    let nodes = vec![standing("n1", "b1", "r1", 0)];
    let plan = plan(&cluster(nodes, vec![gang("a", 1, 8, asking(Some("example.com/row"), None))]), now());
    let (reason, message) = wait(&plan, "a");
    assert_eq!(reason, "ExceedsCluster");
    assert!(message.contains("in one example.com/row, which is no level of the cluster's topology"), "{message}");
}

#[test]
fn a_gang_wider_than_every_rack_takes_as_few_as_it_can() {
    let nodes = ["r1", "r1", "r2", "r2", "r2", "r3", "r3", "r3"];
    let nodes = nodes.iter().enumerate().map(|(at, rack)| standing(&format!("n{at}"), "b1", rack, 0)).collect();
    let snapshot = cluster(nodes, vec![gang("a", 5, 8, asking(None, Some(RACK)))]);
    // Three of one rack, and the rack of two rather than a part of the other three.
    assert_eq!(nodes_of(&plan(&snapshot, now()), "a"), ["n0", "n1", "n2", "n3", "n4"]);
}

#[test]
fn a_single_pod_leaves_whole_racks_to_those_who_need_them() {
    let nodes = vec![standing("n1", "b1", "r1", 0), standing("n2", "b1", "r1", 0), standing("n3", "b1", "r2", 0)];
    let snapshot = cluster(nodes, vec![gang("a", 1, 8, TopologyAsk::default())]);
    assert_eq!(nodes_of(&plan(&snapshot, now()), "a"), ["n3"]);
}

#[test]
fn a_gang_of_several_nodes_prefers_those_that_are_linked_with_each_other() {
    let mut nodes: Vec<Node> = (1..=4).map(|at| standing(&format!("n{at}"), "b1", "r1", 0)).collect();
    for at in [1, 3] {
        nodes[at].link_domain = Some("clique-7".to_owned());
    }
    let snapshot = cluster(nodes, vec![gang("a", 2, 8, asking(Some(RACK), None))]);
    assert_eq!(nodes_of(&plan(&snapshot, now()), "a"), ["n2", "n4"]);
}

#[test]
fn a_pod_goes_where_one_linked_set_has_room_for_it_whole() {
    let linked = |name: &str, free: u32, links: &[u32]| {
        let mut node = standing(name, "b1", "r1", 8 - free);
        node.links = links.to_vec();
        node
    };
    let nodes = vec![linked("n1", 8, &[2, 2, 2, 2]), linked("n2", 8, &[3, 5]), linked("n3", 8, &[4, 4])];
    let place = |gpus| {
        let jobs = vec![gang("a", 1, gpus, TopologyAsk::default())];
        nodes_of(&plan(&cluster(nodes.clone(), jobs), now()), "a").join(" ")
    };
    assert_eq!(place(2), "n1");
    assert_eq!(place(3), "n2");
    assert_eq!(place(4), "n3");
    // No set has six: then the first.
    assert_eq!(place(6), "n1");
}

#[test]
fn a_slice_of_a_device_takes_a_pod_of_one_device_and_no_gang() {
    let sliced = |name: &str| Node { partitioned: true, ..standing(name, "b1", "r1", 0) };
    let nodes = vec![sliced("n1"), sliced("n2")];
    let jobs = vec![
        gang("one", 1, 1, Default::default()),
        gang("two", 1, 2, Default::default()),
        gang("pair", 2, 1, Default::default()),
    ];
    let plan = plan(&cluster(nodes, jobs), now());
    assert_eq!(nodes_of(&plan, "one"), ["n1"]);
    assert_eq!(wait(&plan, "two").0, "ExceedsCluster");
    assert_eq!(wait(&plan, "pair").0, "ExceedsCluster");
}

#[test]
fn a_pod_goes_where_it_breaks_up_the_least_of_what_others_want() {
    // Everybody else wants four devices: two of six leave four whole, two of five leave three that nobody wants.
    let nodes = vec![standing("n1", "b1", "r1", 3), standing("n2", "b1", "r1", 2)];
    let others = (0..3).map(|at| {
        let mut other = gang(&format!("other-{at}"), 1, 4, TopologyAsk::default());
        other.queue = "missing".into();
        other
    });
    let jobs = others.chain([gang("a", 1, 2, TopologyAsk::default())]).collect();
    assert_eq!(nodes_of(&plan(&cluster(nodes, jobs), now()), "a"), ["n2"]);
}
