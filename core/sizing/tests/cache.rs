//! A cached menu is the menu.

mod common;

use common::{class, gpt, job, llama, resnet50};
use plimsoll_sizing::learned::{MemoryEvidence, MemoryKind, StepEvidence};
use plimsoll_sizing::{Accepts, Cache, Candidate, ClassSpec, Current, Evidence, JobSpec, Menu, Model, menu};
use proptest::prelude::*;

fn classes() -> Vec<ClassSpec> {
    vec![class("h100-sxm5-80gb", 8, 4), class("a100-sxm4-40gb", 8, 16), class("t4", 4, 8)]
}

fn a_job() -> impl Strategy<Value = JobSpec> {
    let model = prop_oneof![
        Just(Model::Transformer(llama(32, 4096, 32, 8, 14_336, 128_256))),
        Just(Model::Transformer(gpt(12, 768, 12, 50_304, 1024))),
        Just(resnet50()),
    ];
    let accepts = any::<[bool; 8]>();
    (model, prop::sample::select(vec![60, 64, 256, 1024]), 1..64_u32, accepts).prop_map(
        |(
            model,
            global_batch,
            max_gpus,
            [sharding, recompute, tensor, micro_batch, pipeline, context, expert, offload],
        )| {
            let words = Accepts { sharding, recompute, tensor, micro_batch, ..Accepts::default() };
            let accepts = Accepts { pipeline, context, expert, offload, ..words };
            JobSpec { max_gpus, accepts, ..job(model, 1024, global_batch) }
        },
    )
}

/// What running a candidate might show: its step and memory, both off by a factor.
fn run(evidence: &mut Evidence, candidate: &Candidate, factor: f64, ran_out: bool) {
    let Candidate { shape, layout, batch, predicted, .. } = candidate.clone();
    let bytes = (predicted.device_memory_bytes as f64 * factor) as u64;
    let kind = if ran_out { MemoryKind::RanOut { bytes: None } } else { MemoryKind::Peak { bytes } };
    let class = shape.class.clone();
    evidence.push_memory(MemoryEvidence {
        class: class.clone(),
        shape: shape.clone(),
        layout,
        micro_batch: batch.micro,
        kind,
    });
    let step_seconds = predicted.step_seconds * factor;
    evidence.push_step(StepEvidence { class, shape, layout, batch, step_seconds, sm_activity: 0.9 / factor.max(1.0) });
}

fn text(menu: &Menu) -> String {
    serde_json::to_string(menu).expect("a menu is JSON")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_cached_menu_is_the_menu_whatever_was_learned_since(
        jobs in prop::collection::vec(a_job(), 1..4),
        runs in prop::collection::vec((any::<prop::sample::Index>(), 0.5..2.0_f64, any::<bool>()), 1..6),
    ) {
        let (classes, mut cache) = (classes(), Cache::default());
        let mut evidence = vec![Evidence::default(); jobs.len()];
        let mut current: Vec<Option<Current>> = vec![None; jobs.len()];
        for (which, factor, ran_out) in runs {
            for (at, job) in jobs.iter().enumerate() {
                let plain = menu(job, &classes, &evidence[at], current[at].as_ref());
                let cached = cache.menu(job, &classes, &evidence[at], current[at].as_ref());
                prop_assert_eq!(text(&plain), text(&cached));
                if plain.candidates.is_empty() {
                    continue;
                }
                let chosen = which.get(&plain.candidates);
                run(&mut evidence[at], chosen, factor, ran_out);
                let Candidate { shape, layout, batch, .. } = chosen.clone();
                current[at] = Some(Current { shape, layout, batch });
            }
        }
        prop_assert!(cache.len() <= jobs.len());
    }
}

#[test]
fn other_classes_make_the_cache_forget() {
    let job = job(resnet50(), 1, 256);
    let (few, mut many) = (classes(), classes());
    many[0].nodes += 1;
    let mut cache = Cache::default();
    for classes in [&few, &many, &few] {
        let (plain, none) = (menu(&job, classes, &Evidence::default(), None), Evidence::default());
        assert_eq!(text(&plain), text(&cache.menu(&job, classes, &none, None)));
        assert_eq!(cache.len(), 1);
    }
}

#[test]
fn the_cache_holds_256_jobs_and_forgets_the_one_asked_for_longest_ago() {
    let (classes, none) = (vec![class("t4", 4, 1)], Evidence::default());
    let mut cache = Cache::default();
    for global_batch in 1..=300 {
        cache.menu(&job(resnet50(), 1, global_batch), &classes, &none, None);
    }
    assert_eq!(cache.len(), 256);
}
