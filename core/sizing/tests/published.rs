//! The formulas against published figures.

mod common;

use common::{class, gpt, job, llama};
use plimsoll_sizing::{
    Batch, Biases, Flops, JobSpec, Layout, Memory, Method, Model, Norm, Precision, Recompute, Shape, Sharding,
    Transformer, estimate,
};
use serde_json::json;

const GIB: f64 = 1_073_741_824.0;

/// Exact counts of public models: their configurations and model cards.
#[test]
fn parameter_counts_are_exact() {
    let tied = |t: Transformer| Transformer { tied_embeddings: true, ..t };
    let qwen = |t: Transformer| Transformer { biases: Biases::QueryKeyValue, ..t };
    let pythia = |layers, hidden, heads, vocabulary| Transformer {
        tied_embeddings: false,
        ..gpt(layers, hidden, heads, vocabulary, 0)
    };
    let nano = Transformer { biases: Biases::None, norm: Norm::Rms, ..gpt(12, 768, 12, 50_257, 1024) };
    let rows: [(&str, Transformer, u64); 21] = [
        ("nanoGPT 124M without biases", nano, 124_337_664),
        ("LLaMA-7B", llama(32, 4096, 32, 32, 11_008, 32_000), 6_738_415_616),
        ("LLaMA-13B", llama(40, 5120, 40, 40, 13_824, 32_000), 13_015_864_320),
        ("LLaMA-33B", llama(60, 6656, 52, 52, 17_920, 32_000), 32_528_943_616),
        ("LLaMA-65B", llama(80, 8192, 64, 64, 22_016, 32_000), 65_285_660_672),
        ("Llama-2-70B", llama(80, 8192, 64, 8, 28_672, 32_000), 68_976_648_192),
        ("Llama-3-8B", llama(32, 4096, 32, 8, 14_336, 128_256), 8_030_261_248),
        ("Llama-3-70B", llama(80, 8192, 64, 8, 28_672, 128_256), 70_553_706_496),
        ("Llama-3.1-405B", llama(126, 16_384, 128, 8, 53_248, 128_256), 405_853_388_800),
        ("Llama-3.2-1B", tied(llama(16, 2048, 32, 8, 8192, 128_256)), 1_235_814_400),
        ("Llama-3.2-3B", tied(llama(28, 3072, 24, 8, 8192, 128_256)), 3_212_749_824),
        ("Mistral-7B-v0.1", llama(32, 4096, 32, 8, 14_336, 32_000), 7_241_732_096),
        ("Qwen2.5-0.5B", qwen(tied(llama(24, 896, 14, 2, 4864, 151_936))), 494_032_768),
        ("Qwen2.5-7B", qwen(llama(28, 3584, 28, 4, 18_944, 152_064)), 7_615_616_512),
        ("Qwen2.5-72B", qwen(llama(80, 8192, 64, 8, 29_568, 152_064)), 72_706_203_648),
        ("TinyLlama-1.1B", llama(22, 2048, 32, 4, 5632, 32_000), 1_100_048_384),
        ("GPT-2", gpt(12, 768, 12, 50_257, 1024), 124_439_808),
        ("GPT-2-xl", gpt(48, 1600, 25, 50_257, 1024), 1_557_611_200),
        ("pythia-410M", pythia(24, 1024, 16, 50_304), 405_334_016),
        ("pythia-6.9B", pythia(32, 4096, 32, 50_432), 6_857_302_016),
        ("pythia-12B", pythia(36, 5120, 40, 50_688), 11_846_072_320),
    ];
    for (name, transformer, expected) in rows {
        assert_eq!(transformer.parameters(), expected, "{name}");
    }
}

