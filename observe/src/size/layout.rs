//! What a program can be told of its layout, and what it has whatever it is told, to sizing.

use plimsoll_crds::training_job as api;
use plimsoll_sizing::{Accepts, Declared};

use super::{SpecError, optional};
use crate::allocation::{offload, recompute, schedule, sharding};

pub(super) fn accepts(parallelism: Option<&api::Parallelism>) -> Accepts {
    let Some(parallelism) = parallelism else { return Accepts::default() };
    let word = |word| parallelism.accepts.contains(&word);
    Accepts {
        micro_batch: word(api::ParallelismWord::MicroBatch),
        gradient_accumulation: word(api::ParallelismWord::GradientAccumulation),
        data: word(api::ParallelismWord::Data),
        sharding: word(api::ParallelismWord::Sharding),
        tensor: word(api::ParallelismWord::Tensor),
        pipeline: word(api::ParallelismWord::Pipeline),
        context: word(api::ParallelismWord::Context),
        expert: word(api::ParallelismWord::Expert),
        recompute: word(api::ParallelismWord::Recompute),
        offload: word(api::ParallelismWord::Offload),
    }
}

pub(super) fn declared(declared: Option<&api::Declared>) -> Result<Declared, SpecError> {
    let Some(declared) = declared else { return Ok(Declared::default()) };
    let degree = |field, value| Ok::<_, SpecError>(optional(field, value)?.unwrap_or(1));
    Ok(Declared {
        micro_batch: optional("parallelism.declared.microBatch", declared.micro_batch)?,
        accumulation: optional("parallelism.declared.gradientAccumulation", declared.gradient_accumulation)?,
        data: None,
        tensor: degree("parallelism.declared.tensor", declared.tensor)?,
        sequence_parallel: declared.sequence_parallel.unwrap_or_default(),
        pipeline: degree("parallelism.declared.pipeline", declared.pipeline)?,
        schedule: schedule(declared.schedule.unwrap_or_default()),
        virtual_stages: degree("parallelism.declared.virtualStages", declared.virtual_stages)?,
        context: degree("parallelism.declared.context", declared.context)?,
        expert: degree("parallelism.declared.expert", declared.expert)?,
        sharding: sharding(declared.sharding.unwrap_or_default()),
        shards_in_pod: declared.shards_in_pod.unwrap_or_default(),
        recompute: recompute(declared.recompute.unwrap_or_default()),
        offload: offload(declared.offload.unwrap_or_default()),
    })
}
