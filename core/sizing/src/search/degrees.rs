//! Parallel degrees: how a model is spread over the devices of a shape.

use crate::{JobSpec, Layout, Model, Offload, Recompute, Shape, Sharding};

/// Most pipeline stages that are looked at.
const STAGES: u32 = 64;

/// Fewest tokens of a sample that are worth a context rank of their own.
const TOKENS: u32 = 1024;

/// Every way to spread a job over a shape that the program can be told, the one with the fewest devices for each copy of
/// the model first; what it cannot be told is as declared.
pub(super) fn degrees(job: &JobSpec, shape: &Shape) -> Vec<Layout> {
    let (declared, limits, gpus) = (&job.declared, Limits::of(job), shape.gpus());
    let mut layouts = Vec::new();
    for tensor in choices(job.accepts.tensor, declared.tensor, shape.gpus_per_pod, u32::MAX) {
        if !limits.takes_tensor(job, tensor) || !shape.gpus_per_pod.is_multiple_of(tensor) {
            continue;
        }
        for pipeline in choices(job.accepts.pipeline, declared.pipeline, gpus / tensor, limits.stages(job)) {
            let left = gpus / tensor / pipeline;
            for context in choices(job.accepts.context, declared.context, left, limits.context) {
                // Each rank has two pieces of the sequence, one from either end, so that causal work is even.
                if job.accepts.context && context > 1 && !job.sequence_length.is_multiple_of(2 * context) {
                    continue;
                }
                let devices = tensor.saturating_mul(pipeline).saturating_mul(context);
                if !gpus.is_multiple_of(devices) {
                    continue;
                }
                let data = gpus / devices;
                if !job.accepts.data && data != declared_data(job) {
                    continue;
                }
                for expert in experts(job, &limits, data, in_pod(shape, tensor, context)) {
                    layouts.push(spread(job, shape, Degrees { data, tensor, pipeline, context, expert }));
                }
            }
        }
    }
    layouts.sort_by_key(|layout| (copy(layout), layout.expert, layout.pipeline, layout.context));
    layouts
}

/// Devices that hold one copy of a model.
pub(super) fn copy(layout: &Layout) -> u32 {
    layout.tensor.saturating_mul(layout.pipeline).saturating_mul(layout.context)
}

/// Layouts of the same degrees with what the ranks share out and what is computed again varied, where the program can be
/// told, and nothing on the host that need not be there.
pub(super) fn options(job: &JobSpec, degrees: &Layout) -> Vec<Layout> {
    let recomputes: &[Recompute] =
        if job.accepts.recompute { &[Recompute::None, Recompute::Full] } else { &[job.declared.recompute] };
    let ranks = degrees.sharing_ranks().saturating_mul(degrees.context.max(1));
    let shardings: &[Sharding] = match (job.accepts.sharding, ranks, degrees.pipeline) {
        (false, ..) => &[job.declared.sharding],
        (true, 1, _) => &[Sharding::None],
        // A pipeline would gather weights and scatter gradients again for every micro-batch.
        (true, _, 2..) => &[Sharding::None, Sharding::Optimizer],
        (true, ..) => &[Sharding::None, Sharding::Optimizer, Sharding::Gradients, Sharding::Full],
    };
    let with =
        |sharding| recomputes.iter().map(move |recompute| Layout { sharding, recompute: *recompute, ..*degrees });
    shardings.iter().flat_map(|sharding| with(*sharding)).collect()
}

struct Degrees {
    data: u32,
    tensor: u32,
    pipeline: u32,
    context: u32,
    expert: u32,
}

