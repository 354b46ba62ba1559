//! How fast sizing is: `cargo run --release -p plimsoll-sizing --example speed`, or `cargo xtask bench sizing --speed`.
//!
//! CPU time of one core, best of five, beside a yardstick of the same run: a fixed number of additions that depend on one
//! another. Three bars: the menu of one job in 10 ms, a thousand jobs of a hundred shapes in 2 s with the cache, and
//! sizing a job again with new corrections in 50 µs. What learning costs, once for each new step seen, stands beside.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "an example is no part of the pure core")]

use std::hint::black_box;

use plimsoll_sizing::learned::{MemoryEvidence, MemoryKind, StepEvidence};
use plimsoll_sizing::{
    Accepts, Biases, Cache, Candidate, ClassSpec, Declared, Evidence, JobSpec, Menu, Method, Mode, Model, Norm,
    Optimizer, Precision, Transformer, catalogue, menu,
};

/// Eight classes of 128 nodes with 8 devices: 1,024 devices of each.
const CLASSES: [&str; 8] =
    ["a10", "a100-sxm4-40gb", "a100-sxm4-80gb", "h100-pcie-80gb", "h100-sxm5-80gb", "l40s", "t4", "v100-sxm2-32gb"];

fn main() {
    let classes: Vec<ClassSpec> =
        CLASSES.iter().filter_map(|name| Some(catalogue::by_class(name)?.class_spec(8, 128))).collect();
    let yardstick = best_of_five(|| {
        let mut sum = 0.1_f64;
        for _ in 0..10_000_000 {
            sum = black_box(sum) + 1.0;
        }
        black_box(sum);
    });
    println!("yardstick, 10^7 additions: {:.2} ms of CPU", yardstick * 1e3);
    println!("{} classes of 1,024 devices\n", classes.len());
    for (program, accepts) in [
        ("batch and ranks", Accepts::default()),
        ("batch, ranks, sharding, recomputation", Accepts { sharding: true, recompute: true, ..Accepts::default() }),
        (
            "batch, ranks, sharding, recomputation, tensor ranks",
            Accepts { sharding: true, recompute: true, tensor: true, ..Accepts::default() },
        ),
        ("everything", Accepts::ALL),
    ] {
        println!("programs that can be told {program}:");
        one(&job(1024, 32, accepts), &classes);
        thousand(accepts, &classes);
    }
}

/// One job: its menu, and the same again from the cache with evidence that was not seen before.
fn one(job: &JobSpec, classes: &[ClassSpec]) {
    let none = Evidence::default();
    let seconds = best_of_five(|| _ = black_box(menu(job, classes, &none, None)));
    println!("  menu of one job       {:10.3} ms   (bar 10 ms)", seconds * 1e3);
    let first = menu(job, classes, &none, None);
    let mut cache = Cache::default();
    cache.menu(job, classes, &none, None);
    for steps in [0, 4, 32] {
        let rounds = 200;
        // New peaks each time; the steps are those that the cache has learned from.
        let of = |round: u32| seen(&first, steps, (1.0, 1.0 + f64::from(round) / 1000.0));
        let evidence: Vec<Evidence> = (0..rounds).map(of).collect();
        let seconds = best_of_five(|| {
            for evidence in &evidence {
                black_box(cache.menu(job, classes, evidence, None));
            }
        });
        let again = seconds / f64::from(rounds);
        println!("  again, {steps:2} steps seen   {:10.1} µs   (bar 50 µs)", again * 1e6);
        let turns = [1.0, 1.1].map(|factor| seen(&first, steps, (factor, 1.0)));
        let seconds = best_of_five(|| {
            for evidence in &turns {
                black_box(cache.menu(job, classes, evidence, None));
            }
        });
        println!("  learning from them    {:10.3} ms", (seconds / 2.0 - again) * 1e3);
    }
}

/// A thousand jobs of a hundred shapes, each with evidence of its own, from an empty cache.
fn thousand(accepts: Accepts, classes: &[ClassSpec]) {
    let shapes: Vec<JobSpec> = (0..100).map(|at| job(64 * (1 + at % 25), 12 + 4 * (at / 25), accepts)).collect();
    let evidence: Vec<Evidence> =
        shapes.iter().map(|job| seen(&menu(job, classes, &Evidence::default(), None), 3, (1.1, 1.0))).collect();
    let seconds = best_of_five(|| {
        let mut cache = Cache::default();
        for turn in 0..1000 {
            black_box(cache.menu(&shapes[turn % 100], classes, &evidence[turn % 100], None));
        }
    });
    println!("  1,000 jobs, 100 shapes{:10.3} s    (bar 2 s)\n", seconds);
}

/// Evidence of steps and two peaks, as if the first candidates had run.
fn seen(menu: &Menu, steps: usize, (slower, larger): (f64, f64)) -> Evidence {
    let mut evidence = Evidence::default();
    for (at, candidate) in menu.candidates.iter().cycle().take(steps.min(menu.candidates.len())).enumerate() {
        let Candidate { shape, layout, batch, predicted, .. } = candidate.clone();
        let class = shape.class.clone();
        if at < 2 {
            let bytes = (predicted.device_memory_bytes as f64 * 0.9 * larger) as u64;
            let (class, shape) = (class.clone(), shape.clone());
            let kind = MemoryKind::Peak { bytes };
            evidence.push_memory(MemoryEvidence { class, shape, layout, micro_batch: batch.micro, kind });
        }
        let step_seconds = predicted.step_seconds * slower;
        evidence.push_step(StepEvidence { class, shape, layout, batch, step_seconds, sm_activity: 0.8 });
    }
    evidence
}

/// A transformer of up to 8 billion parameters on up to 1,024 devices.
fn job(global_batch: u32, layers: u32, accepts: Accepts) -> JobSpec {
    let model = Transformer {
        layers,
        hidden: 4096,
        heads: 32,
        kv_heads: 8,
        head_dim: 128,
        ffn: 14_336,
        gated_mlp: true,
        vocabulary: 128_256,
        tied_embeddings: false,
        biases: Biases::None,
        learned_positions: 0,
        norm: Norm::Rms,
        qk_norm: false,
        norms_per_layer: 2,
        ..Transformer::default()
    };
    JobSpec {
        model: Model::Transformer(model),
        precision: Precision::Bf16Mixed,
        optimizer: Optimizer::AdamW,
        method: Method::Pretrain,
        sequence_length: 2048,
        global_batch,
        classes: Vec::new(),
        min_gpus: 1,
        max_gpus: 1024,
        requested_gpus: None,
        gpus_per_pod: None,
        mode: Mode::Auto,
        elastic: true,
        accepts,
        declared: Declared::default(),
    }
}

/// CPU seconds of one run, in the best of five rounds; a round is as many runs as fill a fifth of a second, since the
/// kernel counts in ticks.
fn best_of_five(mut run: impl FnMut()) -> f64 {
    let mut round = || {
        let before = cpu_seconds();
        for runs in 1.. {
            run();
            let spent = cpu_seconds() - before;
            if spent.is_nan() || spent > 0.2 {
                return spent / f64::from(runs);
            }
        }
        f64::NAN
    };
    (0..5).map(|_| round()).fold(f64::INFINITY, f64::min)
}

/// CPU time of this thread, from the kernel's scheduler statistics; not a number where there are none.
fn cpu_seconds() -> f64 {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = statistics.split_whitespace().next().and_then(|first| first.parse::<f64>().ok());
    nanoseconds.unwrap_or(f64::NAN) / 1e9
}
