//! The search against every way there is, one by one.

mod common;

use common::{class, job, llama};
use plimsoll_sizing::{
    Accepts, Batch, ClassSpec, Declared, Evidence, Experts, Fit, JobSpec, Layout, Memory, Model, Offload, Recompute,
    RejectionReason, Schedule, Shape, Sharding, Transformer, estimate, menu,
};
use proptest::prelude::*;

/// Steps that the search takes for equal, and rounding.
const SAME: f64 = 1.0102;

fn mixture() -> Transformer {
    let experts = Experts { count: 8, top_k: 2, ffn: 8192, every: 1, ..Experts::default() };
    Transformer { experts: Some(experts), ..llama(16, 4096, 32, 8, 8192, 32_000) }
}

fn models() -> impl Strategy<Value = Model> {
    prop::sample::select(vec![
        Model::Transformer(llama(12, 1024, 16, 4, 2816, 32_000)),
        Model::Transformer(llama(32, 4096, 32, 8, 14_336, 128_256)),
        Model::Transformer(llama(80, 8192, 64, 8, 28_672, 128_256)),
        Model::Transformer(mixture()),
    ])
}

fn divisors(number: u32) -> impl Iterator<Item = u32> {
    (1..=number).filter(move |divisor| number.is_multiple_of(*divisor))
}

/// Every layout of a job that accepts everything on a shape, found without the search.
fn layouts(job: &JobSpec, shape: &Shape) -> Vec<Layout> {
    let Model::Transformer(model) = &job.model else { return Vec::new() };
    let (gpus, mut found) = (shape.gpus(), Vec::new());
    for tensor in divisors(shape.gpus_per_pod).filter(|t| model.kv_heads.is_multiple_of(*t)) {
        for pipeline in divisors(gpus / tensor).filter(|p| *p <= model.layers.min(64)) {
            for context in divisors(gpus / tensor / pipeline)
                .filter(|c| *c == 1 || (job.sequence_length / c >= 1024 && job.sequence_length.is_multiple_of(2 * c)))
            {
                for sharding in [Sharding::None, Sharding::Optimizer, Sharding::Gradients, Sharding::Full] {
                    for recompute in [Recompute::None, Recompute::Full] {
                        let data = gpus / tensor / pipeline / context;
                        let plain = Layout::data_parallel(data);
                        found.push(Layout { tensor, pipeline, context, sharding, recompute, ..plain });
                    }
                }
            }
        }
    }
    found.retain(|layout| layout.pipeline == 1 || layout.sharding <= Sharding::Optimizer);
    found
}

/// The shortest step of the ways that fit, in seconds.
fn shortest(job: &JobSpec, class: &ClassSpec, shape: &Shape) -> Option<f64> {
    let ways = layouts(job, shape).into_iter().flat_map(|layout| {
        let cuts = Batch::cuts(job.global_batch, layout.data);
        cuts.into_iter().filter(move |batch| batch.accumulation >= layout.pipeline).map(move |batch| (layout, batch))
    });
    ways.map(|(layout, batch)| estimate(job, class, shape, &layout, &batch).predicted)
        .filter(|predicted| predicted.device_memory_bytes <= class.memory_line_bytes())
        .map(|predicted| predicted.step_seconds)
        .min_by(f64::total_cmp)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_way_that_fits_is_clearly_faster_than_the_one_on_the_menu(
        model in models(),
        nodes in 1_u32..=4,
        sequence in prop::sample::select(vec![1024, 4096, 32_768]),
        global_batch in prop::sample::select(vec![32, 48, 256]),
        product in prop::sample::select(vec!["h100-sxm5-80gb", "a100-sxm4-40gb", "v100-sxm2-32gb"]),
    ) {
        let class = class(product, 8, nodes);
        let precision = if class.peak.bf16.is_some() { plimsoll_sizing::Precision::Bf16Mixed } else { plimsoll_sizing::Precision::Fp16Mixed };
        let gpus = 8 * nodes;
        let job = JobSpec {
            accepts: Accepts::ALL, precision, min_gpus: gpus, max_gpus: gpus, requested_gpus: Some(gpus),
            ..job(model, sequence, global_batch)
        };
        let menu = menu(&job, std::slice::from_ref(&class), &Evidence::default(), None);
        let shape = Shape { class: class.name.clone(), pods: nodes, gpus_per_pod: 8 };
        let Some(shortest) = shortest(&job, &class, &shape) else {
            return Ok(());
        };
        let offered = menu.candidates.iter().filter(|candidate| candidate.fit == Fit::Fits && candidate.shape == shape);
        let best = offered.map(|candidate| candidate.predicted.step_seconds).min_by(f64::total_cmp);
        prop_assert!(best.is_some_and(|best| best <= shortest * SAME), "{best:?} against {shortest}");
    }
}

#[test]
fn a_model_that_no_data_parallel_layout_holds_is_cut_into_stages_and_tensors() {
    let class = class("h100-sxm5-80gb", 8, 16);
    let accepts = Accepts { tensor: true, pipeline: true, ..Accepts::default() };
    let large = JobSpec {
        accepts,
        max_gpus: 128,
        ..job(Model::Transformer(llama(80, 8192, 64, 8, 28_672, 128_256)), 4096, 512)
    };
    let best = menu(&large, std::slice::from_ref(&class), &Evidence::default(), None).candidates[0].clone();
    assert!(best.layout.tensor * best.layout.pipeline >= 16, "{:?}", best.layout);
    assert_eq!(best.layout.sharding, Sharding::None, "the program cannot be told to share states out");
    assert!(best.batch.accumulation >= best.layout.pipeline, "every stage has a micro-batch");
}

