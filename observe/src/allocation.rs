//! The revision in force, from a job's status to the words of sizing and scheduling.

use plimsoll_crds::training_job::{self as api, Allocation, Degrees};
use plimsoll_sizing::{Batch, ClassName, Current, Layout, Offload, Recompute, Schedule, Shape, Sharding};

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
            ..further(&allocation.degrees, positive(allocation.data_parallel)?)?
        },
        batch: Batch {
            micro: positive(allocation.micro_batch)?,
            accumulation: positive(allocation.gradient_accumulation)?,
            global: positive(allocation.global_batch)?,
        },
    })
}

/// A layout of `data` ranks with the degrees and options that stand apart; what is absent is 1 or nothing.
pub(crate) fn further(degrees: &Degrees, data: u32) -> Option<Layout> {
    let or_one = |degree: Option<i32>| positive(degree.unwrap_or(1));
    Some(Layout {
        pipeline: or_one(degrees.pipeline_parallel)?,
        context: or_one(degrees.context_parallel)?,
        expert: or_one(degrees.expert_parallel)?,
        shard_group: degrees.shard_group.map_or(Some(0), positive)?,
        sequence_parallel: degrees.sequence_parallel.unwrap_or_default(),
        extra_stages: or_one(degrees.virtual_stages)? - 1,
        schedule: schedule(degrees.schedule.unwrap_or_default()),
        offload: offload(degrees.offload.unwrap_or_default()),
        ..Layout::data_parallel(data)
    })
}

/// The degrees and options of a layout that stand apart in the API.
pub fn degrees(layout: &Layout) -> Degrees {
    let above_one = |degree: u32| (degree > 1).then(|| count(degree));
    let other = |schedule: &Schedule| *schedule != Schedule::default();
    Degrees {
        pipeline_parallel: above_one(layout.pipeline),
        context_parallel: above_one(layout.context),
        expert_parallel: above_one(layout.expert),
        shard_group: (layout.shard_group > 0).then(|| count(layout.shard_group)),
        sequence_parallel: layout.sequence_parallel.then_some(true),
        schedule: Some(layout.schedule).filter(other).map(|schedule| match schedule {
            Schedule::OneForwardOneBackward => api::Schedule::OneForwardOneBackward,
            Schedule::GPipe => api::Schedule::GPipe,
            Schedule::ZeroBubble => api::Schedule::ZeroBubble,
        }),
        virtual_stages: above_one(layout.virtual_stages()),
        offload: match layout.offload {
            Offload::None => None,
            Offload::Optimizer => Some(api::Offload::Optimizer),
            Offload::All => Some(api::Offload::All),
        },
    }
}

pub(crate) fn shape(class: &str, pods: i32, gpus_per_pod: i32) -> Option<Shape> {
    Some(Shape { class: ClassName::new(class), pods: positive(pods)?, gpus_per_pod: positive(gpus_per_pod)? })
}

pub(crate) fn positive(count: i32) -> Option<u32> {
    u32::try_from(count).ok().filter(|count| *count > 0)
}

pub(crate) fn count(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

pub(crate) fn schedule(schedule: api::Schedule) -> Schedule {
    match schedule {
        api::Schedule::OneForwardOneBackward => Schedule::OneForwardOneBackward,
        api::Schedule::GPipe => Schedule::GPipe,
        api::Schedule::ZeroBubble => Schedule::ZeroBubble,
    }
}

pub(crate) fn offload(offload: api::Offload) -> Offload {
    match offload {
        api::Offload::None => Offload::None,
        api::Offload::Optimizer => Offload::Optimizer,
        api::Offload::All => Offload::All,
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn layouts() -> impl Strategy<Value = Layout> {
        let schedules =
            prop_oneof![Just(Schedule::OneForwardOneBackward), Just(Schedule::GPipe), Just(Schedule::ZeroBubble)];
        let offloads = prop_oneof![Just(Offload::None), Just(Offload::Optimizer), Just(Offload::All)];
        let degrees = (1..64_u32, 1..64_u32, 1..64_u32, 1..64_u32);
        (degrees, 0..64_u32, any::<bool>(), 0..8_u32, schedules, offloads).prop_map(
            |((data, pipeline, context, expert), shard_group, sequence_parallel, extra_stages, schedule, offload)| {
                Layout {
                    pipeline,
                    context,
                    expert,
                    shard_group,
                    sequence_parallel,
                    extra_stages,
                    schedule,
                    offload,
                    ..Layout::data_parallel(data)
                }
            },
        )
    }

    proptest! {
        #[test]
        fn degrees_survive_the_way_to_the_api_and_back(layout in layouts()) {
            prop_assert_eq!(further(&degrees(&layout), layout.data), Some(layout));
        }
    }

    #[test]
    fn an_allocation_that_an_older_plimsoll_stored_is_read_and_says_no_more_than_it_did() {
        let stored = serde_json::json!({
            "revision": 1, "class": "l4", "gpus": 4, "pods": 1, "gpusPerPod": 4, "nodes": ["a"], "dataParallel": 2,
            "tensorParallel": 2, "sharding": "None", "recompute": "Full", "microBatch": 4, "gradientAccumulation": 1,
            "globalBatch": 8, "batch": "4 x 1 x 2",
        });
        let allocation: Allocation = serde_json::from_value(stored.clone()).expect("an allocation");
        let layout = current(&allocation).expect("positive counts").layout;
        assert_eq!((layout.pipeline, layout.context, layout.expert, layout.virtual_stages()), (1, 1, 1, 1));
        assert_eq!(serde_json::to_value(&allocation).expect("JSON"), stored);
    }
}
