//! Laws of sizing that hold for every job, class and evidence.

mod common;

use common::{class, gpt, job, llama, resnet50};
use plimsoll_sizing::learned::{MemoryEvidence, MemoryKind, StepEvidence};
use plimsoll_sizing::{
    Accepts, Batch, ClassSpec, Current, Declared, Evidence, JobSpec, Layout, Memory, Mode, Model, Optimizer, Precision,
    Recompute, Sharding, menu,
};
use proptest::prelude::*;

fn models() -> impl Strategy<Value = (Model, u32)> {
    prop_oneof![
        Just((Model::Transformer(gpt(12, 768, 12, 50_304, 1024)), 1024)),
        Just((Model::Transformer(llama(16, 2048, 32, 8, 8192, 128_256)), 2048)),
        Just((Model::Transformer(llama(32, 4096, 32, 8, 14_336, 128_256)), 4096)),
        Just((resnet50(), 1)),
    ]
}

fn jobs() -> impl Strategy<Value = JobSpec> {
    let precision = prop_oneof![
        Just(Precision::Fp32),
        Just(Precision::Fp16Mixed),
        Just(Precision::Bf16Mixed),
        Just(Precision::Bf16)
    ];
    let optimizer = prop_oneof![Just(Optimizer::AdamW), Just(Optimizer::Sgd), Just(Optimizer::AdamW8bit)];
    let mode = prop_oneof![Just(Mode::Off), Just(Mode::Initial), Just(Mode::Auto)];
    let batch = prop_oneof![1 => 1_u32..=64, 6 => prop::sample::select(vec![16_u32, 32, 48, 64, 96, 240, 256, 480])];
    let often = || prop::bool::weighted(0.85);
    let words = (often(), often(), often(), any::<[bool; 7]>());
    let counts = (1_u32..=8, 0_u32..=24, prop::option::of(1_u32..=16));
    (models(), precision, optimizer, mode, batch, words, counts, prop::option::weighted(0.2, 1_u32..=8), any::<bool>())
        .prop_map(
            |((model, sequence), precision, optimizer, mode, batch, words, (min, more, requested), micro, elastic)| {
                JobSpec {
                    precision,
                    optimizer,
                    mode,
                    elastic,
                    min_gpus: min,
                    max_gpus: min + more,
                    requested_gpus: requested.map(|count| count.clamp(min, min + more)),
                    accepts: Accepts {
                        micro_batch: words.0,
                        gradient_accumulation: words.1,
                        data: words.2,
                        sharding: words.3[0],
                        tensor: words.3[1],
                        recompute: words.3[2],
                        pipeline: words.3[3],
                        context: words.3[4],
                        expert: words.3[5],
                        offload: words.3[6],
                    },
                    declared: Declared { micro_batch: micro, ..Declared::default() },
                    ..job(model, sequence, batch)
                }
            },
        )
}

fn classes() -> Vec<ClassSpec> {
    vec![class("h100-sxm5-80gb", 8, 4), class("a100-sxm4-40gb", 8, 2), class("t4", 4, 3)]
}

/// Evidence about sizes that a menu offered, as the operator would write it.
fn evidence(job: &JobSpec, picks: &[(usize, u8, f64, f64)]) -> Evidence {
    let mut evidence = Evidence::default();
    for (pick, kind, factor, activity) in picks {
        let offered = menu(job, &classes(), &evidence, None).candidates;
        let Some(candidate) = offered.get(pick % offered.len().max(1)) else { break };
        let class = candidate.shape.class.clone();
        let (shape, layout) = (candidate.shape.clone(), candidate.layout);
        let bytes = (candidate.predicted.device_memory_bytes as f64 * factor) as u64;
        match kind % 3 {
            0 => evidence.push_step(StepEvidence {
                class,
                shape,
                layout,
                batch: candidate.batch,
                step_seconds: candidate.predicted.step_seconds * factor,
                sm_activity: *activity,
            }),
            kind => evidence.push_memory(MemoryEvidence {
                class,
                shape,
                layout,
                micro_batch: candidate.batch.micro,
                kind: if kind == 1 { MemoryKind::RanOut { bytes: Some(bytes) } } else { MemoryKind::Peak { bytes } },
            }),
        }
    }
    evidence
}

