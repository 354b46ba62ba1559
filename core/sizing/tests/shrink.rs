//! What the menu prefers once steps and peaks were observed: a simulated program whose step is
//! `work / devices + stall` and whose activity is busy time over step time.

mod common;

use common::{class, gpt, job};
use plimsoll_sizing::learned::{MemoryEvidence, MemoryKind, StepEvidence};
use plimsoll_sizing::{
    Accepts, Batch, Candidate, ClassSpec, Current, Evidence, JobSpec, Layout, Memory, Mode, Model, RejectionReason,
    Shape, menu,
};
use proptest::prelude::*;

fn small_job() -> JobSpec {
    JobSpec {
        requested_gpus: Some(8),
        accepts: Accepts::default(),
        ..job(Model::Transformer(gpt(12, 768, 12, 50_304, 1024)), 1024, 64)
    }
}

fn h100() -> Vec<ClassSpec> {
    vec![class("h100-sxm5-80gb", 8, 1)]
}

fn run(candidate: &Candidate, work: f64, stall: f64) -> StepEvidence {
    let busy = work / f64::from(candidate.shape.gpus());
    StepEvidence {
        class: candidate.shape.class.clone(),
        shape: candidate.shape.clone(),
        layout: candidate.layout,
        batch: candidate.batch,
        step_seconds: busy + stall,
        sm_activity: busy / (busy + stall),
    }
}

fn current(candidate: &Candidate) -> Current {
    Current { shape: candidate.shape.clone(), layout: candidate.layout, batch: candidate.batch }
}

/// Runs the first choice of every menu until the shape stays; the shapes' counts and steps in order.
fn settle(job: &JobSpec, work: f64, stall: f64) -> Vec<(u32, f64)> {
    let mut evidence = Evidence::default();
    let mut running: Option<Candidate> = None;
    let mut history = Vec::new();
    for _ in 0..16 {
        let menu = menu(job, &h100(), &evidence, running.as_ref().map(current).as_ref());
        let first = menu.candidates.into_iter().next().expect("something fits");
        if running.as_ref().is_some_and(|r| r.shape == first.shape && r.batch == first.batch) {
            return history;
        }
        let step = run(&first, work, stall);
        history.push((first.shape.gpus(), step.step_seconds));
        evidence.push_step(step);
        running = Some(first);
    }
    assert!(history.is_empty(), "never settles: {history:?}");
    history
}

#[test]
fn an_under_used_job_shrinks_and_stays() {
    // 8 devices: 0.05 s busy of 0.55 s. One device: 0.4 + 0.5 s is above 1.15 × 0.55 s; four: 0.6 s is not.
    let history = settle(&small_job(), 0.4, 0.5);
    assert_eq!(history.first().map(|h| h.0), Some(8));
    assert_eq!(history.last().map(|h| h.0), Some(4), "{history:?}");
}

#[test]
fn a_job_that_is_mostly_stalled_goes_down_to_one_device() {
    let history = settle(&small_job(), 0.02, 2.0);
    assert_eq!(history.last().map(|h| h.0), Some(1), "{history:?}");
}

#[test]
fn a_busy_job_keeps_its_devices() {
    let history = settle(&small_job(), 8.0, 0.1);
    assert_eq!(history.iter().map(|h| h.0).collect::<Vec<_>>(), [8]);
}

#[test]
fn sizes_that_would_be_too_slow_are_rejected_with_numbers() {
    let job = small_job();
    let first = menu(&job, &h100(), &Evidence::default(), None).candidates[0].clone();
    let mut evidence = Evidence::default();
    evidence.push_step(run(&first, 0.4, 0.5));
    let menu = menu(&job, &h100(), &evidence, Some(&current(&first)));
    let slow = menu.rejected.iter().find(|r| r.reason == RejectionReason::TooSlow).expect("a rejection");
    assert!(slow.message.contains("0.550 s observed"), "{}", slow.message);
    assert!(menu.candidates.iter().all(|c| c.predicted.step_seconds <= 1.15 * 0.55));
}

