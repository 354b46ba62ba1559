//! Gemma: Llama-like, tied, with wide heads; from the second version on windows and normalised outputs.

use super::HuggingFaceError;
use super::fields::Fields;
use super::llama::like;
use crate::model::{Model, Transformer, Window};

type Read<T> = Result<T, HuggingFaceError>;

pub(super) fn first(fields: &Fields<'_>) -> Read<Model> {
    Ok(Model::Transformer(like(fields, true)?))
}

pub(super) fn second(fields: &Fields<'_>) -> Read<Model> {
    let window = Window { size: fields.or("sliding_window", 4096)?, global_every: 2 };
    Ok(Model::Transformer(Transformer { norms_per_layer: 4, window: Some(window), ..like(fields, true)? }))
}

pub(super) fn third(fields: &Fields<'_>) -> Read<Model> {
    // Published configurations leave out what equals the library's defaults.
    let heads = fields.or("num_attention_heads", 8)?;
    let window =
        Window { size: fields.or("sliding_window", 4096)?, global_every: fields.or("sliding_window_pattern", 6)? };
    Ok(Model::Transformer(Transformer {
        layers: fields.or("num_hidden_layers", 26)?,
        hidden: fields.required("hidden_size")?,
        heads,
        kv_heads: fields.or("num_key_value_heads", 4)?,
        head_dim: fields.or("head_dim", 256)?,
        ffn: fields.required("intermediate_size")?,
        vocabulary: fields.or("vocab_size", 262_208)?,
        tied_embeddings: fields.flag("tie_word_embeddings", true),
        qk_norm: true,
        norms_per_layer: 4,
        window: Some(window),
        ..Transformer::default()
    }))
}

/// The text stack of a model that sees images; its vision tower is left out.
pub(super) fn third_with_vision(fields: &Fields<'_>) -> Read<Model> {
    third(&fields.inside("text_config").unwrap_or(*fields))
}
