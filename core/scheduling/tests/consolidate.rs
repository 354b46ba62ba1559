//! Moves of the same shape, which are made only to let a waiting gang start.

mod world;

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_scheduling::{
    Action, Consolidation, Elasticity, Job, JobKey, Relocation, Snapshot, Standing, consolidate, plan,
};
use proptest::prelude::*;
use world::{allocation, candidate, job, node, now, running, shape, snapshot};

fn key(name: &str) -> JobKey {
    JobKey { namespace: "ns".into(), name: name.into() }
}

/// A job that holds devices on these nodes; a restart costs it 60 s.
fn holding(name: &str, gpus: u32, nodes: &[&str]) -> Job {
    let held = candidate(shape("h100", u32::try_from(nodes.len()).unwrap_or(1), gpus), 1.0, true);
    let mut job = running(job(name, 0, vec![held.clone()]), &held, nodes);
    job.needs.base.pods = 1;
    job
}

fn gang(pods: u32, gpus: u32) -> Job {
    job("gang", 1, vec![candidate(shape("h100", pods, gpus), 1.0, true)])
}

fn four_nodes(jobs: Vec<Job>) -> Snapshot {
    snapshot((1..=4).map(|at| node(&format!("n{at}"), "h100", 8)).collect(), jobs).snapshot()
}

fn moves(found: &Consolidation) -> Vec<(String, Vec<String>)> {
    found.moves.iter().map(|one| (one.job.name.clone(), one.nodes.clone())).collect()
}

#[test]
fn scattered_room_becomes_a_whole_node_by_the_cheapest_move() {
    let jobs = vec![
        holding("a", 4, &["n1"]),
        holding("b", 2, &["n2"]),
        holding("c", 6, &["n3"]),
        holding("d", 8, &["n4"]),
        gang(1, 8),
    ];
    let found = consolidate(&four_nodes(jobs), &key("gang"), 3600.0, now()).expect("b goes to a's node");
    assert_eq!(found.nodes, ["n2"]);
    assert_eq!(moves(&found), [("b".to_owned(), vec!["n3".to_owned()])]);
    assert_eq!((found.lost_gpu_seconds, found.gained_gpu_seconds), (120.0, 8.0 * 3600.0));
}

#[test]
fn nobody_moves_for_a_wait_that_is_shorter_than_what_it_loses() {
    let jobs = || vec![holding("a", 4, &["n1"]), holding("b", 4, &["n2"]), holding("c", 8, &["n3", "n4"]), gang(1, 8)];
    assert!(consolidate(&four_nodes(jobs()), &key("gang"), 29.0, now()).is_none());
    assert!(consolidate(&four_nodes(jobs()), &key("gang"), 31.0, now()).is_some());
}

#[test]
fn nobody_moves_when_the_gang_fits_anyway_or_nobody_may() {
    let jobs = vec![holding("a", 4, &["n1"]), gang(2, 8)];
    assert!(consolidate(&four_nodes(jobs), &key("gang"), 3600.0, now()).is_none());
    let stays = |change: &dyn Fn(&mut Job)| {
        let mut jobs = vec![holding("a", 4, &["n1"]), holding("b", 4, &["n2"]), holding("c", 8, &["n3", "n4"])];
        jobs.iter_mut().for_each(change);
        jobs.push(gang(1, 8));
        consolidate(&four_nodes(jobs), &key("gang"), 3600.0, now()).is_none()
    };
    assert!(!stays(&|_| {}));
    assert!(stays(&|job| job.elasticity = Elasticity::Fixed));
    assert!(stays(&|job| job.preemptible = false));
    assert!(stays(&|job| job.priority = 1));
    assert!(stays(&|job| allocation(job).running = false));
    assert!(!stays(&|job| job.elasticity = Elasticity::Moldable));
}

