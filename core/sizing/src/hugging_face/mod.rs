//! Reads the shape of a model from a Hugging Face `config.json`.
//!
//! Only known architectures are read; guessing at another one would size a job wrongly without anybody noticing.

mod bert;
mod deepseek;
mod fields;
mod gemma;
mod gpt;
mod llama;
mod t5;
mod vision;
mod whisper;

use serde_json::Value;
use thiserror::Error;

use crate::model::{Model, ShapeError};
use fields::Fields;

/// The fields to give by hand where a configuration cannot be read.
const BY_HAND: &str = "give model.transformer by hand (layers, hidden, heads, kvHeads, headDim, feedForward, gatedMlp, \
                       vocabulary, tiedEmbeddings, biases, learnedPositions), or model.custom (parameters, \
                       forwardFlopsPerSample, activationBytesPerSample)";

/// Reads one architecture.
type Reader = fn(&Fields<'_>) -> Result<Model, HuggingFaceError>;

/// Architectures that are read, by `model_type`.
const READERS: &[(&str, Reader)] = &[
    ("bert", bert::bert),
    ("bloom", gpt::bloom),
    ("cohere", llama::cohere),
    ("convnext", vision::convnext_of),
    ("deepseek_v2", deepseek::v2),
    ("deepseek_v3", deepseek::v3),
    ("distilbert", bert::distilbert),
    ("falcon", gpt::falcon),
    ("gemma", gemma::first),
    ("gemma2", gemma::second),
    ("gemma3", gemma::third_with_vision),
    ("gemma3_text", gemma::third),
    ("gpt2", gpt::gpt2),
    ("gpt_bigcode", gpt::gpt_bigcode),
    ("gpt_neo", gpt::gpt_neo),
    ("gpt_neox", gpt::gpt_neox),
    ("gpt_oss", llama::gpt_oss),
    ("gptj", gpt::gptj),
    ("granite", llama::llama_tied),
    ("internlm2", llama::llama),
    ("llama", llama::llama),
    ("mistral", llama::mistral),
    ("mixtral", llama::mixtral),
    ("mpt", gpt::mpt),
    ("mt5", t5::t5),
    ("olmo", llama::olmo),
    ("opt", gpt::opt),
    ("phi", gpt::phi),
    ("phi3", llama::phi3),
    ("qwen2", llama::qwen2),
    ("qwen2_moe", llama::qwen2_moe),
    ("qwen3", llama::qwen3),
    ("qwen3_moe", llama::qwen3_moe),
    ("resnet", vision::resnet_of),
    ("roberta", bert::roberta),
    ("stablelm", llama::stablelm),
    ("starcoder2", gpt::starcoder2),
    ("t5", t5::t5),
    ("vit", vision::vit),
    ("whisper", whisper::whisper),
];

fn known() -> String {
    READERS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// Why a configuration cannot be read.
#[derive(Debug, Error)]
pub enum HuggingFaceError {
    /// It is no JSON.
    #[error("failed to parse the model configuration")]
    Parse(#[source] serde_json::Error),
    /// Its architecture is not among those that are read.
    #[error(
        "failed to read the model configuration: the architecture {model_type:?} is not known (known: {known}); {BY_HAND}",
        known = known()
    )]
    UnknownArchitecture {
        /// What `model_type` says.
        model_type: String,
    },
    /// A number is missing.
    #[error("failed to read the model configuration: {field} is missing; {BY_HAND}")]
    Missing {
        /// The field in question.
        field: &'static str,
    },
    /// A number is not positive, no integer, or too large.
    #[error("failed to read the model configuration: {field} is {value}, but must be a positive integer below 2^32")]
    Field {
        /// The field in question.
        field: &'static str,
        /// What it says.
        value: String,
    },
    /// A number does not divide another.
    #[error(
        "failed to read the model configuration: {field} ({value}) must be a multiple of {divisor_field} ({divisor})"
    )]
    Divide {
        /// The field that is divided.
        field: &'static str,
        /// Its value.
        value: u32,
        /// The field that divides.
        divisor_field: &'static str,
        /// Its value.
        divisor: u32,
    },
    /// A number is positive but cannot be.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

impl Model {
    /// Reads a `config.json` given as text.
    ///
    /// # Errors
    /// When it is no JSON, of an unknown architecture, lacks a dimension or has one that cannot be.
    pub fn from_hugging_face_text(text: &str) -> Result<Self, HuggingFaceError> {
        Self::from_hugging_face(&serde_json::from_str(text).map_err(HuggingFaceError::Parse)?)
    }

    /// Reads a `config.json`.
    ///
    /// # Errors
    /// When its architecture is unknown, or a dimension is missing or cannot be; one sentence that names the field.
    pub fn from_hugging_face(config: &Value) -> Result<Self, HuggingFaceError> {
        let model_type = config.get("model_type").and_then(Value::as_str).unwrap_or_default();
        let reader = READERS.iter().find(|(name, _)| *name == model_type);
        let Some((_, read)) = reader else {
            return Err(HuggingFaceError::UnknownArchitecture { model_type: model_type.to_owned() });
        };
        let model = read(&Fields::new(config))?;
        model.check()?;
        Ok(model)
    }
}
