//! The model that a row's architecture columns describe.
//!
//! What a table leaves out is filled in by what the other columns imply: a plain feed-forward layer (`mlp_mats` 2) comes
//! with biases and LayerNorm as in GPT-2, a gated one without biases and with RMSNorm as in Llama. A row without
//! architecture columns means the model that sizing knows by its name, if it knows one.

use plimsoll_sizing::preset::{names, preset, torchvision};
use plimsoll_sizing::{Biases, Experts, Head, Model, Norm, Positions, Transformer};

use crate::{CellError, Row};

/// More parameters than any model has: a misread column.
const MOST_PARAMETERS: f64 = 1e15;

/// Whether a row describes an architecture.
pub fn describes_model(row: &Row) -> bool {
    row.has("layers") && row.has("hidden")
}

/// The transformer of a row.
///
/// # Errors
/// When a dimension is missing or cannot be read.
pub fn transformer(row: &Row) -> Result<Transformer, CellError> {
    let hidden = row.needed_count("hidden")?;
    let heads = row.needed_count("heads")?;
    let ffn = row.needed_count("ffn")?;
    let learned = row.text("pos_emb") == Some("learned");
    let gated = row.count("mlp_mats")?.map_or(row.text("pos_emb") == Some("rope"), |matrices| matrices >= 3);
    let words = row.text("note").unwrap_or_default().to_lowercase();
    // The source's own words on what its columns cannot say.
    let pooled = words.contains("encoder") && words.contains("pooler");
    let parallel = words.contains("parallel layers");
    let experts = match row.count("experts")? {
        Some(count) if count > 1 => {
            Some(Experts { count, top_k: row.needed_count("topk")?, ffn, ..Experts::default() })
        }
        _ => None,
    };
    let wide = |count: u32| f64::from(count);
    let count = experts.as_ref().map_or(1.0, |experts| f64::from(experts.count));
    let layer = wide(hidden) * (4.0 * wide(hidden) + 3.0 * wide(ffn) * count);
    if wide(row.needed_count("layers")?) * layer + wide(hidden) * wide(row.needed_count("vocab")?) > MOST_PARAMETERS {
        return Err(CellError::Malformed { column: "hidden", value: hidden.to_string() });
    }
    Ok(Transformer {
        layers: row.needed_count("layers")?,
        hidden,
        heads,
        kv_heads: row.count("kv_heads")?.unwrap_or(heads),
        head_dim: row.count("head_dim")?.unwrap_or(hidden / heads.max(1)),
        ffn,
        gated_mlp: gated,
        vocabulary: row.needed_count("vocab")?,
        tied_embeddings: row.count("tied")? == Some(1),
        biases: biases(row, gated)?,
        learned_positions: if learned { row.needed_count("seq")? } else { 0 },
        norm: norm(row, gated),
        norms_per_layer: if parallel { 1 } else { 2 },
        parallel_blocks: parallel,
        positions: match row.text("pos_emb") {
            Some("relative") => Positions::Relative,
            Some("alibi") => Positions::Alibi,
            _ => Positions::Rotary,
        },
        experts,
        segments: if pooled { 2 } else { 0 },
        embedding_norm: pooled,
        final_norm: !pooled,
        head: if pooled { Head::Pooler } else { Head::LanguageModel },
        ..Transformer::default()
    })
}

/// Whether a row describes an architecture, or names one that sizing knows.
pub fn knows_model(row: &Row) -> bool {
    describes_model(row) || named(row).is_some()
}

/// The model of a row: what its columns describe, else what its name is known as.
///
/// # Errors
/// When a dimension is missing or cannot be read, or the name is not known.
pub fn model(row: &Row) -> Result<Model, CellError> {
    if describes_model(row) {
        return transformer(row).map(Model::Transformer);
    }
    named(row).ok_or(CellError::Missing { column: "layers" })
}

/// What a row's `model` is known as: a network over pictures of `input` pixels, or a well-known model, whatever stands
/// between the parts of its name.
fn named(row: &Row) -> Option<Model> {
    let name = row.text("model")?;
    if let Ok(Some(input)) = row.count("input") {
        return torchvision(name, input).map(Model::Network);
    }
    let key = |name: &str| name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    let asked = key(name);
    let known = names().into_iter().find(|known| key(known) == asked)?;
    preset(&known).map(|preset| preset.model)
}

fn biases(row: &Row, gated: bool) -> Result<Biases, CellError> {
    Ok(match (row.count("qkv_bias")?, gated) {
        (Some(0), _) | (None, true) => Biases::None,
        (Some(_), true) => Biases::QueryKeyValue,
        (Some(_) | None, false) => Biases::All,
    })
}

fn norm(row: &Row, gated: bool) -> Norm {
    match row.text("norm") {
        // A LayerNorm without bias has as many parameters as an RMSNorm.
        Some("rms" | "layer-nobias") => Norm::Rms,
        Some("layer") => Norm::Layer,
        _ if gated => Norm::Rms,
        _ => Norm::Layer,
    }
}
