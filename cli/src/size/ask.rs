//! A question without a TrainingJob: a model and the devices, all else as most programs have it.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use plimsoll_crds::TrainingJobSpec;
use serde_json::{Value, json};
use thiserror::Error;

use super::classes::ClassArgument;
use super::manifest::Job;
use crate::args::{SizeArgs, TrainingArgs, WORDS};

/// Tokens of a sample where neither the command nor the model's configuration says.
const SEQUENCE: u64 = 2048;
/// Samples of a step unless given.
const BATCH: u32 = 256;
/// Rank of adapters unless given.
const RANK: u32 = 16;
/// Fields of a configuration that limit the sample.
const LONGEST: [&str; 4] = ["max_position_embeddings", "n_positions", "max_seq_len", "n_ctx"];

/// Why a question cannot be asked.
#[derive(Debug, Error)]
pub(crate) enum AskError {
    #[error("failed to read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("failed to read {}: it is no JSON object", path.display())]
    NoObject { path: PathBuf },
    #[error("failed to ask about {name}")]
    Spec {
        name: String,
        #[source]
        source: serde_json::Error,
    },
}

/// `NAME:COUNT`: so many devices of a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gpus {
    pub(crate) class: String,
    pub(crate) count: u32,
}

/// Why an argument names no devices.
#[derive(Debug, Error)]
#[error("failed to read {text:?}: give a class and a count, as in h100:8")]
pub(crate) struct GpusError {
    text: String,
}

impl FromStr for Gpus {
    type Err = GpusError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || GpusError { text: text.to_owned() };
        let (class, count) = text.rsplit_once(':').ok_or_else(error)?;
        let count = count.parse().ok().filter(|count| (1..=65_536).contains(count)).ok_or_else(error)?;
        if class.is_empty() {
            return Err(error());
        }
        Ok(Self { class: class.to_owned(), count })
    }
}

impl Gpus {
    /// The devices in whole nodes of the product.
    pub(crate) fn class(&self, gpus_per_node: u32) -> ClassArgument {
        let inside = gpus_per_node.clamp(1, self.count.max(1));
        ClassArgument::sized(self.class.clone(), inside, self.count.div_ceil(inside))
    }
}

/// The job that a Hugging Face configuration stands for.
pub(super) fn about_config(path: &Path, args: &SizeArgs) -> Result<Job, AskError> {
    let config = std::fs::read_to_string(path).map_err(|source| AskError::Read { path: path.to_owned(), source })?;
    let parsed: Value = serde_json::from_str(&config).unwrap_or_default();
    if !parsed.is_object() {
        return Err(AskError::NoObject { path: path.to_owned() });
    }
    let longest = LONGEST.iter().find_map(|field| parsed.get(field).and_then(Value::as_u64));
    let named = parsed.get("_name_or_path").and_then(Value::as_str).filter(|name| !name.is_empty());
    let name = named.or_else(|| parsed.get("model_type").and_then(Value::as_str)).unwrap_or("model");
    job(name, json!({"huggingFace": {"config": config}}), longest, args)
}

/// The job that a well-known model stands for.
pub(super) fn about_preset(name: &str, args: &SizeArgs) -> Result<Job, AskError> {
    job(name, json!({"preset": name}), None, args)
}

fn job(name: &str, model: Value, longest: Option<u64>, args: &SizeArgs) -> Result<Job, AskError> {
    let training = &args.training;
    let sequence = training.sequence_length.map_or_else(|| longest.unwrap_or(SEQUENCE).clamp(1, SEQUENCE), u64::from);
    let (field, count) = match (training.tokens, training.samples) {
        (Some(tokens), _) => ("tokens", tokens),
        (None, samples) => ("samples", samples.unwrap_or(1.0)),
    };
    let spec = json!({
        "model": model,
        "precision": training.precision.as_deref().unwrap_or("Bf16Mixed"),
        "optimizer": training.optimizer.as_deref().unwrap_or("AdamW"),
        "method": method(training),
        "data": {field: whole(count), "sequenceLength": sequence, "epochs": training.epochs.unwrap_or(1)},
        "batch": {"global": {"preferred": training.global_batch.unwrap_or(BATCH)}},
        "accelerators": {"max": args.gpus.iter().map(|gpus| gpus.count).max()},
        "parallelism": {"accepts": training.accepts.clone().unwrap_or_else(usual)},
        "inference": training.inference_tokens.map(|tokens| json!({"tokens": whole(tokens)})),
        "template": {},
    });
    let spec: TrainingJobSpec =
        serde_json::from_value(spec).map_err(|source| AskError::Spec { name: name.to_owned(), source })?;
    Ok(Job { name: name.to_owned(), spec })
}

/// What is asked about unless given: states on the host help few and cost much host memory, which only an answer to a
/// question of its own can say.
fn usual() -> Vec<String> {
    WORDS.into_iter().filter(|word| *word != "Offload").map(str::to_owned).collect()
}

fn method(training: &TrainingArgs) -> Value {
    let kind = training.method.as_deref().unwrap_or("Pretrain");
    let rank = training.lora_rank.or(matches!(kind, "Lora" | "Qlora").then_some(RANK));
    let units = (kind == "Transfer").then(|| training.trained_units.unwrap_or(1));
    json!({
        "type": kind,
        "lora": rank.map(|rank| json!({"rank": rank})),
        "transfer": units.map(|units| json!({"trainedUnits": units})),
    })
}

/// A count that was written as any number; at least 1.
fn whole(count: f64) -> i64 {
    (count.round() as i64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_a_class_and_a_count() {
        assert_eq!("h100:8".parse::<Gpus>().unwrap(), Gpus { class: "h100".to_owned(), count: 8 });
        for wrong in ["h100", "h100:", ":8", "h100:0", "h100:-1", "h100:many", "h100:99999999999"] {
            let error = wrong.parse::<Gpus>().unwrap_err().to_string();
            assert!(error.contains("h100:8") && error.contains(wrong), "{error}");
        }
    }
}