#[test]
fn a_plan_makes_room_in_one_piece_for_who_waits_for_it() {
    let mut jobs = vec![
        holding("a", 4, &["n1"]),
        holding("b", 2, &["n2"]),
        holding("c", 6, &["n3"]),
        holding("d", 8, &["n4"]),
        gang(1, 8),
    ];
    jobs[3].remaining_steps = None;
    let snapshot = four_nodes(jobs);
    let planned = plan(&snapshot, now());
    let violations = plimsoll_scheduling::check::check(&snapshot, &planned, now());
    assert!(violations.is_empty(), "{violations:#?}");
    let decided =
        |name: &str| &planned.decisions.iter().find(|one| one.job.name == name).expect("it is decided").action;
    let Action::Move { nodes, cause, message, .. } = decided("b") else { unreachable!("{planned:#?}") };
    assert_eq!((nodes.as_slice(), *cause), (&["n3".to_owned()][..], plimsoll_scheduling::Cause::Consolidated));
    assert_eq!(message, "n3 instead of n2: leaves room in one piece that gang needs; the move loses 120 GPU-seconds");
    assert_eq!(planned.reservations.iter().map(|one| one.nodes.clone()).collect::<Vec<_>>(), [["n2"]]);
    assert_eq!(decided("a"), &Action::Keep);
}

fn snapshots() -> impl Strategy<Value = Snapshot> {
    let held = prop::collection::vec((1_u32..=8, 0_usize..10, 0_u32..4, 0_u8..8, any::<bool>()), 0..16);
    (3_usize..10, held, 1_u32..4, prop_oneof![3 => Just(8_u32), 1 => Just(4), 1 => Just(6)]).prop_map(
        |(count, held, pods, gpus)| {
            let mut nodes: Vec<_> = (0..count).map(|at| node(&format!("n{at}"), "h100", 8)).collect();
            // Devices and cores.
            let mut free = vec![(8, 63); count];
            let mut jobs = Vec::new();
            for (index, (gpus, at, restart, flaw, wide)) in held.into_iter().enumerate() {
                let wide = usize::from(wide && index % 3 == 0);
                let on: Vec<usize> = (0..=wide).map(|next| (at + next) % count).collect();
                let cores = gpus + if flaw == 3 { 30 } else { 1 };
                if on.iter().any(|at| free[*at].0 < gpus || free[*at].1 < cores)
                    || on.len() != on.iter().collect::<BTreeSet<_>>().len()
                {
                    continue;
                }
                on.iter().for_each(|at| free[*at] = (free[*at].0 - gpus, free[*at].1 - cores));
                let names: Vec<String> = on.iter().map(|at| format!("n{at}")).collect();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let mut job = holding(&format!("j{index:02}"), gpus, &names);
                job.restart_seconds = f64::from(30 * restart);
                match flaw {
                    0 => job.elasticity = Elasticity::Fixed,
                    1 => job.preemptible = false,
                    2 => nodes[at % count].open = false,
                    3 => job.needs.base.cpu_milli = 30_000,
                    _ => {}
                }
                jobs.push(job);
            }
            jobs.push(gang(pods, gpus));
            snapshot(nodes, jobs).snapshot()
        },
    )
}

/// Devices and CPU that each node holds at most, when each job counts with these nodes at once.
fn held(snapshot: &Snapshot, on: &BTreeMap<&JobKey, BTreeSet<&str>>) -> BTreeMap<String, (u64, u64)> {
    let mut totals: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for job in snapshot.jobs.iter() {
        let gpus = u64::from(job.menu.candidates[0].shape.gpus_per_pod);
        let cpus = job.needs.base.cpu_milli + gpus * job.needs.per_gpu.cpu_milli;
        for node in on.get(&job.key).into_iter().flatten() {
            let total = totals.entry((*node).to_owned()).or_default();
            *total = (total.0 + gpus, total.1 + cpus);
        }
    }
    totals
}

fn room_is_enough(snapshot: &Snapshot, on: &BTreeMap<&JobKey, BTreeSet<&str>>) -> bool {
    held(snapshot, on).iter().all(|(name, (gpus, cpus))| {
        let node = snapshot.nodes.get(name.as_str()).expect("it exists");
        *gpus <= u64::from(node.gpus) && *cpus + node.held_by_others.cpu_milli <= node.allocatable.cpu_milli
    })
}