#[test]
fn modes_off_and_initial_never_shrink() {
    for mode in [Mode::Off, Mode::Initial] {
        let job = JobSpec { mode, ..small_job() };
        let offered = menu(&job, &h100(), &Evidence::default(), None).candidates;
        let start = offered.iter().find(|c| c.shape.gpus() == 8).expect("8 fit").clone();
        let mut evidence = Evidence::default();
        evidence.push_step(run(&start, 0.02, 2.0));
        let first = menu(&job, &h100(), &evidence, Some(&current(&start))).candidates[0].clone();
        assert_eq!(first.shape.gpus(), 8, "{mode:?}");
    }
}

#[test]
fn a_peak_with_room_lets_the_micro_batch_grow() {
    // Large enough for its card that a larger micro-batch still fills it better.
    let model = Model::Transformer(gpt(24, 1024, 16, 50_304, 1024));
    let job = JobSpec { model, max_gpus: 1, requested_gpus: None, global_batch: 512, ..small_job() };
    let classes = vec![class("t4", 1, 1)];
    let job = JobSpec { precision: plimsoll_sizing::Precision::Fp16Mixed, ..job };
    let start = menu(&job, &classes, &Evidence::default(), None).candidates[0].clone();
    let mut evidence = Evidence::default();
    evidence.push_memory(MemoryEvidence {
        class: start.shape.class.clone(),
        shape: start.shape.clone(),
        layout: start.layout,
        micro_batch: start.batch.micro,
        kind: MemoryKind::Peak { bytes: start.predicted.device_memory_bytes / 2 },
    });
    let grown = menu(&job, &classes, &evidence, Some(&current(&start))).candidates[0].clone();
    assert!(grown.batch.micro > start.batch.micro, "{} then {}", start.batch.micro, grown.batch.micro);
    assert_eq!(grown.batch.global, 512);
    assert!(grown.predicted.step_seconds < start.predicted.step_seconds);
}

#[test]
fn running_out_halves_the_micro_batch_and_a_later_peak_refines_it() {
    let classes = h100();
    let job = JobSpec { requested_gpus: Some(1), global_batch: 512, ..small_job() };
    let start = menu(&job, &classes, &Evidence::default(), None).candidates[0].clone();
    let seen = |candidate: &Candidate, kind| MemoryEvidence {
        class: candidate.shape.class.clone(),
        shape: candidate.shape.clone(),
        layout: candidate.layout,
        micro_batch: candidate.batch.micro,
        kind,
    };
    let mut evidence = Evidence::default();
    evidence.push_memory(seen(&start, MemoryKind::RanOut { bytes: None }));
    let second = menu(&job, &classes, &evidence, None).candidates[0].clone();
    assert!(second.batch.micro * 2 <= start.batch.micro);
    assert_eq!(second.shape, start.shape);
    evidence.push_memory(seen(&second, MemoryKind::Peak { bytes: second.predicted.device_memory_bytes / 3 }));
    let third = menu(&job, &classes, &evidence, None).candidates[0].clone();
    assert!(third.batch.micro >= second.batch.micro && third.batch.micro < start.batch.micro);
}

#[test]
fn two_peaks_give_both_factors() {
    let classes = h100();
    let job = JobSpec { requested_gpus: Some(1), ..small_job() };
    let shape = Shape { class: classes[0].name.clone(), pods: 1, gpus_per_pod: 1 };
    let mut evidence = Evidence::default();
    let truth = |micro: u32| 6_000_000_000 + 900_000_000 * u64::from(micro);
    for micro_batch in [4, 8] {
        evidence.push_memory(MemoryEvidence {
            class: shape.class.clone(),
            shape: shape.clone(),
            layout: Layout::data_parallel(1),
            micro_batch,
            kind: MemoryKind::Peak { bytes: truth(micro_batch) },
        });
    }
    for candidate in menu(&job, &classes, &evidence, None).candidates.iter().filter(|c| c.shape == shape) {
        let context = Memory::of(&job, &candidate.layout, 1).context;
        let learned = candidate.predicted.device_memory_bytes - context;
        let error = learned as f64 / truth(candidate.batch.micro) as f64 - 1.0;
        assert!(error.abs() < 0.01, "micro-batch {}: {error}", candidate.batch.micro);
    }
}

