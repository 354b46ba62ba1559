//! What two cuts of one batch, seen on the same devices, say of a third.

use plimsoll_sizing::learned::{Evidence, MemoryEvidence, MemoryKind, StepEvidence};
use plimsoll_sizing::{
    Accepts, Batch, Current, Custom, Declared, JobSpec, Layout, Method, Mode, Model, Optimizer, Precision, Shape,
    catalogue, menu,
};

/// A program of 256 samples per rank and step: 30 ms a step, 10 ms a micro-batch and 1 ms a sample; 4 GiB and 0.5 GiB a
/// sample of device memory, although 8 GB a sample are declared.
fn step_seconds(micro: u32) -> f64 {
    0.030 + f64::from(256 / micro) * 0.010 + 256.0 * 0.001
}

fn peak_bytes(micro: u32) -> u64 {
    (4 << 30) + u64::from(micro) * (1 << 29)
}

#[test]
fn two_cuts_tell_what_a_third_would_take() {
    let class = catalogue::by_class("h100-sxm5-80gb").unwrap().class_spec(8, 2);
    let job = JobSpec {
        model: Model::Custom(Custom {
            parameters: 304_000_000,
            flops_per_sample: 123e9,
            activation_bytes_per_sample: 8_000_000_000,
        }),
        precision: Precision::Bf16Mixed,
        optimizer: Optimizer::AdamW,
        method: Method::Finetune,
        sequence_length: 1,
        global_batch: 1024,
        classes: Vec::new(),
        min_gpus: 4,
        max_gpus: 4,
        requested_gpus: None,
        gpus_per_pod: None,
        mode: Mode::Auto,
        elastic: false,
        accepts: Accepts::default(),
        declared: Declared::default(),
    };
    let shape = Shape { class: class.name.clone(), pods: 1, gpus_per_pod: 4 };
    let layout = Layout::data_parallel(4);
    let cut = |micro| Batch { micro, accumulation: 256 / micro, global: 1024 };
    let mut evidence = Evidence::default();
    for micro in [8, 16] {
        let (class, shape) = (class.name.clone(), shape.clone());
        let kind = MemoryKind::Peak { bytes: peak_bytes(micro) };
        evidence.memory.push(MemoryEvidence {
            class: class.clone(),
            shape: shape.clone(),
            layout,
            micro_batch: micro,
            kind,
        });
        let (step, batch) = (step_seconds(micro), cut(micro));
        // The device works through the samples and stands still for the rest.
        evidence.steps.push(StepEvidence {
            class,
            shape,
            layout,
            batch,
            step_seconds: step,
            sm_activity: 0.256 / step,
        });
    }

    let current = Current { shape, layout, batch: cut(16) };
    let best = menu(&job, &[class], &evidence, Some(&current)).candidates.swap_remove(0);

    let predicted = best.predicted;
    assert_eq!(best.batch, cut(128), "the largest that fits: 68 of 73 GiB");
    assert!((predicted.step_seconds - step_seconds(128)).abs() < 1e-6, "{predicted:?}");
    let context = predicted.device_memory_bytes as f64 - peak_bytes(128) as f64;
    assert!((0.0..2e9).contains(&context), "{predicted:?}");
}
