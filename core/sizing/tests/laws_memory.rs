//! Laws that memory keeps whatever the model, layout and program.

mod common;
mod every;

use common::{gpt, job};
use every::{Way, reinforcements, ways};
use plimsoll_sizing::calibration::Calibration;
use plimsoll_sizing::method::reinforcement::{Algorithm, Engine, Reinforcement};
use plimsoll_sizing::{
    AttentionKernel, Footprint, JobSpec, Layout, Memory, Method, Model, Offload, Precision, Program, Recompute,
    Schedule, Sharding, Tuning, Verdict,
};
use proptest::prelude::*;

fn needs(way: &Way, layout: &Layout, micro: u32) -> Memory {
    Footprint::new(&way.job, &way.program, way.tuning).memory(layout, micro, &Calibration::published().memory)
}

fn states(memory: &Memory) -> u64 {
    memory.weights + memory.gradients + memory.optimizer
}

/// Rounding to whole bytes may cost a byte per part, and sums in another order a share.
fn rounding(bytes: u64) -> u64 {
    bytes + 10 + bytes / 1_000_000_000_000
}

const SHARDINGS: [Sharding; 4] = [Sharding::None, Sharding::Optimizer, Sharding::Gradients, Sharding::Full];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn more_micro_batch_never_needs_less(way in ways(), micro in 1_u32..64) {
        let (less, more) = (needs(&way, &way.layout, micro), needs(&way, &way.layout, micro + 1));
        prop_assert!(less.total() <= rounding(more.total()), "{less:?} {more:?}");
    }

    #[test]
    fn more_sharding_never_needs_more_states(way in ways()) {
        // With stages another one may be the fullest.
        let layout = Layout { pipeline: 1, ..way.layout };
        let needs = SHARDINGS.map(|sharding| states(&needs(&way, &Layout { sharding, ..layout }, 1)));
        prop_assert!(needs.windows(2).all(|pair| pair[1] <= rounding(pair[0])), "{needs:?}");
    }

    #[test]
    fn more_ranks_never_need_more_states(way in ways()) {
        // A single rank keeps what autocast keeps; the ledger of several begins with the second.
        let layout = Layout { data: 2 * way.layout.data, pipeline: 1, ..way.layout };
        let few = states(&needs(&way, &layout, 1));
        let more = [
            Layout { data: 2 * layout.data, ..layout },
            Layout { tensor: 2 * layout.tensor, ..layout },
            Layout { context: 2 * layout.context, ..layout },
            Layout { expert: 2 * layout.expert, ..layout },
        ];
        for more in more {
            let many = states(&needs(&way, &more, 1));
            prop_assert!(many <= rounding(few), "{few} {many} {more:?}");
        }
    }

    #[test]
    fn a_smaller_group_of_hybrid_sharding_holds_more(way in ways()) {
        for sharding in SHARDINGS {
            let layout = Layout { data: 16, pipeline: 1, sharding, ..way.layout };
            let groups = [2, 4, 8, 0].map(|shard_group| states(&needs(&way, &Layout { shard_group, ..layout }, 1)));
            prop_assert!(groups.windows(2).all(|pair| pair[1] <= rounding(pair[0])), "{groups:?}");
        }
    }

    #[test]
    fn the_parts_sum_to_the_total(way in ways(), micro in 1_u32..16) {
        let memory = needs(&way, &way.layout, micro);
        let json = serde_json::to_value(memory).expect("numbers");
        let sum: u64 = json.as_object().expect("parts").values().filter_map(serde_json::Value::as_u64).sum();
        prop_assert_eq!(sum, memory.total());
        prop_assert_eq!(memory.allocated() + memory.context, memory.total());
        // No job takes more than an exbibyte: nothing was infinite before it was rounded.
        prop_assert!(memory.total() < 1 << 60, "{memory:?}");
    }

    #[test]
    fn computing_again_never_needs_more(way in ways(), micro in 1_u32..16) {
        let with = |recompute| needs(&way, &Layout { recompute, ..way.layout }, micro);
        let kept = with(Recompute::None);
        for again in [with(Recompute::Selective), with(Recompute::Full)] {
            prop_assert!(again.total() <= rounding(kept.total()), "{again:?} {kept:?}");
            // With stages another one may be the fullest.
            let alone = way.layout.pipeline == 1;
            prop_assert!(!alone || again.activations <= rounding(kept.activations), "{again:?} {kept:?}");
        }
    }

    #[test]
    fn offload_never_needs_more(way in ways(), micro in 1_u32..16) {
        let ladder = [Offload::None, Offload::Optimizer, Offload::All];
        let needs = ladder.map(|offload| needs(&way, &Layout { offload, ..way.layout }, micro).total());
        prop_assert!(needs.windows(2).all(|pair| pair[1] <= rounding(pair[0])), "{needs:?}");
    }

    #[test]
    fn sharing_out_the_sequence_never_needs_more(way in ways(), micro in 1_u32..16) {
        let with = needs(&way, &Layout { sequence_parallel: true, ..way.layout }, micro);
        let without = needs(&way, &Layout { sequence_parallel: false, ..way.layout }, micro);
        prop_assert!(with.total() <= rounding(without.total()), "{with:?} {without:?}");
    }

    #[test]
    fn all_forward_passes_first_never_hold_less(way in ways(), micro in 1_u32..16) {
        let with = |schedule| needs(&way, &Layout { schedule, extra_stages: 0, ..way.layout }, micro).total();
        let one_by_one = with(Schedule::OneForwardOneBackward);
        prop_assert_eq!(with(Schedule::ZeroBubble), one_by_one);
        prop_assert!(one_by_one <= rounding(with(Schedule::GPipe)));
    }

    #[test]
    fn an_engine_that_sleeps_or_writes_fewer_answers_never_needs_more(way in ways(), step in reinforcements()) {
        let with = |step| {
            let job = JobSpec { method: Method::Reinforcement(step), ..way.job.clone() };
            needs(&Way { job, ..way.clone() }, &way.layout, 1).total()
        };
        let engine = |engine| with(Reinforcement { engine, ..step });
        let awake = engine(Engine { sleeps: false, ..step.engine });
        let asleep = engine(Engine { sleeps: true, ..step.engine });
        let more = engine(Engine { at_once: 2 * step.engine.at_once, ..step.engine });
        prop_assert!(asleep <= rounding(awake), "{asleep} {awake}");
        prop_assert!(with(step) <= rounding(more), "{more}");
        let critic = |algorithm| with(Reinforcement { algorithm, ..step });
        prop_assert!(critic(Algorithm::Grpo) <= rounding(critic(Algorithm::Ppo)));
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
