//! Laws that memory keeps whatever the model, layout and program.

mod common;

use common::{gpt, job, llama, resnet50};
use plimsoll_sizing::calibration::Calibration;
use plimsoll_sizing::{
    AttentionKernel, Footprint, JobSpec, Layout, Memory, Method, Model, Offload, Precision, Program, Recompute,
    Schedule, Sharding, Tuning, Verdict,
};
use proptest::prelude::*;

fn models() -> impl Strategy<Value = Model> {
    prop_oneof![
        Just(Model::Transformer(gpt(12, 768, 12, 50_304, 1024))),
        Just(Model::Transformer(llama(16, 2048, 32, 8, 8192, 128_256))),
        Just(Model::Transformer(llama(32, 4096, 32, 32, 11_008, 32_000))),
        Just(resnet50()),
    ]
}

fn jobs() -> impl Strategy<Value = JobSpec> {
    let precision = prop_oneof![Just(Precision::Bf16Mixed), Just(Precision::Bf16), Just(Precision::Fp32)];
    let method = prop_oneof![Just(Method::Pretrain), Just(Method::lora(8)), Just(Method::qlora(16))];
    (models(), precision, method, 64_u32..4096, 1_u32..512).prop_map(|(model, precision, method, tokens, batch)| {
        let tokens = if matches!(model, Model::Custom(_)) { 1 } else { tokens };
        JobSpec { precision, method, ..job(model, tokens, batch) }
    })
}

fn layouts() -> impl Strategy<Value = Layout> {
    let degrees = (0_u32..5, 0_u32..4, 0_u32..4, 0_u32..3, any::<bool>(), 0_u32..3);
    let sharding =
        prop_oneof![Just(Sharding::None), Just(Sharding::Optimizer), Just(Sharding::Gradients), Just(Sharding::Full)];
    let recompute = prop_oneof![Just(Recompute::None), Just(Recompute::Selective), Just(Recompute::Full)];
    let schedule =
        prop_oneof![Just(Schedule::OneForwardOneBackward), Just(Schedule::GPipe), Just(Schedule::ZeroBubble)];
    (degrees, sharding, recompute, schedule).prop_map(|(degrees, sharding, recompute, schedule)| {
        let (data, tensor, pipeline, context, sequence_parallel, extra_stages) = degrees;
        Layout {
            tensor: 1 << tensor,
            pipeline: 1 << pipeline,
            context: 1 << context,
            sharding,
            recompute,
            sequence_parallel,
            extra_stages,
            schedule,
            ..Layout::data_parallel(1 << data)
        }
    })
}

fn programs() -> impl Strategy<Value = (Program, Tuning)> {
    (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(stored, compiled, operators, fused_loss)| {
            let attention = if stored { AttentionKernel::Stored } else { AttentionKernel::Fused };
            let program = Program { attention, compiled, recomputes_operators: operators, ..Program::default() };
            (program, Tuning { fused_loss, ..Tuning::default() })
        },
    )
}

fn needs(job: &JobSpec, layout: &Layout, (program, tuning): &(Program, Tuning), micro: u32) -> Memory {
    Footprint::new(job, program, *tuning).memory(layout, micro, &Calibration::published().memory)
}

fn states(memory: &Memory) -> u64 {
    memory.weights + memory.gradients + memory.optimizer
}

