//! Models, jobs and classes that the tests share.
#![allow(dead_code)]

use plimsoll_sizing::{
    Accepts, Biases, ClassSpec, Custom, Declared, JobSpec, Method, Mode, Model, Norm, Optimizer, Precision,
    Transformer, catalogue,
};

/// A Llama-like transformer.
pub fn llama(layers: u32, hidden: u32, heads: u32, kv_heads: u32, ffn: u32, vocabulary: u32) -> Transformer {
    Transformer {
        layers,
        hidden,
        heads,
        kv_heads,
        head_dim: hidden / heads,
        ffn,
        gated_mlp: true,
        vocabulary,
        tied_embeddings: false,
        biases: Biases::None,
        learned_positions: 0,
        norm: Norm::Rms,
        qk_norm: false,
        norms_per_layer: 2,
        ..Transformer::default()
    }
}

/// A GPT-2-like transformer with biases.
pub fn gpt(layers: u32, hidden: u32, heads: u32, vocabulary: u32, positions: u32) -> Transformer {
    Transformer {
        gated_mlp: false,
        tied_embeddings: true,
        biases: Biases::All,
        learned_positions: positions,
        norm: Norm::Layer,
        ..llama(layers, hidden, heads, heads, 4 * hidden, vocabulary)
    }
}

/// A job that may use 1 to 8 devices and accepts everything.
pub fn job(model: Model, sequence_length: u32, global_batch: u32) -> JobSpec {
    JobSpec {
        model,
        precision: Precision::Bf16Mixed,
        optimizer: Optimizer::AdamW,
        method: Method::Pretrain,
        sequence_length,
        global_batch,
        classes: Vec::new(),
        min_gpus: 1,
        max_gpus: 8,
        requested_gpus: None,
        gpus_per_pod: None,
        mode: Mode::Auto,
        elastic: true,
        accepts: Accepts { sharding: true, tensor: false, recompute: true, ..Accepts::default() },
        declared: Declared::default(),
    }
}

/// A convolutional network of ResNet-50's size.
pub fn resnet50() -> Model {
    Model::Custom(Custom { parameters: 25_557_032, flops_per_sample: 8.18e9, activation_bytes_per_sample: 55_500_000 })
}

/// A class of the catalogue.
pub fn class(name: &str, gpus_per_node: u32, nodes: u32) -> ClassSpec {
    catalogue::by_class(name).map(|product| product.class_spec(gpus_per_node, nodes)).expect("in the catalogue")
}
