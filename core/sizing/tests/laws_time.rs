//! Laws of step time that hold for every job, class, layout and program.

mod common;
mod every;

use common::{class, job, llama};
use every::{Way, ways};
use plimsoll_sizing::calibration::Calibration;
use plimsoll_sizing::{
    Batch, ClassSpec, Flops, JobSpec, Layout, Method, Model, PeakFlops, Prepared, Program, Recompute, Run, Schedule,
    Shape, Sharding, StepTime, Tuning,
};
use proptest::prelude::*;

/// A share of rounding that sums in another order may cost.
const ROUNDING: f64 = 1.0 + 1e-9;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn parts_are_finite_never_negative_and_sum_to_the_total(way in ways()) {
        let step = way.step();
        let StepTime { compute, scoring, generation, communication, optimizer, launch, bubble, stall, saturation } = step;
        let parts = [compute, scoring, generation, communication, optimizer, launch, bubble, stall];
        prop_assert!(parts.iter().all(|part| part.is_finite() && *part >= 0.0), "{step:?}");
        prop_assert!((parts.iter().sum::<f64>() - step.total()).abs() <= 1e-12 * step.total());
        prop_assert!((0.0..=1.0).contains(&saturation) && (0.0..=1.0).contains(&step.sm_activity()));
    }

    #[test]
    fn doubled_bandwidth_never_slows(way in ways()) {
        let double: [fn(&mut ClassSpec); 3] = [
            |class| class.bandwidth_bytes_per_second *= 2.0,
            |class| class.link_bytes_per_second *= 2.0,
            |class| class.network_bytes_per_second *= 2.0,
        ];
        for double in double {
            let mut faster = way.clone();
            double(&mut faster.class);
            prop_assert!(faster.seconds() <= way.seconds() * ROUNDING);
        }
    }

    #[test]
    fn doubled_peak_never_slows(way in ways()) {
        let twice = |rate: Option<f64>| rate.map(|rate| 2.0 * rate);
        let PeakFlops { fp32, tf32, fp16, bf16, fp8 } = way.class.peak;
        let peak =
            PeakFlops { fp32: twice(fp32), tf32: twice(tf32), fp16: twice(fp16), bf16: twice(bf16), fp8: twice(fp8) };
        let faster = Way { class: ClassSpec { peak, ..way.class.clone() }, ..way.clone() };
        prop_assert!(faster.seconds() <= way.seconds() * ROUNDING);
    }

    #[test]
    fn more_power_never_slows(way in ways()) {
        let watts = 1.5 * way.class.watts;
        let faster = Way { class: ClassSpec { watts, ..way.class.clone() }, ..way.clone() };
        prop_assert!(faster.seconds() <= way.seconds() * ROUNDING);
    }

    #[test]
    fn more_micro_batches_of_a_fixed_batch_on_one_device_never_cost_less(way in ways(), pieces in 2_u32..=8) {
        let alone = way.on(Layout { recompute: way.layout.recompute, ..Layout::data_parallel(1) });
        let whole = alone.cut(16 * pieces, 1);
        let cut = alone.cut(16, pieces);
        prop_assert!(whole.seconds() <= cut.seconds() * ROUNDING);
        // Nor less than the work itself, which no cut changes.
        let work = |way: &Way| { let step = way.step(); step.compute * step.saturation };
        prop_assert!((work(&whole) / work(&cut) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn more_samples_never_take_less_time(way in ways()) {
        let more = way.cut(way.batch.micro + 1, way.batch.accumulation);
        prop_assert!(way.seconds() <= more.seconds() * ROUNDING);
        let longer = way.cut(way.batch.micro, way.batch.accumulation + 1);
        prop_assert!(way.seconds() <= longer.seconds() * ROUNDING);
    }

    #[test]
    fn recomputation_never_saves_time_or_flops(way in ways()) {
        let with = |recompute| way.on(Layout { recompute, ..way.layout }).seconds();
        prop_assert!(with(Recompute::None) <= with(Recompute::Selective) * ROUNDING);
        prop_assert!(with(Recompute::Selective) <= with(Recompute::Full) * ROUNDING);
        let flops = [Recompute::None, Recompute::Selective, Recompute::Full].map(|again| Flops::of(&way.job, again));
        prop_assert!(flops.windows(2).all(|pair| pair[0].executed <= pair[1].executed));
        prop_assert!(flops.iter().all(|flops| flops.forward <= flops.model && flops.model <= flops.executed));
    }

    #[test]
    fn scoring_and_generating_take_their_time(way in ways()) {
        let demand = way.job.method.demand(&way.job.model.profile(way.job.sequence_length), way.job.precision);
        let step = way.step();
        prop_assert_eq!(step.scoring > 0.0, demand.scoring_passes > 0.0);
        prop_assert_eq!(step.generation > 0.0, demand.generation.is_some());
    }

    #[test]
    fn a_prepared_run_cut_anew_is_the_run_prepared_with_that_cut(way in ways(), micro in 1_u32..=64) {
        let other = way.cut(micro, way.batch.accumulation);
        let Way { job, class, shape, layout, batch, program, .. } = &way;
        let profile = job.model.profile(job.sequence_length);
        let run = Run { job, class, shape, layout, batch };
        let cut = Prepared::new(&profile, run, *program).cut(&other.batch).step_time(&Calibration::published().time);
        prop_assert!((cut.total() / other.seconds() - 1.0).abs() < 1e-9);
    }
}

fn llama_on(layout: Layout, accumulation: u32, program: Program) -> StepTime {
    let class = class("h100-sxm5-80gb", 8, 64);
    let gpus = layout.devices();
    let per_pod = gpus.min(8);
    let shape = Shape { class: class.name.clone(), pods: gpus.div_ceil(per_pod), gpus_per_pod: per_pod };
    let batch = Batch { micro: 1, accumulation, global: accumulation * layout.data };
    let job = job(Model::Transformer(llama(32, 4096, 32, 8, 14_336, 128_256)), 4096, batch.global);
    Way { job, class, shape, layout, batch, program, tuning: Tuning::default() }.step()
}

#[test]
fn interleaving_and_zero_bubble_shrink_the_bubble_as_their_papers_say() {
    let pipeline = Layout { pipeline: 4, ..Layout::data_parallel(1) };
    let plain = llama_on(pipeline, 8, Program::default());
    let turn = |step: &StepTime| (step.compute + step.communication + step.launch) / 8.0;
    assert!((plain.bubble / (3.0 * turn(&plain)) - 1.0).abs() < 1e-9, "{plain:?}");
    let interleaved = llama_on(Layout { extra_stages: 1, ..pipeline }, 8, Program::default());
    assert!((interleaved.bubble / (1.5 * turn(&interleaved)) - 1.0).abs() < 1e-9, "{interleaved:?}");
    let zero = llama_on(Layout { schedule: Schedule::ZeroBubble, ..pipeline }, 8, Program::default());
    assert!((zero.bubble / plain.bubble - 1.0 / 3.0).abs() < 1e-9, "{zero:?}");
}

#[test]
fn a_slow_input_pipeline_is_waited_for() {
    let alone = Layout::data_parallel(1);
    let step = llama_on(alone, 4, Program::default());
    let rate = Some(4.0 / (2.0 * step.total()));
    let starved = llama_on(alone, 4, Program { input_samples_per_second: rate, ..Program::default() });
    assert!((starved.total() / (2.0 * step.total()) - 1.0).abs() < 1e-9, "{starved:?}");
    assert!((starved.stall / step.total() - 1.0).abs() < 1e-9, "{starved:?}");
}

#[test]
fn groups_of_hybrid_sharding_gather_inside_the_node() {
    let layout = Layout { sharding: Sharding::Full, ..Layout::data_parallel(64) };
    let wide = llama_on(layout, 1, Program::default());
    let hybrid = llama_on(Layout { shard_group: 8, ..layout }, 1, Program::default());
    assert!(hybrid.communication < wide.communication, "{hybrid:?} {wide:?}");
}

#[test]
fn adapters_save_a_third_of_the_products() {
    let class = class("h100-sxm5-80gb", 8, 1);
    let shape = Shape { class: class.name.clone(), pods: 1, gpus_per_pod: 1 };
    let batch = Batch { micro: 4, accumulation: 1, global: 4 };
    let full = job(Model::Transformer(llama(32, 4096, 32, 8, 14_336, 128_256)), 4096, 4);
    let compute = |method| {
        let job = JobSpec { method, ..full.clone() };
        StepTime::of(&job, &class, &shape, &Layout::data_parallel(1), &batch).compute
    };
    let share = compute(Method::lora(16)) / compute(Method::Pretrain);
    assert!((0.66..0.85).contains(&share), "{share}");
    assert!(compute(Method::qlora(16)) > compute(Method::lora(16)));
}