/// A layout of the degrees with the traits of the program, all else as declared.
fn spread(job: &JobSpec, shape: &Shape, degrees: Degrees) -> Layout {
    let Degrees { data, tensor, pipeline, context, expert } = degrees;
    let declared = &job.declared;
    let fellows = in_pod(shape, tensor, context);
    let group = if declared.shards_in_pod && data > fellows && data.is_multiple_of(fellows) { fellows } else { 0 };
    let piped = pipeline > 1;
    Layout {
        tensor,
        pipeline,
        context,
        expert,
        sharding: declared.sharding,
        recompute: declared.recompute,
        shard_group: group,
        sequence_parallel: declared.sequence_parallel && tensor > 1,
        extra_stages: if piped { declared.virtual_stages.max(1) - 1 } else { 0 },
        schedule: if piped { declared.schedule } else { Default::default() },
        offload: if job.accepts.offload { Offload::None } else { declared.offload },
        ..Layout::data_parallel(data)
    }
}

/// Data-parallel ranks of one pod.
fn in_pod(shape: &Shape, tensor: u32, context: u32) -> u32 {
    (shape.gpus_per_pod / tensor.saturating_mul(context).max(1)).max(1)
}

/// Data-parallel ranks of a program that cannot be told.
pub(super) fn declared_data(job: &JobSpec) -> u32 {
    let declared = &job.declared;
    let degrees = [declared.tensor, declared.pipeline, declared.context];
    let devices = degrees.into_iter().fold(1, |all: u32, degree| all.saturating_mul(degree.max(1)));
    declared.data.unwrap_or_else(|| job.reference_gpus() / devices)
}

/// The degrees to look at: the declared one, or all up to the limit that divide the devices.
fn choices(accepted: bool, declared: u32, devices: u32, limit: u32) -> Vec<u32> {
    if !accepted {
        return vec![declared.max(1)];
    }
    (1..=devices.min(limit).max(1)).filter(|degree| devices.is_multiple_of(*degree)).collect()
}

/// Expert-parallel ranks to look at: none, as many as stand in a pod, and as many as there can be.
fn experts(job: &JobSpec, limits: &Limits, data: u32, in_pod: u32) -> Vec<u32> {
    if !job.accepts.expert {
        return vec![job.declared.expert.max(1)];
    }
    let all =
        || choices(true, 1, data, limits.experts).into_iter().filter(|degree| limits.experts.is_multiple_of(*degree));
    let mut few = vec![1];
    few.extend(all().take_while(|degree| *degree <= in_pod).last());
    few.extend(all().next_back());
    few.dedup();
    few
}

/// How far a model can be cut.
struct Limits {
    /// Heads that tensor ranks share out; `None`: of unknown structure, cut as declared.
    heads: Option<(u32, u32)>,
    layers: u32,
    context: u32,
    /// Routed experts; 1 without.
    experts: u32,
}

impl Limits {
    fn of(job: &JobSpec) -> Self {
        let of = |heads, layers, experts| {
            let pieces = job.sequence_length / TOKENS;
            Self { heads, layers, context: if pieces > 1 { pieces } else { 1 }, experts }
        };
        match &job.model {
            Model::Transformer(t) => {
                let experts = t.experts.as_ref().map_or(1, |experts| experts.count.max(1));
                of(Some((t.heads, t.kv_heads)), t.layers, experts)
            }
            Model::EncoderDecoder(both) => {
                let heads = (both.encoder.heads, both.decoder.kv_heads);
                Self { context: 1, ..of(Some(heads), both.encoder.layers.saturating_add(both.decoder.layers), 1) }
            }
            _ => Self { heads: None, layers: 1, context: 1, experts: 1 },
        }
    }

    fn takes_tensor(&self, job: &JobSpec, tensor: u32) -> bool {
        match self.heads {
            Some((heads, kv_heads)) => heads.is_multiple_of(tensor) && kv_heads.is_multiple_of(tensor),
            None => !job.accepts.tensor || tensor == job.declared.tensor.max(1),
        }
    }

    /// Most pipeline stages: every piece of a stage has a block.
    fn stages(&self, job: &JobSpec) -> u32 {
        (self.layers / job.declared.virtual_stages.max(1)).clamp(1, STAGES)
    }
}