/// The nodes of each job as things are.
fn standing(snapshot: &Snapshot) -> BTreeMap<&JobKey, BTreeSet<&str>> {
    let nodes = |standing: &Standing| match standing {
        Standing::Placed(held) => held.nodes.clone(),
        _ => Vec::new(),
    };
    let known = |name: &String| snapshot.nodes.get(name.as_str()).expect("it exists").name.as_str();
    snapshot.jobs.iter().map(|job| (&job.key, nodes(&job.standing).iter().map(known).collect())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_proposal_can_be_carried_out_pays_and_moves_nobody_needlessly(snapshot in snapshots()) {
        let Some(found) = consolidate(&snapshot, &key("gang"), 600.0, now()) else { return Ok(()) };
        let before = standing(&snapshot);
        let mut both = before.clone();
        let mut after = before.clone();
        let mut lost = 0.0;
        for Relocation { job, candidate, nodes } in &found.moves {
            let job = snapshot.jobs.get(job).expect("it exists");
            let Standing::Placed(held) = &job.standing else { panic!("{} holds nothing", job.key) };
            prop_assert!(job.elasticity != Elasticity::Fixed && job.preemptible);
            prop_assert_eq!(&candidate.shape, &held.shape);
            let nodes: BTreeSet<&str> = nodes.iter().map(String::as_str).collect();
            prop_assert_eq!(nodes.len(), held.nodes.len());
            prop_assert!(nodes.iter().all(|name| snapshot.nodes.get(*name).is_some_and(|node| node.open)));
            prop_assert_ne!(&nodes, &before[&job.key]);
            lost += job.restart_seconds * f64::from(held.shape.gpus());
            both.entry(&job.key).or_default().extend(&nodes);
            after.insert(&job.key, nodes);
        }
        prop_assert!(!found.moves.is_empty() && lost == found.lost_gpu_seconds && lost < found.gained_gpu_seconds);
        // While all move at once, and once the gang has what it was promised.
        prop_assert!(room_is_enough(&snapshot, &both));
        let gang = key("gang");
        let nodes: BTreeSet<&str> = found.nodes.iter().map(String::as_str).collect();
        prop_assert_eq!(nodes.len(), found.shape.pods as usize);
        prop_assert!(nodes.iter().all(|name| snapshot.nodes.get(*name).is_some_and(|node| node.open)));
        after.insert(&gang, nodes);
        prop_assert!(room_is_enough(&snapshot, &after));
        // Without any one of the moves the gang would not have room there.
        for Relocation { job, .. } in &found.moves {
            let mut without = after.clone();
            without.insert(job, before[job].clone());
            prop_assert!(!room_is_enough(&snapshot, &without), "{job} could stay");
        }
        // It could not start as things are.
        let plan = plan(&snapshot, now());
        let decided = plan.decisions.iter().find(|decision| decision.job == gang).expect("it is decided");
        let starts = matches!(decided.action, Action::Start { .. });
        prop_assert!(!starts);
    }

    #[test]
    fn a_single_move_that_frees_a_node_for_a_pod_is_found_and_none_cheaper_exists(snapshot in snapshots()) {
        let waiting = snapshot.jobs.get(&key("gang")).expect("it waits");
        let before = standing(&snapshot);
        let gang = key("gang");
        let fits = |on: &BTreeMap<&JobKey, BTreeSet<&str>>| {
            snapshot.nodes.iter().filter(|node| node.open).any(|node| {
                let mut on = on.clone();
                on.insert(&gang, [node.name.as_str()].into());
                room_is_enough(&snapshot, &on)
            })
        };
        if waiting.menu.candidates[0].shape.pods > 1 || fits(&before) {
            return Ok(());
        }
        let mut cheapest = f64::INFINITY;
        for job in snapshot.jobs.iter().filter(|job| job.elasticity != Elasticity::Fixed && job.preemptible) {
            let Standing::Placed(held) = &job.standing else { continue };
            let lost = job.restart_seconds * f64::from(held.shape.gpus());
            if held.nodes.len() > 1 || lost >= 600.0 * f64::from(waiting.menu.candidates[0].shape.gpus()) {
                continue;
            }
            for node in snapshot.nodes.iter().filter(|node| node.open && node.name != held.nodes[0]) {
                let (mut both, mut after) = (before.clone(), before.clone());
                both.entry(&job.key).or_default().insert(&node.name);
                after.insert(&job.key, [node.name.as_str()].into());
                if room_is_enough(&snapshot, &both) && fits(&after) {
                    cheapest = cheapest.min(lost);
                }
            }
        }
        let found = consolidate(&snapshot, &gang, 600.0, now());
        let lost = found.map_or(f64::INFINITY, |found| found.lost_gpu_seconds);
        prop_assert!(lost <= cheapest, "{lost} though {cheapest} is enough");
    }
}