/// Rounding to whole bytes may cost a byte per part.
const ROUNDING: u64 = 9;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn more_micro_batch_never_needs_less(job in jobs(), layout in layouts(), program in programs(), micro in 1_u32..64) {
        let (less, more) = (needs(&job, &layout, &program, micro), needs(&job, &layout, &program, micro + 1));
        prop_assert!(less.total() <= more.total() + ROUNDING, "{less:?} {more:?}");
    }

    #[test]
    fn more_sharding_never_needs_more_states(job in jobs(), layout in layouts(), program in programs()) {
        let ladder = [Sharding::None, Sharding::Optimizer, Sharding::Gradients, Sharding::Full];
        let needs = ladder.map(|sharding| states(&needs(&job, &Layout { sharding, ..layout }, &program, 1)));
        prop_assert!(needs.windows(2).all(|pair| pair[1] <= pair[0] + ROUNDING), "{needs:?}");
    }

    #[test]
    fn more_ranks_never_need_more_states(job in jobs(), layout in layouts(), program in programs()) {
        // With stages another one may be the fullest.
        let layout = Layout { pipeline: 1, ..layout };
        let more = Layout { data: layout.data * 2, ..layout };
        // A single rank keeps what autocast keeps; the ledger of several begins with the second.
        prop_assume!(layout.data > 1);
        let (few, many) = (needs(&job, &layout, &program, 1), needs(&job, &more, &program, 1));
        prop_assert!(states(&many) <= states(&few) + ROUNDING, "{few:?} {many:?}");
    }

    #[test]
    fn a_smaller_group_of_hybrid_sharding_holds_more(job in jobs(), layout in layouts(), program in programs()) {
        let layout = Layout { data: 16, sharding: Sharding::Full, ..layout };
        let groups = [2, 4, 8, 0].map(|shard_group| states(&needs(&job, &Layout { shard_group, ..layout }, &program, 1)));
        prop_assert!(groups.windows(2).all(|pair| pair[1] <= pair[0] + ROUNDING), "{groups:?}");
    }

    #[test]
    fn the_parts_sum_to_the_total(job in jobs(), layout in layouts(), program in programs(), micro in 1_u32..16) {
        let memory = needs(&job, &layout, &program, micro);
        let json = serde_json::to_value(memory).expect("numbers");
        let sum: u64 = json.as_object().expect("parts").values().filter_map(serde_json::Value::as_u64).sum();
        prop_assert_eq!(sum, memory.total());
        prop_assert_eq!(memory.allocated() + memory.context, memory.total());
    }

    #[test]
    fn computing_again_never_needs_more(job in jobs(), layout in layouts(), program in programs(), micro in 1_u32..16) {
        let kept = needs(&job, &Layout { recompute: Recompute::None, ..layout }, &program, micro);
        for recompute in [Recompute::Selective, Recompute::Full] {
            let again = needs(&job, &Layout { recompute, ..layout }, &program, micro);
            prop_assert!(again.total() <= kept.total() + ROUNDING, "{recompute:?} {again:?} {kept:?}");
        }
    }

    #[test]
    fn offload_never_needs_more(job in jobs(), layout in layouts(), program in programs(), micro in 1_u32..16) {
        let ladder = [Offload::None, Offload::Optimizer, Offload::All];
        let needs = ladder.map(|offload| needs(&job, &Layout { offload, ..layout }, &program, micro).total());
        prop_assert!(needs.windows(2).all(|pair| pair[1] <= pair[0] + ROUNDING), "{needs:?}");
    }

    #[test]
    fn sharing_out_the_sequence_never_needs_more(job in jobs(), layout in layouts(), program in programs()) {
        let with = needs(&job, &Layout { sequence_parallel: true, ..layout }, &program, 4);
        let without = needs(&job, &Layout { sequence_parallel: false, ..layout }, &program, 4);
        prop_assert!(with.total() <= without.total() + ROUNDING);
    }

    #[test]
    fn a_verdict_with_margin_is_the_stricter_one(needed in 0_u64..1 << 40, usable in 1_u64..1 << 40, margin in 0.0_f64..1.0) {
        let verdict = Verdict::of(needed, usable, margin);
        prop_assert_eq!(verdict.fits(), needed <= usable);
        prop_assert!(verdict >= Verdict::of(needed, usable, 0.0));
    }
}

/// arXiv 2205.05198, table 2: `s·b·h·(10 + 24/t + 5·a·s/(h·t))` bytes per layer with dropout and stored scores, `34·s·b·h/t`
/// without scores and with the sequence shared out.
#[test]
fn activations_follow_korthikantis_table() {
    let (layers, hidden, heads, tokens) = (48_u32, 6144_u32, 64_u32, 2048_u32);
    let mut model = gpt(layers, hidden, heads, 51_200, tokens);
    model.dropout = true;
    let job = JobSpec { precision: Precision::Fp16Mixed, ..job(Model::Transformer(model), tokens, 4) };
    let stored = Program { attention: AttentionKernel::Stored, compiled: true, ..Program::default() };
    let per_layer = |layout: &Layout, program: &Program| {
        let memory =
            Footprint::new(&job, program, Tuning::default()).memory(layout, 1, &Calibration::published().memory);
        memory.activations as f64 / f64::from(layers)
    };
    let sbh = f64::from(tokens) * f64::from(hidden);
    let scores = 5.0 * f64::from(heads) * f64::from(tokens) / f64::from(hidden);
    let plain = Layout { tensor: 8, ..Layout::data_parallel(1) };
    let expected = sbh * (10.0 + 24.0 / 8.0 + scores / 8.0);
    let found = per_layer(&plain, &stored);
    assert!((found / expected - 1.0).abs() < 0.03, "{found} against {expected}");
    let shared = Layout { sequence_parallel: true, recompute: Recompute::Selective, ..plain };
    let expected = sbh * 34.0 / 8.0;
    let found = per_layer(&shared, &stored);
    assert!((found / expected - 1.0).abs() < 0.03, "{found} against {expected}");
}
