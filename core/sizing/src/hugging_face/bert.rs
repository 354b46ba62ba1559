//! Encoders: BERT, RoBERTa, DistilBERT.

use super::HuggingFaceError;
use super::fields::{Fields, divided};
use crate::model::{Biases, Head, Model, Norm, Transformer};

pub(super) fn bert(fields: &Fields<'_>) -> Result<Model, HuggingFaceError> {
    let hidden = fields.required("hidden_size")?;
    let heads = fields.required("num_attention_heads")?;
    let base = encoder(fields, hidden, heads, ["hidden_size", "num_attention_heads"])?;
    let head = if fields.built_as("ForMaskedLM") { Head::MaskedLanguageModel } else { Head::Pooler };
    Ok(Model::Transformer(Transformer {
        layers: fields.required("num_hidden_layers")?,
        ffn: fields.required("intermediate_size")?,
        segments: fields.count("type_vocab_size", 2)?,
        head,
        ..base
    }))
}

pub(super) fn roberta(fields: &Fields<'_>) -> Result<Model, HuggingFaceError> {
    bert(fields)
}

pub(super) fn distilbert(fields: &Fields<'_>) -> Result<Model, HuggingFaceError> {
    let base = encoder(fields, fields.required("dim")?, fields.required("n_heads")?, ["dim", "n_heads"])?;
    let head = if fields.built_as("ForMaskedLM") { Head::MaskedLanguageModel } else { Head::Bare };
    let (layers, ffn) = (fields.required("n_layers")?, fields.required("hidden_dim")?);
    Ok(Model::Transformer(Transformer { layers, ffn, head, ..base }))
}

fn encoder(
    fields: &Fields<'_>,
    hidden: u32,
    heads: u32,
    names: [&'static str; 2],
) -> Result<Transformer, HuggingFaceError> {
    let [hidden_field, heads_field] = names;
    Ok(Transformer {
        hidden,
        heads,
        kv_heads: heads,
        head_dim: divided(hidden_field, hidden, heads_field, heads)?,
        gated_mlp: false,
        vocabulary: fields.required("vocab_size")?,
        tied_embeddings: true,
        biases: Biases::All,
        learned_positions: fields.required("max_position_embeddings")?,
        norm: Norm::Layer,
        embedding_norm: true,
        // Normalisations stand after the sublayers: the last block ends with one.
        final_norm: false,
        dropout: true,
        ..Transformer::default()
    })
}
