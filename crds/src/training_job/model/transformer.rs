//! Transformers by their dimensions.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The blocks of a transformer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stack {
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
    /// Linear layers have biases.
    #[serde(default)]
    pub biases: bool,
    /// Positions with a learned embedding; absent for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub learned_positions: Option<i32>,
    /// How a token knows where it stands, apart from learned positions; Rotary unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positions: Option<Positions>,
    /// Attention that reaches back only so far, in all layers or most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Keys and values from a compressed vector (DeepSeek); then kvHeads and headDim say nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latent_attention: Option<LatentAttention>,
    /// Queries and keys are normalised per head (Qwen 3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qk_norm: Option<bool>,
    /// Attention and MLP read the same input side by side (GPT-NeoX, PaLM, Falcon).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel_blocks: Option<bool>,
}

/// A transformer of one stack.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.kvHeads) || self.heads % self.kvHeads == 0").message("model.transformer.heads must be a multiple of kvHeads"))]
#[x_kube(validation = Rule::new("has(self.headDim) || has(self.latentAttention) || self.hidden % self.heads == 0").message("model.transformer.hidden must be a multiple of heads, or headDim given"))]
pub struct Transformer {
    /// Its blocks.
    #[serde(flatten)]
    pub stack: Stack,
    /// Entries of the vocabulary.
    #[schemars(range(min = 1, max = 4_194_304))]
    pub vocabulary: i32,
    /// The output layer shares the input embedding.
    #[serde(default)]
    pub tied_embeddings: bool,
    /// What stands on top; LanguageModel unless given. The others make it an encoder such as BERT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Head>,
}

/// A transformer with routed experts in place of the MLP.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.kvHeads) || self.heads % self.kvHeads == 0").message("model.mixtureOfExperts.heads must be a multiple of kvHeads"))]
#[x_kube(validation = Rule::new("has(self.headDim) || has(self.latentAttention) || self.hidden % self.heads == 0").message("model.mixtureOfExperts.hidden must be a multiple of heads, or headDim given"))]
#[x_kube(validation = Rule::new("self.experts.perToken <= self.experts.count").message("model.mixtureOfExperts.experts.perToken must not be above count"))]
pub struct MixtureOfExperts {
    /// Its blocks; feedForward is the width of those that have no experts.
    #[serde(flatten)]
    pub stack: Stack,
    /// Entries of the vocabulary.
    #[schemars(range(min = 1, max = 4_194_304))]
    pub vocabulary: i32,
    /// The output layer shares the input embedding.
    #[serde(default)]
    pub tied_embeddings: bool,
    /// The experts of a block.
    pub experts: Experts,
}

/// The experts of a block.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Experts {
    /// Routed experts of a block.
    #[schemars(range(min = 1, max = 65_536))]
    pub count: i32,
    /// Experts that compute one token.
    #[schemars(range(min = 1, max = 65_536))]
    pub per_token: i32,
    /// Width inside one expert.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub feed_forward: i32,
    /// Width of all shared experts together, which compute every token; none unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub shared_feed_forward: Option<i32>,
    /// First layers that have an MLP instead of experts; none unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub first_dense: Option<i32>,
    /// Every how many layers after those one has experts; 1, all of them, unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub every: Option<i32>,
    /// Slots of an expert over its even share of tokens, in percent, where tokens beyond are dropped; 100 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub capacity_percent: Option<i32>,
}

/// A transformer of two stacks: an encoder, and a decoder that attends to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.encoder.hidden == self.decoder.hidden").message("model.encoderDecoder.encoder.hidden must be that of the decoder, which attends to it"))]
#[x_kube(validation = Rule::new("(!has(self.encoder.kvHeads) || self.encoder.heads % self.encoder.kvHeads == 0) && (!has(self.decoder.kvHeads) || self.decoder.heads % self.decoder.kvHeads == 0)").message("model.encoderDecoder: heads of encoder and decoder must be a multiple of kvHeads"))]
#[x_kube(validation = Rule::new("(has(self.encoder.headDim) || has(self.encoder.latentAttention) || self.encoder.hidden % self.encoder.heads == 0) && (has(self.decoder.headDim) || has(self.decoder.latentAttention) || self.decoder.hidden % self.decoder.heads == 0)").message("model.encoderDecoder: hidden of encoder and decoder must be a multiple of heads, or headDim given"))]
pub struct EncoderDecoder {
    /// The encoder.
    pub encoder: Stack,
    /// The decoder; each of its layers has a second attention, over the encoder's output.
    pub decoder: Stack,
    /// Entries of the vocabulary.
    #[schemars(range(min = 1, max = 4_194_304))]
    pub vocabulary: i32,
    /// The output layer shares the input embedding.
    #[serde(default)]
    pub tied_embeddings: bool,
    /// The encoder hears sound (Whisper); absent where it reads tokens of the same vocabulary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spectrogram: Option<Spectrogram>,
}

/// Sound before an encoder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Spectrogram {
    /// Bands of a frame.
    #[schemars(range(min = 1, max = 4096))]
    pub bands: i32,
    /// Positions that the encoder sees, half as many as frames.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub positions: i32,
}

/// How a token knows where it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Positions {
    /// Rotation of queries and keys.
    #[default]
    Rotary,
    /// A slope per head added to the scores.
    Alibi,
    /// A key matrix for relative positions in every layer (Transformer-XL).
    Relative,
    /// A learned bias for each of 32 ranges of distance (T5).
    Buckets,
}

/// What stands on top of a transformer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Head {
    /// The output layer over the vocabulary.
    #[default]
    LanguageModel,
    /// BERT's masked language model.
    MaskedLanguageModel,
    /// BERT's pooler: one dense layer over the first token.
    Pooler,
}

/// Attention that reaches back only so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// Keys that a query sees.
    #[schemars(range(min = 1, max = 16_777_216))]
    pub size: i32,
    /// Every how many layers one sees all keys (2 in Gemma 2, 6 in Gemma 3); absent: none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub global_every: Option<i32>,
}

/// Multi-head latent attention.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct LatentAttention {
    /// Rank of the compressed query; absent where queries come from the residual stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_536))]
    pub query_rank: Option<i32>,
    /// Rank of the compressed keys and values.
    #[schemars(range(min = 1, max = 65_536))]
    pub kv_rank: i32,
    /// Width of a head without position.
    #[schemars(range(min = 1, max = 4096))]
    pub plain_dim: i32,
    /// Width of a head that is rotated; one key part for all heads.
    #[schemars(range(min = 0, max = 4096))]
    pub rotary_dim: i32,
    /// Width of a value head.
    #[schemars(range(min = 1, max = 4096))]
    pub value_dim: i32,
}
