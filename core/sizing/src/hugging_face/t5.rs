//! T5 and mT5: encoder and decoder with bucketed relative positions.

use super::HuggingFaceError;
use super::fields::Fields;
use crate::model::{EncoderDecoder, Head, Input, Model, Positions, Transformer};

pub(super) fn t5(fields: &Fields<'_>) -> Result<Model, HuggingFaceError> {
    let heads = fields.required("num_heads")?;
    let layers = fields.required("num_layers")?;
    let stack = Transformer {
        layers,
        hidden: fields.required("d_model")?,
        heads,
        kv_heads: heads,
        head_dim: fields.required("d_kv")?,
        ffn: fields.required("d_ff")?,
        gated_mlp: fields.text("feed_forward_proj").is_some_and(|name| name.starts_with("gated")),
        positions: Positions::Buckets(fields.or("relative_attention_num_buckets", 32)?),
        dropout: true,
        ..Transformer::default()
    };
    let encoder = Transformer { head: Head::Bare, ..stack.clone() };
    let decoder = Transformer {
        layers: fields.or("num_decoder_layers", layers)?,
        vocabulary: fields.required("vocab_size")?,
        tied_embeddings: fields.flag("tie_word_embeddings", true),
        ..stack
    };
    Ok(Model::EncoderDecoder(Box::new(EncoderDecoder { encoder, decoder, input: Input::SharedTokens })))
}