fn picks() -> impl Strategy<Value = Vec<(usize, u8, f64, f64)>> {
    prop::collection::vec((0_usize..40, any::<u8>(), 0.5_f64..2.0, 0.05_f64..0.99), 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_larger_micro_batch_never_needs_less_memory(job in jobs(), data in 1_u32..=16, micro in 1_u32..=64) {
        for sharding in [Sharding::None, Sharding::Full] {
            let layout = Layout { sharding, ..Layout::data_parallel(data) };
            prop_assert!(Memory::of(&job, &layout, micro).total() <= Memory::of(&job, &layout, micro + 1).total());
        }
    }

    #[test]
    fn more_sharding_never_needs_more_memory(job in jobs(), data in 1_u32..=64, micro in 1_u32..=8) {
        let ladder = [Sharding::None, Sharding::Optimizer, Sharding::Gradients, Sharding::Full];
        let needs = ladder.map(|sharding| {
            Memory::of(&job, &Layout { sharding, ..Layout::data_parallel(data) }, micro).total()
        });
        // Rounding to whole bytes may cost a byte per part.
        prop_assert!(needs.windows(2).all(|pair| pair[1] <= pair[0] + 8), "{needs:?}");
    }

    #[test]
    fn recomputation_never_needs_more_memory(job in jobs(), data in 1_u32..=8, micro in 1_u32..=8) {
        let kept = Memory::of(&job, &Layout::data_parallel(data), micro).total();
        let layout = Layout { recompute: Recompute::Full, ..Layout::data_parallel(data) };
        prop_assert!(Memory::of(&job, &layout, micro).total() <= kept);
    }

    #[test]
    fn every_candidate_keeps_the_global_batch_and_the_limits(job in jobs(), picks in picks()) {
        let classes = classes();
        let evidence = evidence(&job, &picks);
        // What runs may be the first choice from before anything was known, or nothing.
        let first = menu(&job, &classes, &Evidence::default(), None).candidates.into_iter().next();
        let current = first
            .filter(|_| !picks.is_empty())
            .map(|first| Current { shape: first.shape, layout: first.layout, batch: first.batch });
        let menu = menu(&job, &classes, &evidence, current.as_ref());
        prop_assert!(menu.candidates.len() <= 40);
        for candidate in &menu.candidates {
            let (shape, layout, batch) = (&candidate.shape, candidate.layout, candidate.batch);
            prop_assert_eq!(batch.micro * batch.accumulation * layout.data, job.global_batch);
            prop_assert_eq!(batch.global, job.global_batch);
            prop_assert_eq!(layout.devices(), shape.gpus());
            let class = classes.iter().find(|class| class.name == shape.class).expect("of a known class");
            prop_assert!(shape.gpus_per_pod <= class.gpus_per_node && shape.pods <= class.nodes);
            prop_assert!((job.min_gpus..=job.max_gpus).contains(&shape.gpus()));
            if job.mode == Mode::Off {
                prop_assert_eq!(shape.gpus(), job.reference_gpus());
            }
            prop_assert!(candidate.predicted.device_memory_bytes as f64 <= 0.97 * class.memory_bytes as f64);
            prop_assert!(candidate.predicted.step_seconds.is_finite() && candidate.predicted.step_seconds > 0.0);
            prop_assert!((0.0..=1.0).contains(&candidate.predicted.sm_activity));
        }
        for class in &classes {
            prop_assert!(menu.rejected.iter().filter(|r| r.class == class.name).count() <= 4);
        }
    }

    #[test]
    fn no_candidate_uses_a_word_that_the_program_does_not_accept(job in jobs()) {
        for candidate in menu(&job, &classes(), &Evidence::default(), None).candidates {
            let (accepts, declared, layout) = (job.accepts, job.declared, candidate.layout);
            prop_assert!(accepts.sharding || layout.sharding == declared.sharding);
            prop_assert!(accepts.tensor || layout.tensor == declared.tensor);
            prop_assert!(accepts.recompute || layout.recompute == declared.recompute);
            prop_assert!(accepts.pipeline || layout.pipeline == declared.pipeline);
            prop_assert!(accepts.context || layout.context == declared.context);
            prop_assert!(accepts.expert || layout.expert == declared.expert);
            prop_assert!(accepts.offload || layout.offload == declared.offload);
            prop_assert!(accepts.data || layout.data == job.reference_gpus() / declared.tensor);
            if let (false, Some(micro)) = (accepts.micro_batch, declared.micro_batch)
                && accepts.gradient_accumulation
            {
                prop_assert_eq!(candidate.batch.micro, micro);
            }
            if accepts.micro_batch && !accepts.gradient_accumulation {
                prop_assert_eq!(candidate.batch.accumulation, declared.accumulation.unwrap_or(1));
            }
        }
    }

    #[test]
    fn a_size_that_ran_out_never_comes_back(job in jobs(), before in picks(), after in picks(), pick in 0_usize..40) {
        let mut evidence = evidence(&job, &before);
        let offered = menu(&job, &classes(), &evidence, None).candidates;
        prop_assume!(!offered.is_empty());
        let ran = &offered[pick % offered.len()];
        evidence.push_memory(MemoryEvidence {
            class: ran.shape.class.clone(),
            shape: ran.shape.clone(),
            layout: ran.layout,
            micro_batch: ran.batch.micro,
            kind: MemoryKind::RanOut { bytes: None },
        });
        let limit = Memory::of(&job, &ran.layout, ran.batch.micro).total();
        let smaller = |evidence: &Evidence| {
            menu(&job, &classes(), evidence, None).candidates.iter().filter(|c| c.shape.class == ran.shape.class).all(
                |c| Memory::of(&job, &c.layout, c.batch.micro).total() < limit,
            )
        };
        prop_assert!(smaller(&evidence));
        for candidate in menu(&job, &classes(), &evidence, None).candidates {
            if candidate.shape == ran.shape && candidate.layout == ran.layout {
                prop_assert!(candidate.batch.micro * 2 <= ran.batch.micro);
            }
        }
        // Whatever is reported later, a peak included, does not bring it back.
        for (pick, _, factor, _) in after {
            let Some(candidate) = menu(&job, &classes(), &evidence, None).candidates.get(pick).cloned() else { break };
            evidence.push_memory(MemoryEvidence {
                class: candidate.shape.class.clone(),
                micro_batch: candidate.batch.micro,
                kind: MemoryKind::Peak { bytes: (candidate.predicted.device_memory_bytes as f64 * factor) as u64 },
                shape: candidate.shape,
                layout: candidate.layout,
            });
            prop_assert!(smaller(&evidence));
        }
    }

    #[test]
    fn the_menu_does_not_depend_on_the_order_of_classes(job in jobs(), picks in picks()) {
        let evidence = evidence(&job, &picks);
        let mut turned = classes();
        turned.reverse();
        prop_assert_eq!(menu(&job, &classes(), &evidence, None), menu(&job, &turned, &evidence, None));
    }

    #[test]
    fn evidence_survives_json_and_stays_bounded(count in 0_u32..100) {
        let mut evidence = Evidence::default();
        for micro in 1..=count {
            let class = class("t4", 4, 1).name;
            let shape = plimsoll_sizing::Shape { class: class.clone(), pods: 1, gpus_per_pod: 1 };
            let layout = Layout::data_parallel(1);
            let kind = if micro % 3 == 0 { MemoryKind::RanOut { bytes: None } } else { MemoryKind::Peak { bytes: 1 } };
            evidence.push_memory(MemoryEvidence {
                class: class.clone(), shape: shape.clone(), layout, micro_batch: micro, kind,
            });
            let batch = Batch { micro, accumulation: 1, global: micro };
            let step_seconds = if micro == 1 { 0.5 } else { 1.0 };
            evidence.push_step(StepEvidence { class, shape, layout, batch, step_seconds, sm_activity: 0.5 });
        }
        prop_assert!(evidence.memory.len() <= 32 && evidence.steps.len() <= 32);
        prop_assert!(count == 0 || evidence.fastest().is_some_and(|fastest| fastest.batch.micro == 1));
        let text = serde_json::to_string(&evidence).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let read: Evidence = serde_json::from_str(&text).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(read, evidence);
    }
}