#[test]
fn a_class_without_room_is_rejected_with_numbers() {
    let job = common::job(Model::Transformer(common::llama(32, 4096, 32, 8, 14_336, 128_256)), 8192, 64);
    let job = JobSpec { accepts: Accepts::default(), ..job };
    let menu = menu(&job, &[class("a100-sxm4-40gb", 8, 1)], &Evidence::default(), None);
    assert!(menu.candidates.is_empty());
    let rejection = &menu.rejected[0];
    assert_eq!((rejection.reason, rejection.gpus), (RejectionReason::DeviceMemory, 8));
    assert!(rejection.message.contains("micro-batch 1") && rejection.message.contains("39.4 GiB"), "{rejection:?}");
}

#[test]
fn a_precision_that_a_class_lacks_is_a_rejection() {
    let menu = menu(&small_job(), &[class("t4", 4, 1)], &Evidence::default(), None);
    assert_eq!(menu.rejected.iter().map(|r| r.reason).collect::<Vec<_>>(), [RejectionReason::Precision]);
}

#[test]
fn a_fixed_gang_keeps_its_pods() {
    let job = JobSpec { gpus_per_pod: Some(2), requested_gpus: None, ..small_job() };
    let menu = menu(&job, &[class("h100-sxm5-80gb", 8, 4)], &Evidence::default(), None);
    assert!(!menu.candidates.is_empty());
    assert!(menu.candidates.iter().all(|c| c.shape.gpus_per_pod == 2 && c.shape.pods <= 4));
}