#[test]
fn a_long_sample_is_cut_over_context_ranks() {
    let class = class("h100-sxm5-80gb", 8, 8);
    let accepts = Accepts { sharding: true, context: true, ..Accepts::default() };
    let long = |sequence| {
        let job = JobSpec {
            accepts,
            max_gpus: 64,
            min_gpus: 64,
            ..job(Model::Transformer(llama(32, 4096, 32, 8, 14_336, 128_256)), sequence, 64)
        };
        menu(&job, std::slice::from_ref(&class), &Evidence::default(), None)
            .candidates
            .first()
            .map(|best| best.layout.context)
    };
    assert_eq!(long(4096), Some(1));
    assert!(long(262_144).is_some_and(|context| context > 1));
}

#[test]
fn experts_that_one_device_cannot_hold_are_spread_over_data_ranks() {
    let class = class("h100-sxm5-80gb", 8, 4);
    let accepts = Accepts { expert: true, ..Accepts::default() };
    let job = JobSpec {
        accepts,
        max_gpus: 32,
        optimizer: plimsoll_sizing::Optimizer::Sgd,
        ..job(Model::Transformer(mixture()), 2048, 256)
    };
    let best = menu(&job, std::slice::from_ref(&class), &Evidence::default(), None).candidates[0].clone();
    assert!(best.layout.expert > 1 && best.layout.data.is_multiple_of(best.layout.expert), "{:?}", best.layout);
}

#[test]
fn the_host_holds_states_only_where_nothing_else_fits() {
    let class = class("a100-sxm4-40gb", 1, 1);
    let accepts = Accepts { offload: true, recompute: true, ..Accepts::default() };
    let of = |model| {
        let job = JobSpec { accepts, max_gpus: 1, ..job(Model::Transformer(model), 1024, 8) };
        menu(&job, std::slice::from_ref(&class), &Evidence::default(), None)
            .candidates
            .first()
            .map(|best| best.layout.offload)
    };
    assert_eq!(of(llama(12, 1024, 16, 4, 2816, 32_000)), Some(Offload::None));
    assert_ne!(of(llama(24, 3072, 24, 8, 8192, 32_000)), Some(Offload::None));
}

#[test]
fn weights_that_wait_on_the_host_come_in_for_every_micro_batch() {
    let class = class("h100-sxm5-80gb", 1, 1);
    let job = job(Model::Transformer(llama(32, 4096, 32, 8, 14_336, 128_256)), 1024, 64);
    let shape = Shape { class: class.name.clone(), pods: 1, gpus_per_pod: 1 };
    let of = |offload, micro| {
        let layout = Layout { offload, ..Layout::data_parallel(1) };
        let batch = Batch::cut(64, 1, micro).expect("it divides");
        estimate(&job, &class, &shape, &layout, &batch).step.communication
    };
    // 16 GB twice for each of 64 micro-batches at 24 GB/s, of which compute hides a part.
    assert!(of(Offload::All, 1) > 30.0 && of(Offload::All, 1) < 64.0 * 2.0 * 16.1 / 24.0);
    assert!(of(Offload::All, 8) < 0.3 * of(Offload::All, 1), "larger micro-batches bring them in less often");
    assert!(of(Offload::Optimizer, 1) <= of(Offload::All, 1) && of(Offload::None, 1) == 0.0);
}

#[test]
fn traits_of_the_program_are_on_every_layout_they_bear_on() {
    let class = class("h100-sxm5-80gb", 8, 4);
    let accepts = Accepts { tensor: true, pipeline: true, sharding: true, ..Accepts::default() };
    let declared = Declared {
        sequence_parallel: true,
        schedule: Schedule::ZeroBubble,
        virtual_stages: 2,
        shards_in_pod: true,
        ..Declared::default()
    };
    let job = JobSpec {
        accepts,
        declared,
        max_gpus: 32,
        ..job(Model::Transformer(llama(32, 4096, 32, 8, 14_336, 128_256)), 2048, 256)
    };
    let menu = menu(&job, std::slice::from_ref(&class), &Evidence::default(), None);
    assert!(!menu.candidates.is_empty());
    for candidate in &menu.candidates {
        let Layout { tensor, pipeline, sequence_parallel, schedule, extra_stages, shard_group, data, .. } =
            candidate.layout;
        assert_eq!(sequence_parallel, tensor > 1);
        assert_eq!(
            (schedule, extra_stages),
            if pipeline > 1 { (Schedule::ZeroBubble, 1) } else { (Schedule::default(), 0) }
        );
        assert!(pipeline == 1 || candidate.batch.accumulation.is_multiple_of(pipeline));
        assert!(shard_group == 0 || data.is_multiple_of(shard_group));
    }
}

#[test]
fn what_is_out_is_named_by_its_nearest_miss() {
    let class = class("a100-sxm4-40gb", 8, 1);
    let accepts = Accepts { sharding: true, recompute: true, ..Accepts::default() };
    let job = JobSpec { accepts, ..job(Model::Transformer(llama(80, 8192, 64, 8, 28_672, 128_256)), 4096, 64) };
    let menu = menu(&job, std::slice::from_ref(&class), &Evidence::default(), None);
    assert!(menu.candidates.is_empty());
    let miss =
        menu.rejected.iter().find(|rejection| rejection.reason == RejectionReason::DeviceMemory).expect("a miss");
    let layout = Layout { sharding: Sharding::Full, recompute: Recompute::Full, ..Layout::data_parallel(8) };
    let needs = Memory::of(&job, &layout, 1).total() as f64 / 1_073_741_824.0;
    let words = format!("needs {needs:.1} GiB per GPU at micro-batch 1 with ZeRO-3, full recomputation over 8");
    assert!(miss.message.contains(&words), "{}", miss.message);
}
