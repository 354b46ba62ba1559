//! What is trained: the shape of a model, in one of several ways.

mod recommender;
mod recurrent;
mod transformer;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

pub use recommender::{Interaction, Recommender, Table};
pub use recurrent::{Cell, Recurrent};
pub use transformer::{
    EncoderDecoder, Experts, Head, LatentAttention, MixtureOfExperts, Positions, Spectrogram, Stack, Transformer,
    Window,
};

/// The model, given in exactly one way. Convolutional networks, vision transformers and diffusion models are given by
/// preset or by huggingFace: their layers nest, and a schema of Kubernetes cannot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "[has(self.preset), has(self.huggingFace), has(self.transformer), has(self.mixtureOfExperts), has(self.encoderDecoder), has(self.recurrent), has(self.recommender), has(self.custom)].filter(x, x).size() == 1"
).message("model must have exactly one of preset, huggingFace, transformer, mixtureOfExperts, encoderDecoder, recurrent, recommender or custom"))]
pub struct Model {
    /// A well-known model by its name, such as llama-3-8b, resnet50 or dit-xl-2; a name that is not known is answered with
    /// the nearest ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub preset: Option<String>,
    /// A Hugging Face config.json.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hugging_face: Option<HuggingFace>,
    /// A transformer of one stack by its dimensions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transformer: Option<Transformer>,
    /// A transformer with routed experts by its dimensions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixture_of_experts: Option<MixtureOfExperts>,
    /// A transformer of two stacks by its dimensions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder_decoder: Option<EncoderDecoder>,
    /// A recurrent network by its dimensions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recurrent: Option<Recurrent>,
    /// Embedding tables and dense layers, or dense layers alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommender: Option<Recommender>,
    /// Any other model by its parameters, arithmetic and activations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<Custom>,
}

/// A model that could be trained instead.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Variant {
    /// What its user calls it.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Its shape.
    pub model: Model,
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
