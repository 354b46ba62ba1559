//! Reads the dimensions of a transformer from a Hugging Face `config.json`.
//!
//! Only architectures whose parameter count was checked against the published integer are read; guessing at another one
//! would size a job wrongly without anybody noticing.

use serde_json::Value;
use thiserror::Error;

use crate::{Biases, Norm, Transformer};

/// The fields to give by hand where a configuration cannot be read.
const BY_HAND: &str =
    "layers, hidden, heads, kvHeads, headDim, ffn, gatedMlp, vocabulary, tiedEmbeddings, biases, learnedPositions";

/// Architectures that are read.
const KNOWN: &str = "llama, mistral, qwen2, qwen3, gemma, gemma2, gpt2, gpt_neox";

/// Why a configuration cannot be read.
#[derive(Debug, Error)]
pub enum HuggingFaceError {
    /// It is no JSON.
    #[error("failed to parse the model configuration")]
    Parse(#[source] serde_json::Error),
    /// Its architecture is not among those that are read.
    #[error(
        "failed to read the model configuration: the architecture {model_type:?} is not known (known: {KNOWN}); give model.transformer by hand: {BY_HAND}"
    )]
    UnknownArchitecture {
        /// What `model_type` says.
        model_type: String,
    },
    /// A number is missing or no positive integer.
    #[error(
        "failed to read the model configuration: {field} must be a positive integer; or give model.transformer by hand: {BY_HAND}"
    )]
    Field {
        /// The field in question.
        field: &'static str,
    },
}

impl Transformer {
    /// Reads a `config.json` given as text.
    ///
    /// # Errors
    /// When it is no JSON, of an unknown architecture, or lacks a dimension.
    pub fn from_hugging_face_text(text: &str) -> Result<Self, HuggingFaceError> {
        Self::from_hugging_face(&serde_json::from_str(text).map_err(HuggingFaceError::Parse)?)
    }

    /// Reads a `config.json`.
    ///
    /// # Errors
    /// When its architecture is unknown or a dimension is missing; the message lists the fields to give by hand.
    pub fn from_hugging_face(config: &Value) -> Result<Self, HuggingFaceError> {
        let model_type = config.get("model_type").and_then(Value::as_str).unwrap_or_default();
        match model_type {
            "llama" => {
                let flag = |name| flag(config, name, false);
                let biases = match (flag("attention_bias"), flag("mlp_bias")) {
                    (false, _) => Biases::None,
                    (true, false) => Biases::Attention,
                    (true, true) => Biases::All,
                };
                llama_like(config, biases, false)
            }
            "mistral" => llama_like(config, Biases::None, false),
            "qwen2" => llama_like(config, Biases::QueryKeyValue, false),
            "qwen3" => Ok(Self { qk_norm: true, ..llama_like(config, Biases::None, false)? }),
            "gemma" => llama_like(config, Biases::None, true),
            "gemma2" => Ok(Self { norms_per_layer: 4, ..llama_like(config, Biases::None, true)? }),
            "gpt2" => gpt2(config),
            "gpt_neox" => gpt_neox(config),
            other => Err(HuggingFaceError::UnknownArchitecture { model_type: other.to_owned() }),
        }
    }
}

/// Llama and its relatives: rotary positions, RMSNorm, gated feed-forward.
fn llama_like(config: &Value, biases: Biases, tied_by_default: bool) -> Result<Transformer, HuggingFaceError> {
    let hidden = required(config, "hidden_size")?;
    let heads = required(config, "num_attention_heads")?;
    Ok(Transformer {
        layers: required(config, "num_hidden_layers")?,
        hidden,
        heads,
        kv_heads: optional(config, "num_key_value_heads")?.unwrap_or(heads),
        head_dim: optional(config, "head_dim")?.unwrap_or(hidden / heads),
        ffn: required(config, "intermediate_size")?,
        gated_mlp: true,
        vocabulary: required(config, "vocab_size")?,
        tied_embeddings: flag(config, "tie_word_embeddings", tied_by_default),
        biases,
        learned_positions: 0,
        norm: Norm::Rms,
        qk_norm: false,
        norms_per_layer: 2,
        ..Transformer::default()
    })
}

/// GPT-2: learned positions, LayerNorm, biases everywhere, tied embeddings.
fn gpt2(config: &Value) -> Result<Transformer, HuggingFaceError> {
    let hidden = required(config, "n_embd")?;
    let heads = required(config, "n_head")?;
    Ok(Transformer {
        layers: required(config, "n_layer")?,
        hidden,
        heads,
        kv_heads: heads,
        head_dim: hidden / heads,
        ffn: optional(config, "n_inner")?.unwrap_or(4 * hidden),
        gated_mlp: false,
        vocabulary: required(config, "vocab_size")?,
        tied_embeddings: flag(config, "tie_word_embeddings", true),
        biases: Biases::All,
        learned_positions: required(config, "n_positions")?,
        norm: Norm::Layer,
        qk_norm: false,
        norms_per_layer: 2,
        ..Transformer::default()
    })
}

/// GPT-NeoX and Pythia: rotary positions, LayerNorm, biases everywhere.
fn gpt_neox(config: &Value) -> Result<Transformer, HuggingFaceError> {
    let hidden = required(config, "hidden_size")?;
    let heads = required(config, "num_attention_heads")?;
    Ok(Transformer {
        layers: required(config, "num_hidden_layers")?,
        hidden,
        heads,
        kv_heads: heads,
        head_dim: hidden / heads,
        ffn: required(config, "intermediate_size")?,
        gated_mlp: false,
        vocabulary: required(config, "vocab_size")?,
        tied_embeddings: flag(config, "tie_word_embeddings", false),
        biases: Biases::All,
        learned_positions: 0,
        norm: Norm::Layer,
        qk_norm: false,
        norms_per_layer: 2,
        ..Transformer::default()
    })
}

fn required(config: &Value, field: &'static str) -> Result<u32, HuggingFaceError> {
    optional(config, field)?.ok_or(HuggingFaceError::Field { field })
}

/// A positive integer, or nothing where the field is absent or null.
fn optional(config: &Value, field: &'static str) -> Result<Option<u32>, HuggingFaceError> {
    match config.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_u64()
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| *number > 0)
            .map(Some)
            .ok_or(HuggingFaceError::Field { field }),
    }
}

fn flag(config: &Value, field: &str, default: bool) -> bool {
    config.get(field).and_then(Value::as_bool).unwrap_or(default)
}