#[test]
fn a_batch_that_does_not_divide_is_a_rejection() {
    let job = JobSpec { global_batch: 7, min_gpus: 2, ..small_job() };
    let menu = menu(&job, &h100(), &Evidence::default(), None);
    assert!(menu.candidates.is_empty());
    assert!(menu.rejected.iter().any(|r| r.reason == RejectionReason::BatchDoesNotDivide), "{:?}", menu.rejected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever the program's work and stall, it settles, and its last step is at most 1.15 times its first, unless a
    /// prediction was wrong and nothing faster than what it started with is left.
    #[test]
    fn shrinking_ends_within_the_bound(work in 0.01_f64..20.0, stall in 0.0_f64..3.0) {
        let history = settle(&small_job(), work, stall);
        let fastest = history.iter().map(|h| h.1).fold(f64::INFINITY, f64::min);
        let last = history.last().expect("it ran");
        prop_assert!(last.1 <= 1.15 * fastest + 1e-9, "{history:?}");
        prop_assert!(last.0 <= 8);
    }

    /// With everything observed, the choice is the smallest count in band under the bound, else the smallest under it.
    #[test]
    fn the_choice_is_the_smallest_lawful_count(work in 0.01_f64..20.0, stall in 0.01_f64..3.0) {
        let job = small_job();
        let mut evidence = Evidence::default();
        let mut all = Vec::new();
        for gpus in [1_u32, 2, 4, 8] {
            let shape = Shape { class: h100()[0].name.clone(), pods: 1, gpus_per_pod: gpus };
            for batch in Batch::cuts(64, gpus) {
                let busy = work / f64::from(gpus);
                let step = StepEvidence {
                    class: shape.class.clone(), shape: shape.clone(), layout: Layout::data_parallel(gpus), batch,
                    step_seconds: busy + stall, sm_activity: busy / (busy + stall),
                };
                if evidence.steps.len() < 31 {
                    evidence.push_step(step);
                }
            }
            all.push((gpus, work / f64::from(gpus) + stall));
        }
        let start = evidence.steps.last().expect("observed").clone();
        prop_assume!(start.sm_activity < 0.6);
        let now = Current { shape: start.shape, layout: start.layout, batch: start.batch };
        let first = menu(&job, &h100(), &evidence, Some(&now)).candidates[0].clone();
        let fastest = all.last().expect("observed").1;
        let lawful: Vec<_> = all.iter().filter(|(_, step)| *step <= 1.15 * fastest).collect();
        let in_band = lawful.iter().find(|(gpus, step)| work / f64::from(*gpus) / step >= 0.6);
        let expected = in_band.or(lawful.first()).map(|(gpus, _)| *gpus);
        prop_assert_eq!(Some(first.shape.gpus()), expected);
    }
}

#[test]
fn a_model_of_large_states_is_not_given_up_after_running_out_once() {
    // States of 2 B parameters fill 34 of 79 GiB: a factor of 2 on everything would leave no size at all.
    let classes = h100();
    let model = Model::Custom(plimsoll_sizing::Custom {
        parameters: 2_000_000_000,
        flops_per_sample: 1e12,
        activation_bytes_per_sample: 2_000_000_000,
    });
    let job = JobSpec { accepts: Accepts::default(), requested_gpus: Some(1), ..common::job(model, 1, 64) };
    let start = menu(&job, &classes, &Evidence::default(), None).candidates[0].clone();
    let mut evidence = Evidence::default();
    evidence.push_memory(MemoryEvidence {
        class: start.shape.class.clone(),
        shape: start.shape.clone(),
        layout: start.layout,
        micro_batch: start.batch.micro,
        kind: MemoryKind::RanOut { bytes: None },
    });
    let second = menu(&job, &classes, &evidence, None).candidates[0].clone();
    assert!(second.batch.micro * 2 <= start.batch.micro, "{} then {}", start.batch.micro, second.batch.micro);
}

#[test]
fn a_size_that_ran_well_stays_after_a_larger_one_ran_out() {
    let classes = h100();
    let job = JobSpec { requested_gpus: Some(1), max_gpus: 1, global_batch: 512, ..small_job() };
    let shape = Shape { class: classes[0].name.clone(), pods: 1, gpus_per_pod: 1 };
    let seen = |micro_batch, kind| MemoryEvidence {
        class: shape.class.clone(),
        shape: shape.clone(),
        layout: Layout::data_parallel(1),
        micro_batch,
        kind,
    };
    let mut evidence = Evidence::default();
    evidence.push_memory(seen(64, MemoryKind::Peak { bytes: 76_000_000_000 }));
    evidence.push_memory(seen(128, MemoryKind::RanOut { bytes: None }));
    let first = menu(&job, &classes, &evidence, None).candidates[0].clone();
    assert_eq!(first.batch.micro, 64);
}

#[test]
fn a_busy_job_may_still_make_do_with_less() {
    let job = small_job();
    let start = menu(&job, &h100(), &Evidence::default(), None).candidates[0].clone();
    let mut evidence = Evidence::default();
    evidence.push_step(run(&start, 8.0, 0.1));
    let menu = menu(&job, &h100(), &evidence, Some(&current(&start)));
    assert_eq!(menu.candidates[0].shape, start.shape);
    assert!(menu.candidates.iter().any(|candidate| candidate.shape.gpus() == 1));
    assert!(menu.rejected.is_empty(), "{:?}", menu.rejected);
}

#[test]
fn what_a_program_asked_for_is_a_lower_bound_when_it_is_more_than_the_card_holds() {
    let classes = h100();
    let job = JobSpec { requested_gpus: Some(1), max_gpus: 1, global_batch: 512, ..small_job() };
    let start = menu(&job, &classes, &Evidence::default(), None).candidates[0].clone();
    let held = classes[0].memory_bytes;
    let needs = |bytes| {
        let mut evidence = Evidence::default();
        evidence.push_memory(MemoryEvidence {
            class: start.shape.class.clone(),
            shape: start.shape.clone(),
            layout: start.layout,
            micro_batch: start.batch.micro,
            kind: MemoryKind::RanOut { bytes },
        });
        let menu = menu(&job, &classes, &evidence, None);
        let per_sample = |c: &Candidate| c.predicted.device_memory_bytes / u64::from(c.batch.micro);
        menu.candidates.iter().map(|c| (c.batch.micro, per_sample(c))).max().unwrap()
    };
    let unsaid = needs(None);
    assert_eq!(needs(Some(held / 2)), unsaid, "less than the card holds says nothing new");
    let asked = needs(Some(2 * held));
    assert!(asked.0 < unsaid.0 || asked.1 > unsaid.1, "{asked:?} where {unsaid:?} would do without the number");
    assert!(needs(Some(u64::MAX)).0 >= 1, "nonsense does not end the job");
}
