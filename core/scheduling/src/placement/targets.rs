//! What is expected of each class: the pods that the menus of all jobs ask for.

use std::collections::BTreeMap;

use plimsoll_menu::ClassName;

use super::fragmentation::{Expected, Room, Target, WHOLE_GPU_MILLI, Wish};
use crate::amounts::Amounts;
use crate::{Job, Node};

/// Kinds of pods that count, the most frequent of each class: the rest is rare, and each costs time at every node.
const MOST_KINDS: usize = 16;

/// The target workload of each class.
pub(crate) struct Targets<'a>(BTreeMap<&'a ClassName, Target>);

impl<'a> Targets<'a> {
    /// Every job counts with the most preferred size of its menu in each class, each pod of it as one.
    pub(crate) fn new(nodes: &[&'a Node], jobs: &[&'a Job]) -> Self {
        let mut gpus: BTreeMap<&ClassName, u32> = BTreeMap::new();
        for node in nodes {
            *gpus.entry(&node.class).or_default() += node.gpus;
        }
        // By class: devices, CPU and memory of a pod, and how many pods.
        let mut pods: BTreeMap<&ClassName, BTreeMap<(i64, i64, i64), f64>> = BTreeMap::new();
        for job in jobs {
            let mut seen: Vec<&ClassName> = Vec::new();
            for candidate in &job.menu.candidates {
                let shape = &candidate.shape;
                if seen.contains(&&shape.class) || !gpus.contains_key(&shape.class) {
                    continue;
                }
                seen.push(&shape.class);
                let pod = Amounts::of_pod(&job.needs, shape.gpus_per_pod);
                let of_class = pods.entry(&shape.class).or_default();
                *of_class.entry(pod.gpus_cpu_memory()).or_default() += f64::from(shape.pods);
                if seen.len() == gpus.len() {
                    break;
                }
            }
        }
        let mut target = |class: &'a ClassName, gpus: u32| {
            let mut kinds: Vec<_> = pods.remove(class).unwrap_or_default().into_iter().collect();
            kinds.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            kinds.truncate(MOST_KINDS);
            let expected: Vec<Expected> = kinds.into_iter().map(|(pod, weight)| expected(pod, weight)).collect();
            Target::of_kinds(&[gpus], &expected).pop().unwrap_or_default()
        };
        Self(gpus.iter().map(|(class, gpus)| (*class, target(class, *gpus))).collect())
    }

    /// GPUs that a pod would add to what a node with this room loses.
    pub(super) fn added_loss(&self, class: &ClassName, room: Amounts, pod: Amounts) -> f64 {
        let Some(target) = self.0.get(class) else { return 0.0 };
        let loss = |room: Amounts| {
            let (gpus, cpu_milli, memory_bytes) = room.gpus_cpu_memory();
            let whole_gpus = u32::try_from(gpus).unwrap_or(0);
            target.loss(&Room { whole_gpus, shared_milli: &[], cpu_milli, memory_bytes })
        };
        loss(room.minus(pod)) - loss(room)
    }
}

fn expected((gpus, cpu_milli, memory_bytes): (i64, i64, i64), weight: f64) -> Expected {
    let unsigned = |amount: i64| u64::try_from(amount).unwrap_or(0);
    let wish = Wish {
        gpus: u32::try_from(gpus).unwrap_or(0),
        gpu_milli: WHOLE_GPU_MILLI,
        cpu_milli: unsigned(cpu_milli),
        memory_bytes: unsigned(memory_bytes),
        weight,
    };
    Expected { wish, admitted: vec![true] }
}