#[test]
fn configurations_of_known_architectures_are_read() -> Result<(), plimsoll_sizing::HuggingFaceError> {
    let llama3 = json!({"model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256, "tie_word_embeddings": false});
    assert_eq!(Model::from_hugging_face(&llama3)?.parameters(), 8_030_261_248);
    let qwen = json!({"model_type": "qwen2", "hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14,
        "num_key_value_heads": 2, "intermediate_size": 4864, "vocab_size": 151936, "tie_word_embeddings": true});
    assert_eq!(Model::from_hugging_face(&qwen)?.parameters(), 494_032_768);
    // Qwen3-0.6B: 596,049,920 by its card (0.6B; 0.44B without the embedding).
    let qwen3 = json!({"model_type": "qwen3", "hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16,
        "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 3072, "vocab_size": 151936,
        "tie_word_embeddings": true});
    assert_eq!(Model::from_hugging_face(&qwen3)?.parameters(), 596_049_920);
    // Gemma-2B: 2,506,172,416 by its card.
    let gemma = json!({"model_type": "gemma", "hidden_size": 2048, "num_hidden_layers": 18, "num_attention_heads": 8,
        "num_key_value_heads": 1, "head_dim": 256, "intermediate_size": 16384, "vocab_size": 256000});
    assert_eq!(Model::from_hugging_face(&gemma)?.parameters(), 2_506_172_416);
    let gpt2 = json!({"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024,
        "vocab_size": 50257});
    assert_eq!(Model::from_hugging_face_text(&gpt2.to_string())?.parameters(), 124_439_808);
    Ok(())
}

#[test]
fn an_unknown_architecture_is_refused_with_the_fields_to_give() {
    let error = Model::from_hugging_face(&json!({"model_type": "mamba"})).unwrap_err().to_string();
    for word in ["mamba", "layers", "hidden", "heads", "vocabulary", "llama"] {
        assert!(error.contains(word), "{word}: {error}");
    }
    let error = Model::from_hugging_face(&json!({"model_type": "llama", "hidden_size": -1})).unwrap_err();
    assert!(error.to_string().contains("hidden_size"), "{error}");
}

/// Model FLOPs `72·B·s·L·h²·(1 + s/6h + V/12hL)` (arXiv 2205.05198, appendix A), and `96·B·s·L·h²·(1 + s/6h + V/16Lh)`
/// with full recomputation (arXiv 2104.04473, equation 3).
#[test]
fn flops_equal_megatrons_closed_forms() {
    for (layers, hidden, heads, sequence) in [(24, 1920, 15, 1024), (48, 6144, 64, 2048), (96, 12_288, 96, 2048)] {
        let (l, h, s, v) = (f64::from(layers), f64::from(hidden), f64::from(sequence), 51_200.0);
        let job = job(Model::Transformer(gpt(layers, hidden, heads, 51_200, sequence)), sequence, 1);
        let flops = Flops::of(&job, Recompute::Full);
        let model = 72.0 * s * l * h * h * (1.0 + s / (6.0 * h) + v / (12.0 * h * l));
        let executed = 96.0 * s * l * h * h * (1.0 + s / (6.0 * h) + v / (16.0 * l * h));
        assert!((flops.model / model - 1.0).abs() < 1e-3);
        assert!((flops.executed / executed - 1.0).abs() < 1e-3);
    }
}

/// arXiv 1910.02054, table 1: 7.5 B parameters, mixed precision with Adam, decimal GB; its figures are rounded.
#[test]
fn states_follow_the_zero_table() {
    let model = Model::Custom(plimsoll_sizing::Custom {
        parameters: 7_500_000_000,
        flops_per_sample: 1.0,
        activation_bytes_per_sample: 0,
    });
    let job = job(model, 1, 1024);
    let rows = [
        (Sharding::Optimizer, 4, 52.5),
        (Sharding::Gradients, 4, 41.3),
        (Sharding::Full, 4, 30.0),
        (Sharding::Optimizer, 64, 31.4),
        (Sharding::Gradients, 64, 16.6),
        (Sharding::Full, 64, 1.88),
        (Sharding::Optimizer, 1024, 30.1),
        (Sharding::Gradients, 1024, 15.1),
        (Sharding::Full, 1024, 0.12),
    ];
    for (sharding, data, printed) in rows {
        let memory = Memory::of(&job, &Layout { sharding, ..Layout::data_parallel(data) }, 1);
        let states = (memory.weights + memory.gradients + memory.optimizer) as f64 / 1e9;
        assert!((states / printed - 1.0_f64).abs() < 0.025, "{sharding:?} over {data}: {states} against {printed}");
    }
}

/// torchtitan's December 2024 tables: Llama 3 8B takes 15.0 to 15.4 GiB less on 128 H100 than on 8, of which the formula
/// explains 14.0; the allocator keeps the rest.
#[test]
fn fully_sharded_states_shrink_with_the_ranks() {
    let job = job(Model::Transformer(llama(32, 4096, 32, 8, 14_336, 128_256)), 8192, 128);
    let states = |data| {
        let memory = Memory::of(&job, &Layout { sharding: Sharding::Full, ..Layout::data_parallel(data) }, 1);
        (memory.weights + memory.gradients + memory.optimizer) as f64 / GIB
    };
    let saved = states(8) - states(128);
    assert!((saved - 14.0).abs() < 0.1, "{saved}");
}

/// Measured peaks of Lightning-AI/litgpt, tutorials/resource-tables.md (Apache-2.0): LoRA rank 8 on query and value,
/// bf16, one A100 40 GB, decimal GB of the allocator, which leaves out the context. `cargo xtask bench sizing` has all rows,
/// each predicted without its model's size.
#[test]
fn memory_is_near_litgpts_measured_peaks() {
    let plain = |layers, hidden, heads, ffn, vocabulary| Transformer {
        gated_mlp: false,
        ..llama(layers, hidden, heads, heads, ffn, vocabulary)
    };
    let phi = plain(24, 2048, 32, 8192, 51_200);
    let stable = plain(16, 4096, 32, 16_384, 50_688);
    let rows = [
        (&phi, 1044, 1, 4.82),
        (&phi, 1044, 2, 6.76),
        (&phi, 1044, 4, 10.68),
        (&stable, 1034, 1, 9.69),
        (&stable, 1034, 2, 12.10),
        (&stable, 1034, 4, 16.92),
        (&llama(32, 4096, 32, 32, 11_008, 32_000), 1304, 1, 21.30),
        (&llama(32, 4096, 32, 32, 11_008, 32_000), 1304, 2, 29.07),
        (&llama(40, 5120, 40, 40, 13_824, 32_000), 1304, 1, 38.12),
    ];
    for (model, sequence, micro, measured) in rows {
        let job = JobSpec {
            precision: Precision::Bf16,
            method: Method::lora(8),
            ..job(Model::Transformer(model.clone()), sequence, 4)
        };
        let memory = Memory::of(&job, &Layout::data_parallel(1), micro);
        let predicted = memory.allocated() as f64 / 1e9;
        let error: f64 = predicted / measured - 1.0;
        assert!(error.abs() < 0.10, "{measured} GB measured, {predicted:.2} GB predicted");
    }
}

/// MFU of mosaicml/llm-foundry, scripts/train/benchmarking/README.md (Apache-2.0): H100 and A100 with FSDP full
/// sharding, activation checkpointing and the given micro-batch. The prior is to be within 30 % before anything ran.
#[test]
fn step_time_is_near_llm_foundrys_measured_utilization() {
    for &(name, t, sequence, gpus, micro, measured) in LLM_FOUNDRY {
        let (layers, hidden, heads, recompute) = t;
        let model =
            Transformer { biases: Biases::None, norm: Norm::Rms, ..gpt(layers, hidden, heads, 50_368, sequence) };
        let job = job(Model::Transformer(model), sequence, gpus * micro);
        let class = class(name, 8, gpus.div_ceil(8));
        let shape = Shape { class: class.name.clone(), pods: gpus.div_ceil(8), gpus_per_pod: 8 };
        let layout = Layout { sharding: Sharding::Full, recompute, ..Layout::data_parallel(gpus) };
        let batch = Batch { micro, accumulation: 1, global: gpus * micro };
        let predicted = estimate(&job, &class, &shape, &layout, &batch).predicted.mfu;
        let error = predicted / measured - 1.0;
        assert!(
            error.abs() < 0.30,
            "{name} {layers}x{hidden} s {sequence}: MFU {predicted:.3}, measured {measured:.3}"
        );
    }
}

/// ResNet-50 with automatic mixed precision reaches 12 % of peak on an A100 and 7 % on an H100
/// (lambdal/deeplearning-benchmark): a prior for convolutions is to be within 40 %.
#[test]
fn a_convolutional_network_is_bound_by_memory() {
    for (name, measured) in [("a100-sxm4-40gb", 0.12), ("h100-sxm5-80gb", 0.07)] {
        let job = JobSpec { precision: Precision::Fp16Mixed, ..job(common::resnet50(), 1, 256) };
        let class = class(name, 8, 1);
        let shape = Shape { class: class.name.clone(), pods: 1, gpus_per_pod: 1 };
        let batch = Batch { micro: 256, accumulation: 1, global: 256 };
        let predicted = estimate(&job, &class, &shape, &Layout::data_parallel(1), &batch).predicted.mfu;
        assert!((predicted / measured - 1.0_f64).abs() < 0.40, "{name}: {predicted:.3}");
    }
}

/// Class, (layers, hidden, heads, recompute), sequence length, devices, micro-batch, MFU.
type MeasuredUtilization = (&'static str, (u32, u32, u32, Recompute), u32, u32, u32, f64);

const LLM_FOUNDRY: &[MeasuredUtilization] = &[
    ("h100-sxm5-80gb", (80, 8192, 64, Recompute::Full), 2048, 128, 8, 0.4336),
    ("h100-sxm5-80gb", (48, 7168, 56, Recompute::Full), 2048, 128, 8, 0.4185),
    ("h100-sxm5-80gb", (40, 5120, 40, Recompute::Full), 2048, 128, 16, 0.4218),
    ("h100-sxm5-80gb", (32, 4096, 32, Recompute::None), 2048, 128, 6, 0.4571),
    ("h100-sxm5-80gb", (24, 2048, 16, Recompute::None), 2048, 128, 12, 0.4060),
    ("a100-sxm4-40gb", (80, 8192, 64, Recompute::Full), 2048, 128, 4, 0.4891),
    ("a100-sxm4-40gb", (48, 7168, 56, Recompute::Full), 2048, 128, 6, 0.5225),
    ("a100-sxm4-40gb", (40, 5120, 40, Recompute::Full), 2048, 128, 16, 0.5193),
    ("a100-sxm4-40gb", (32, 4096, 32, Recompute::Full), 2048, 128, 18, 0.5014),
    ("a100-sxm4-40gb", (24, 2048, 16, Recompute::None), 2048, 128, 10, 0.5441),
    ("a100-sxm4-40gb", (12, 768, 12, Recompute::None), 2048, 128, 26, 0.3886),
];
