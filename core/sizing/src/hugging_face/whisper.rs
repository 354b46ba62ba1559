//! Whisper: an encoder over spectrograms and a decoder of text.

use super::HuggingFaceError;
use super::fields::{Fields, divided};
use crate::model::{Biases, EncoderDecoder, Head, Input, Model, Norm, Transformer};

pub(super) fn whisper(fields: &Fields<'_>) -> Result<Model, HuggingFaceError> {
    let hidden = fields.required("d_model")?;
    let stack = |layers: u32, heads: u32, ffn: u32, heads_field: &'static str| -> Result<_, HuggingFaceError> {
        Ok(Transformer {
            layers,
            hidden,
            heads,
            kv_heads: heads,
            head_dim: divided("d_model", hidden, heads_field, heads)?,
            ffn,
            gated_mlp: false,
            biases: Biases::AllButKey,
            norm: Norm::Layer,
            ..Transformer::default()
        })
    };
    let encoder = stack(
        fields.required("encoder_layers")?,
        fields.required("encoder_attention_heads")?,
        fields.required("encoder_ffn_dim")?,
        "encoder_attention_heads",
    )?;
    let decoder = stack(
        fields.required("decoder_layers")?,
        fields.required("decoder_attention_heads")?,
        fields.required("decoder_ffn_dim")?,
        "decoder_attention_heads",
    )?;
    let input = Input::Spectrogram {
        bands: fields.required("num_mel_bins")?,
        positions: fields.required("max_source_positions")?,
    };
    Ok(Model::EncoderDecoder(Box::new(EncoderDecoder {
        encoder: Transformer { head: Head::Bare, ..encoder },
        decoder: Transformer {
            vocabulary: fields.required("vocab_size")?,
            tied_embeddings: fields.flag("tie_word_embeddings", true),
            learned_positions: fields.required("max_target_positions")?,
            ..decoder
        },
        input,
    })))
}
