//! What the model of a job is to sizing.

use plimsoll_crds::training_job as api;
use plimsoll_sizing::{Biases, Custom, Model, Norm, Transformer};

use super::{SpecError, optional, positive};

pub(super) fn model(model: &api::Model) -> Result<Model, SpecError> {
    match (&model.hugging_face, &model.transformer, &model.custom) {
        (Some(hugging_face), None, None) => {
            Model::from_hugging_face_text(&hugging_face.config).map_err(SpecError::HuggingFace)
        }
        (None, Some(t), None) => transformer(t).map(Model::Transformer),
        (None, None, Some(custom)) => {
            let natural = |field, value| u64::try_from(value).map_err(|_| SpecError::Number { field, value });
            let flops = natural("model.custom.forwardFlopsPerSample", custom.forward_flops_per_sample)?;
            Ok(Model::Custom(Custom {
                parameters: natural("model.custom.parameters", custom.parameters)?.max(1),
                flops_per_sample: flops as f64,
                activation_bytes_per_sample: natural(
                    "model.custom.activationBytesPerSample",
                    custom.activation_bytes_per_sample,
                )?,
            }))
        }
        _ => Err(SpecError::Model),
    }
}

fn transformer(t: &api::Transformer) -> Result<Transformer, SpecError> {
    let hidden = positive("model.transformer.hidden", t.hidden)?;
    let heads = positive("model.transformer.heads", t.heads)?;
    Ok(Transformer {
        layers: positive("model.transformer.layers", t.layers)?,
        hidden,
        heads,
        kv_heads: optional("model.transformer.kvHeads", t.kv_heads)?.unwrap_or(heads),
        head_dim: optional("model.transformer.headDim", t.head_dim)?.unwrap_or_else(|| (hidden / heads).max(1)),
        ffn: optional("model.transformer.feedForward", t.feed_forward)?.unwrap_or_else(|| hidden.saturating_mul(4)),
        gated_mlp: t.gated_mlp,
        vocabulary: positive("model.transformer.vocabulary", t.vocabulary)?,
        tied_embeddings: t.tied_embeddings,
        biases: if t.biases { Biases::All } else { Biases::None },
        learned_positions: optional("model.transformer.learnedPositions", t.learned_positions)?.unwrap_or(0),
        // Programs that leave out biases leave out those of the normalisations too.
        norm: if t.biases { Norm::Layer } else { Norm::Rms },
        qk_norm: false,
        norms_per_layer: 2,
        ..Transformer::default()
    })
}
