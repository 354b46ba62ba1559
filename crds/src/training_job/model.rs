//! What is trained: the shape of a model, in one of several ways.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The model, given in exactly one way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "[has(self.huggingFace), has(self.transformer), has(self.custom)].filter(x, x).size() == 1"
).message("model must have exactly one of huggingFace, transformer or custom"))]
pub struct Model {
    /// A Hugging Face config.json.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hugging_face: Option<HuggingFace>,
    /// A decoder transformer by its dimensions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transformer: Option<Transformer>,
    /// Any other model by its parameters, arithmetic and activations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<Custom>,
}

/// A Hugging Face model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HuggingFace {
    /// The text of the model's config.json.
    #[schemars(length(min = 2, max = 65536))]
    #[x_kube(validation = Rule::new("self.startsWith('{')").message("model.huggingFace.config must be the text of a config.json, a JSON object"))]
    pub config: String,
}

/// A decoder transformer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.kvHeads) || self.heads % self.kvHeads == 0").message("model.transformer.heads must be a multiple of kvHeads"))]
#[x_kube(validation = Rule::new("has(self.headDim) || self.hidden % self.heads == 0").message("model.transformer.hidden must be a multiple of heads, or headDim given"))]
pub struct Transformer {
    /// Layers.
    #[schemars(range(min = 1, max = 1024))]
    pub layers: i32,
    /// Width of the residual stream.
    #[schemars(range(min = 1, max = 262_144))]
    pub hidden: i32,
    /// Query heads.
    #[schemars(range(min = 1, max = 4096))]
    pub heads: i32,
    /// Key and value heads; as many as heads unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096))]
    pub kv_heads: Option<i32>,
    /// Width of a head; hidden divided by heads unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096))]
    pub head_dim: Option<i32>,
    /// Width inside the MLP; 4 times hidden unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub feed_forward: Option<i32>,
    /// The MLP has a gate (SwiGLU, GeGLU): three matrices instead of two.
    #[serde(default)]
    pub gated_mlp: bool,
    /// Entries of the vocabulary.
    #[schemars(range(min = 1, max = 4_194_304))]
    pub vocabulary: i32,
    /// The output layer shares the input embedding.
    #[serde(default)]
    pub tied_embeddings: bool,
    /// Positions with a learned embedding; absent for rotary or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub learned_positions: Option<i32>,
    /// Linear layers have biases.
    #[serde(default)]
    pub biases: bool,
}

/// Any other model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Custom {
    /// Parameters.
    #[schemars(range(min = 1))]
    pub parameters: i64,
    /// Floating point operations of a forward pass per sample; a multiply-add counts as two.
    #[schemars(range(min = 1))]
    pub forward_flops_per_sample: i64,
    /// Bytes of activations kept for the backward pass per sample.
    #[schemars(range(min = 0))]
    pub activation_bytes_per_sample: i64,
}
