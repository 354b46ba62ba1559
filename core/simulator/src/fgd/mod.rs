//! Pods with shares of GPUs until a cluster is full: how much of its GPUs each policy leaves unallocated.
//!
//! The experiment of the FGD paper (Weng et al., USENIX ATC 2023, section 6.2 onwards) by the rules of its authors' simulator
//! (hkust-adsl/kubernetes-scheduler-simulator): pods come in a seeded random order and never leave; one that fits nowhere when it
//! comes is dropped; once all of the trace have come, more are drawn from it until so many GPUs were asked for.

mod arrivals;
mod machine;
mod policy;

use crate::openb::{Node, Pod};
use crate::random::Random;
use arrivals::Kinds;
use machine::Machine;
pub use policy::Policy;
use policy::Scores;

/// What became of a cluster's GPUs.
#[derive(Clone, Debug, PartialEq)]
pub struct Saturation {
    /// Share of the cluster's GPUs that was not allocated when as much had been asked for as each of the given shares of its
    /// capacity; 0 to 1.
    pub unallocated: Vec<f64>,
    /// Pods that were placed.
    pub placed: usize,
    /// Pods that fitted nowhere.
    pub dropped: usize,
}

/// Lets pods come until they have asked for the last of `shares` (rising; 1 is the capacity) of the nodes' GPUs.
///
/// The same seed gives the same pods in the same order to every policy, and the same outcome. No pods, or nodes without GPUs, leave
/// everything unallocated.
pub fn saturate(nodes: &[Node], pods: &[Pod], policy: Policy, shares: &[f64], seed: u64) -> Saturation {
    let Kinds { requests, counts, of_pod } = Kinds::new(pods);
    let (mut machines, models) = Machine::all(nodes);
    let capacity: u64 = machines.iter().map(|machine| u64::from(machine.free_milli())).sum();
    let gpus_of = |model| machines.iter().filter(|machine| machine.model == model).map(|machine| machine.gpus).sum();
    let gpus: Vec<u32> = (0..models.len()).map(gpus_of).collect();
    let mut scores = Scores::new(policy, &requests, &counts, &models, &gpus);
    let mut chance = Random::new(&[seed, 1]);
    let mut outcome = Saturation { unallocated: Vec::new(), placed: 0, dropped: 0 };
    let (mut asked, mut allocated) = (0_u64, 0_u64);
    let most = shares.last().copied().unwrap_or(0.0);
    let mut open = shares.iter().copied().peekable();
    let unallocated = |allocated: u64| if capacity == 0 { 1.0 } else { 1.0 - allocated as f64 / capacity as f64 };
    for at in arrivals::order(pods, most * capacity as f64, seed) {
        let kind = of_pod[at];
        let gpu_milli = u64::from(requests[kind].total_gpu_milli());
        asked += gpu_milli;
        match scores.best(&machines, kind, &mut chance) {
            Some((machine, device)) => {
                machines[machine].take(&requests[kind], device);
                scores.changed(machine);
                allocated += gpu_milli;
                outcome.placed += 1;
            }
            None => outcome.dropped += 1,
        }
        while open.next_if(|share| asked as f64 >= share * capacity as f64).is_some() {
            outcome.unallocated.push(unallocated(allocated));
        }
    }
    // The last pod that was drawn may end a little before the mark.
    outcome.unallocated.extend(open.map(|_| unallocated(allocated)));
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openb::{Phase, Qos};

    fn node(name: &str, gpus: u32) -> Node {
        Node { name: name.into(), cpu_milli: 64_000, memory_mib: 262_144, gpus, model: "T4".into() }
    }

    fn pod(name: &str, gpus: u32, gpu_milli: u32) -> Pod {
        Pod {
            name: name.into(),
            cpu_milli: 4000,
            memory_mib: 8192,
            gpus,
            gpu_milli,
            models: Vec::new(),
            qos: Qos::Burstable,
            phase: Phase::Running,
            created: 0,
            deleted: 0,
            scheduled: None,
        }
    }

    fn cluster() -> (Vec<Node>, Vec<Pod>) {
        let nodes = (0..24).map(|index| node(&format!("n{index}"), [2, 4, 8][index % 3])).collect();
        let sizes = [(1, 1000), (1, 460), (2, 1000), (1, 300), (8, 1000), (1, 900), (4, 1000), (0, 0)];
        let pods = (0..160).map(|index| {
            let (gpus, milli) = sizes[index % sizes.len()];
            pod(&format!("p{index}"), gpus, milli)
        });
        (nodes, pods.collect())
    }

    #[test]
    fn the_same_seed_gives_the_same_outcome_and_another_seed_another() {
        let (nodes, pods) = cluster();
        for policy in Policy::ALL {
            let run = |seed| saturate(&nodes, &pods, policy, &[1.0, 1.3], seed);
            assert_eq!(run(1), run(1));
        }
        let run = |seed| saturate(&nodes, &pods, Policy::Random, &[1.0, 1.3], seed);
        assert!((1..9).any(|seed| run(seed) != run(0)));
    }

    #[test]
    fn no_policy_allocates_more_than_there_is_or_loses_a_pod() {
        let (nodes, pods) = cluster();
        for policy in Policy::ALL {
            let outcome = saturate(&nodes, &pods, policy, &[0.5, 1.0, 1.3], 3);
            assert_eq!(outcome.unallocated.len(), 3);
            assert!(outcome.unallocated.iter().all(|share| (0.0..=1.0).contains(share)), "{policy:?}: {outcome:?}");
            assert!(outcome.unallocated.windows(2).all(|pair| pair[1] <= pair[0]), "{policy:?}: {outcome:?}");
            assert!(outcome.placed > 0 && outcome.dropped > 0, "{policy:?}: {outcome:?}");
        }
    }

    #[test]
    fn who_counts_fragments_keeps_a_whole_node_for_the_pod_that_needs_it() {
        // Half of what comes wants all four GPUs of a node, the other half one: the small ones belong on the node of two.
        let nodes = [node("a", 4), node("b", 2)];
        let pods = [pod("wide", 4, 1000), pod("narrow-1", 1, 1000), pod("narrow-2", 1, 1000)];
        for policy in [Policy::Plimsoll, Policy::Fgd] {
            for seed in 0..20 {
                assert_eq!(saturate(&nodes, &pods, policy, &[1.0], seed).unallocated, [0.0], "{policy:?} {seed}");
            }
        }
    }
}
