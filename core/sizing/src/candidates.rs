//! The ways to run a job that are worth looking at: shapes, layouts and cuts of the batch.

use crate::{Batch, ClassSpec, JobSpec, Layout, Mode, Model, Recompute, Shape, Sharding};

/// Nodes up to which every whole number is tried; beyond it powers of two and all of them.
const EVERY_NODE_COUNT: u32 = 8;

/// Shapes of a class within the job's limits, the smallest first: powers of two inside a node, whole nodes beyond, and
/// exactly the requested count.
pub(crate) fn shapes(job: &JobSpec, class: &ClassSpec) -> Vec<Shape> {
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

/// Layouts over a shape: what the program accepts is varied, the rest is as declared.
pub(crate) fn layouts(job: &JobSpec, shape: &Shape) -> Vec<Layout> {
    let tensors = if job.accepts.tensor { vec![1, 2, 4, 8] } else { vec![job.declared.tensor.max(1)] };
    let recomputes =
        if job.accepts.recompute { vec![Recompute::None, Recompute::Full] } else { vec![job.declared.recompute] };
    let mut layouts = Vec::new();
    for tensor in tensors.into_iter().filter(|tensor| divides(job, shape, *tensor)) {
        let data = shape.gpus() / tensor;
        if !job.accepts.data && data != declared_data(job) {
            continue;
        }
        let shardings = match (job.accepts.sharding, data) {
            (false, _) => vec![job.declared.sharding],
            (true, 1) => vec![Sharding::None],
            (true, _) => vec![Sharding::None, Sharding::Optimizer, Sharding::Gradients, Sharding::Full],
        };
        for sharding in shardings {
            for recompute in &recomputes {
                let plain = Layout::data_parallel(data);
                layouts.push(Layout { tensor, sharding, recompute: *recompute, ..plain });
            }
        }
    }
    layouts
}

/// Data-parallel ranks of a program that cannot be told.
fn declared_data(job: &JobSpec) -> u32 {
    job.declared.data.unwrap_or_else(|| job.reference_gpus() / job.declared.tensor.max(1))
}

/// Whether a tensor-parallel degree stays inside a node and divides the heads.
fn divides(job: &JobSpec, shape: &Shape, tensor: u32) -> bool {
    let heads = match &job.model {
        Model::Transformer(t) => t.heads.is_multiple_of(tensor) && t.kv_heads.is_multiple_of(tensor),
        // A model of unknown structure can be split only as declared.
        _ => !job.accepts.tensor || tensor == job.declared.tensor.max(1),
    };
    heads && shape.gpus_per_pod.is_multiple_of(tensor)
}

/// Cuts of the global batch over `data` ranks, the largest micro-batch first, with what the program cannot be told as
/// declared; what was neither accepted nor declared is what is left of the batch.
pub(crate) fn cuts(job: &JobSpec, data: u32) -> Vec<Batch> {
    let with_accumulation = |accumulation: u32| {
        let per_rank = job.global_batch / data.max(1);
        let micro = per_rank.checked_div(accumulation).unwrap_or(0);
        Batch::cut(job.global_batch, data, micro)
            .into_iter()
            .filter(|batch| batch.accumulation == accumulation)
            .collect()
    };
    let with_micro = |micro: u32| Batch::cut(job.global_batch, data, micro).into_iter().collect();
    let (micro, accumulation) = (job.declared.micro_batch, job.declared.accumulation);
    match (job.accepts.micro_batch, job.accepts.gradient_accumulation) {
        (true, true) => all_cuts(job.global_batch, data),
        (true, false) => with_accumulation(accumulation.unwrap_or(1)),
        (false, true) => micro.map_or_else(|| with_accumulation(accumulation.unwrap_or(1)), with_micro),
        (false, false) => match (micro, accumulation) {
            (Some(micro), Some(accumulation)) => {
                let cut: Vec<Batch> = with_micro(micro);
                cut.into_iter().filter(|batch| batch.accumulation == accumulation).collect()
            }
            (Some(micro), None) => with_micro(micro),
            (None, accumulation) => with_accumulation(accumulation.unwrap_or(1)),
        },
    }
}

/// Every cut of a batch over `data` ranks, the largest micro-batch first: one for each divisor, found in pairs, since a
/// batch may hold millions of samples.
fn all_cuts(global: u32, data: u32) -> Vec<Batch> {
    let Some(per_rank) = global.checked_div(data) else { return Vec::new() };
    let pairs = (1..=per_rank.isqrt()).filter(|small| per_rank.is_multiple_of(*small));
    let mut micros: Vec<u32> = pairs.flat_map(|small| [small, per_rank / small]).collect();
    micros.sort_unstable_by(|a, b| b.cmp(a));
    micros.dedup();
    micros.into_iter().filter_map(|micro| Batch::cut(global, data, micro).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_cuts_are_those_of_the_batch() {
        for global in [1, 7, 96, 480, 1024] {
            for data in 1..=9 {
                assert_eq!(all_cuts(global, data), Batch::cuts(global, data), "{global} over {data}");
            }
        }
    }
}
