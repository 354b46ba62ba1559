//! Llama and its relatives: rotary positions, RMSNorm, gated feed-forward layers, and their mixtures of experts.

use super::HuggingFaceError;
use super::fields::{Fields, divided};
use crate::model::{Biases, Experts, Model, Norm, Transformer, Window};

type Read<T> = Result<T, HuggingFaceError>;

/// What all of them share.
pub(super) fn like(fields: &Fields<'_>, tied_by_default: bool) -> Read<Transformer> {
    let hidden = fields.required("hidden_size")?;
    let heads = fields.required("num_attention_heads")?;
    let head_dim = match fields.optional("head_dim")? {
        Some(given) => given,
        None => divided("hidden_size", hidden, "num_attention_heads", heads)?,
    };
    let kv_heads = fields.or("num_key_value_heads", heads)?;
    divided("num_attention_heads", heads, "num_key_value_heads", kv_heads)?;
    Ok(Transformer {
        layers: fields.required("num_hidden_layers")?,
        hidden,
        heads,
        kv_heads,
        head_dim,
        ffn: fields.required("intermediate_size")?,
        vocabulary: fields.required("vocab_size")?,
        tied_embeddings: fields.flag("tie_word_embeddings", tied_by_default),
        ..Transformer::default()
    })
}

/// A window over all layers, where the configuration has one.
fn window(fields: &Fields<'_>) -> Read<Option<Window>> {
    Ok(fields.optional("sliding_window")?.map(|size| Window { size, global_every: 0 }))
}

pub(super) fn llama(fields: &Fields<'_>) -> Read<Model> {
    with_biases(fields, false)
}

/// The same where embeddings are tied unless said.
pub(super) fn llama_tied(fields: &Fields<'_>) -> Read<Model> {
    with_biases(fields, true)
}

fn with_biases(fields: &Fields<'_>, tied_by_default: bool) -> Read<Model> {
    let biases = match (fields.flag("attention_bias", false), fields.flag("mlp_bias", false)) {
        (false, false) => Biases::None,
        (false, true) => Biases::FeedForward,
        (true, false) => Biases::Attention,
        (true, true) => Biases::All,
    };
    Ok(Model::Transformer(Transformer { biases, ..like(fields, tied_by_default)? }))
}

pub(super) fn mistral(fields: &Fields<'_>) -> Read<Model> {
    Ok(Model::Transformer(Transformer { window: window(fields)?, ..like(fields, false)? }))
}

pub(super) fn phi3(fields: &Fields<'_>) -> Read<Model> {
    mistral(fields)
}

/// Normalisations without parameters (arXiv 2402.00838).
pub(super) fn olmo(fields: &Fields<'_>) -> Read<Model> {
    Ok(Model::Transformer(Transformer { norm: Norm::Plain, ..like(fields, false)? }))
}

pub(super) fn stablelm(fields: &Fields<'_>) -> Read<Model> {
    let biases = if fields.flag("use_qkv_bias", false) { Biases::QueryKeyValue } else { Biases::None };
    let parallel = fields.flag("use_parallel_residual", false);
    Ok(Model::Transformer(Transformer {
        biases,
        norm: Norm::Layer,
        norms_per_layer: if parallel { 1 } else { 2 },
        parallel_blocks: parallel,
        ..like(fields, false)?
    }))
}

/// Both sublayers side by side behind one LayerNorm without bias.
pub(super) fn cohere(fields: &Fields<'_>) -> Read<Model> {
    let biases = if fields.flag("attention_bias", false) { Biases::Attention } else { Biases::None };
    Ok(Model::Transformer(Transformer { biases, norms_per_layer: 1, parallel_blocks: true, ..like(fields, true)? }))
}

/// Attention with a sink per head, experts with biases, every second layer with a window.
pub(super) fn gpt_oss(fields: &Fields<'_>) -> Read<Model> {
    let base = like(fields, false)?;
    let experts = Experts {
        count: fields.required("num_local_experts")?,
        top_k: fields.required("num_experts_per_tok")?,
        ffn: base.ffn,
        router_bias: true,
        bias: true,
        ..Experts::default()
    };
    let window = Window { size: fields.or("sliding_window", 128)?, global_every: 2 };
    let biases = if fields.flag("attention_bias", true) { Biases::Attention } else { Biases::None };
    Ok(Model::Transformer(Transformer { biases, experts: Some(experts), window: Some(window), sinks: true, ..base }))
}

pub(super) fn mixtral(fields: &Fields<'_>) -> Read<Model> {
    let base = like(fields, false)?;
    let experts = Experts {
        count: fields.required("num_local_experts")?,
        top_k: fields.required("num_experts_per_tok")?,
        ffn: base.ffn,
        ..Experts::default()
    };
    Ok(Model::Transformer(Transformer { experts: Some(experts), window: window(fields)?, ..base }))
}

pub(super) fn qwen2(fields: &Fields<'_>) -> Read<Model> {
    Ok(Model::Transformer(second(fields)?))
}

fn second(fields: &Fields<'_>) -> Read<Transformer> {
    let window = if fields.flag("use_sliding_window", false) { window(fields)? } else { None };
    Ok(Transformer { biases: Biases::QueryKeyValue, window, ..like(fields, false)? })
}

pub(super) fn qwen2_moe(fields: &Fields<'_>) -> Read<Model> {
    let shared_ffn = fields.required("shared_expert_intermediate_size")?;
    let experts = Experts { shared_ffn, shared_gate: true, ..qwen_experts(fields)? };
    Ok(Model::Transformer(Transformer { experts: Some(experts), ..second(fields)? }))
}

fn third(fields: &Fields<'_>) -> Read<Transformer> {
    let biases = if fields.flag("attention_bias", false) { Biases::Attention } else { Biases::None };
    let window = if fields.flag("use_sliding_window", false) { window(fields)? } else { None };
    Ok(Transformer { biases, qk_norm: true, window, ..like(fields, false)? })
}

pub(super) fn qwen3(fields: &Fields<'_>) -> Read<Model> {
    Ok(Model::Transformer(third(fields)?))
}

pub(super) fn qwen3_moe(fields: &Fields<'_>) -> Read<Model> {
    Ok(Model::Transformer(Transformer { experts: Some(qwen_experts(fields)?), ..third(fields)? }))
}

fn qwen_experts(fields: &Fields<'_>) -> Read<Experts> {
    Ok(Experts {
        count: fields.required("num_experts")?,
        top_k: fields.required("num_experts_per_tok")?,
        ffn: fields.required("moe_intermediate_size")?,
        every: fields.or("decoder_sparse_step", 1)?,
        ..Experts::default()
    })
}
