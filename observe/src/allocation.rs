//! The revision in force, from a job's status to the words of sizing and scheduling.

use plimsoll_crds::training_job::{self as api, Allocation};
use plimsoll_sizing::{Batch, ClassName, Current, Layout, Recompute, Shape, Sharding};

/// The name of a revision, which is that of its Service: `<job>-r<revision>`.
pub fn revision_name(job: &str, revision: u32) -> String {
    format!("{job}-r{revision}")
}

/// The name of a pod of a revision: `<job>-r<revision>-<index>`.
pub fn pod_name(job: &str, revision: u32, index: usize) -> String {
    format!("{}-{index}", revision_name(job, revision))
}

/// Shape, layout and batch of an allocation; `None` when a count in it is not positive, which Plimsoll never writes.
pub fn current(allocation: &Allocation) -> Option<Current> {
    Some(Current {
        shape: shape(&allocation.class, allocation.pods, allocation.gpus_per_pod)?,
        layout: Layout {
            tensor: positive(allocation.tensor_parallel)?,
            sharding: sharding(allocation.sharding),
            recompute: recompute(allocation.recompute),
            ..Layout::data_parallel(positive(allocation.data_parallel)?)
        },
        batch: Batch {
            micro: positive(allocation.micro_batch)?,
            accumulation: positive(allocation.gradient_accumulation)?,
            global: positive(allocation.global_batch)?,
        },
    })
}

pub(crate) fn shape(class: &str, pods: i32, gpus_per_pod: i32) -> Option<Shape> {
    Some(Shape { class: ClassName::new(class), pods: positive(pods)?, gpus_per_pod: positive(gpus_per_pod)? })
}

pub(crate) fn positive(count: i32) -> Option<u32> {
    u32::try_from(count).ok().filter(|count| *count > 0)
}

pub(crate) fn sharding(sharding: api::Sharding) -> Sharding {
    match sharding {
        api::Sharding::None => Sharding::None,
        api::Sharding::Optimizer => Sharding::Optimizer,
        api::Sharding::Gradients => Sharding::Gradients,
        api::Sharding::Full => Sharding::Full,
    }
}

pub(crate) fn recompute(recompute: api::Recompute) -> Recompute {
    match recompute {
        api::Recompute::None => Recompute::None,
        api::Recompute::Selective => Recompute::Selective,
        api::Recompute::Full => Recompute::Full,
    }
}
