//! Counts of devices and how they stand on nodes.

use crate::{ClassSpec, JobSpec, Mode, Shape};

/// Nodes up to which every whole number is tried; beyond it powers of two and all of them.
const EVERY_NODE_COUNT: u32 = 8;

/// Shapes of a class within the job's limits, the smallest first: powers of two inside a node, whole nodes beyond, and
/// exactly the requested count.
pub(super) fn shapes(job: &JobSpec, class: &ClassSpec) -> Vec<Shape> {
    let most = job.max_gpus.min(class.gpus());
    let mut counts: Vec<u32> = match job.mode {
        Mode::Off => vec![job.reference_gpus()],
        Mode::Initial | Mode::Auto => {
            let unit = job.gpus_per_pod.unwrap_or(class.gpus_per_node);
            let inside = if job.gpus_per_pod.is_some() { Vec::new() } else { powers_below(unit) };
            let pods = node_counts(class.nodes).into_iter().filter_map(|nodes| nodes.checked_mul(unit));
            inside.into_iter().chain(pods).chain(job.requested_gpus).collect()
        }
    };
    if job.mode != Mode::Off {
        counts.retain(|count| (job.min_gpus.max(1)..=most).contains(count));
    }
    counts.sort_unstable();
    counts.dedup();
    counts.into_iter().filter_map(|count| shape(job, class, count)).collect()
}

fn powers_below(limit: u32) -> Vec<u32> {
    (0..u32::BITS).map(|power| 1 << power).take_while(|count| *count < limit).collect()
}

fn node_counts(nodes: u32) -> Vec<u32> {
    let few = 1..=nodes.min(EVERY_NODE_COUNT);
    let many = (0..u32::BITS).map(|power| 1_u32 << power).take_while(|count| *count < nodes);
    few.chain(many.filter(|count| *count > EVERY_NODE_COUNT))
        .chain((nodes > EVERY_NODE_COUNT).then_some(nodes))
        .collect()
}

/// `count` devices as equal pods on as many nodes, the fewest pods first; `None` when the class cannot hold them so.
fn shape(job: &JobSpec, class: &ClassSpec, count: u32) -> Option<Shape> {
    if count == 0 || class.gpus_per_node == 0 {
        return None;
    }
    let fits = |pods: u32| count.is_multiple_of(pods) && count / pods <= class.gpus_per_node && pods <= class.nodes;
    let pods = match job.gpus_per_pod {
        Some(each) => Some(count / each.max(1)).filter(|pods| *pods > 0 && pods * each == count && fits(*pods)),
        None => (count.div_ceil(class.gpus_per_node)..=count.min(class.nodes)).find(|pods| fits(*pods)),
    }?;
    Some(Shape { class: class.name.clone(), pods, gpus_per_pod: count / pods })
}
