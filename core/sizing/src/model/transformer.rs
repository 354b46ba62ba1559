//! Transformers of one stack: decoders, encoders, dense or with experts.
//!
//! Counts follow the layer definitions themselves and equal the published integers (`tests/published.rs`); the closed form
//! of arXiv 2104.04473, equation 2, is their special case. They are computed in `f64`, which is exact below 2^53 and
//! cannot overflow, and saturate on their way to integers.

use serde::{Deserialize, Serialize};

use super::attention::LatentAttention;
use super::mixture_of_experts::Experts;

/// Which linear layers carry a bias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Biases {
    /// None (Llama).
    #[default]
    None,
    /// Query, key and value (Qwen 2).
    QueryKeyValue,
    /// All four attention projections.
    Attention,
    /// Feed-forward only (GPT-J).
    FeedForward,
    /// Attention output and feed-forward (GPT-Neo).
    OutputAndFeedForward,
    /// All but the key projection (Whisper).
    AllButKey,
    /// Attention and feed-forward (GPT-2).
    All,
}

/// Which normalisation stands before the sublayers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Norm {
    /// One weight per channel: RMSNorm, or LayerNorm without bias.
    #[default]
    Rms,
    /// A weight and a bias per channel.
    Layer,
    /// No parameters.
    Plain,
}

/// How a token knows where it stands, apart from learned positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Positions {
    /// Rotation of queries and keys, a fixed table, or nothing: no parameters.
    #[default]
    Rotary,
    /// A slope per head added to the scores: no parameters.
    Alibi,
    /// A further key matrix for relative positions in every layer (Transformer-XL, arXiv 1901.02860; Chinchilla, arXiv
    /// 2203.15556, table A9).
    Relative,
    /// One learned bias per head and bucket of distances, shared by all layers of the stack (T5, arXiv 1910.10683).
    Buckets(
        /// Buckets.
        u32,
    ),
}

/// What stands on top of the last block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Head {
    /// The output projection over the vocabulary.
    #[default]
    LanguageModel,
    /// BERT's masked language model: a dense layer, a normalisation and the tied projection with a bias.
    MaskedLanguageModel,
    /// BERT's pooler: a dense layer over the first token.
    Pooler,
    /// Nothing.
    Bare,
}

/// Layers whose attention reaches back only so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    /// Keys that a query sees.
    pub size: u32,
    /// Every how many layers one sees all keys: 2 in Gemma 2, 6 in Gemma 3; 0 when none does.
    pub global_every: u32,
}

/// The dimensions of a transformer of one stack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transformer {
    /// Blocks.
    pub layers: u32,
    /// Width of the residual stream.
    pub hidden: u32,
    /// Query heads.
    pub heads: u32,
    /// Key and value heads; as many as `heads` without grouped queries.
    pub kv_heads: u32,
    /// Width of one head; `heads × head_dim` may differ from `hidden`.
    pub head_dim: u32,
    /// Width of the feed-forward layer.
    pub ffn: u32,
    /// Whether the feed-forward layer has a gate: three matrices instead of two.
    pub gated_mlp: bool,
    /// Rows of the embedding, padding included; 0 where inputs are no tokens.
    pub vocabulary: u32,
    /// Whether the output projection is the embedding itself.
    pub tied_embeddings: bool,
    /// Which linear layers carry a bias.
    #[serde(default)]
    pub biases: Biases,
    /// Learned positions; 0 for none.
    #[serde(default)]
    pub learned_positions: u32,
    /// Normalisation.
    #[serde(default)]
    pub norm: Norm,
    /// Whether queries and keys are normalised per head (Qwen 3).
    #[serde(default)]
    pub qk_norm: bool,
    /// Normalisations in a block: 2; 1 where attention and feed-forward share it (Falcon 7B); 4 where outputs are
    /// normalised too (Gemma 2).
    #[serde(default = "two")]
    pub norms_per_layer: u32,
    /// Other positions.
    #[serde(default)]
    pub positions: Positions,
    /// Latent attention; then `kv_heads` and `head_dim` say nothing.
    #[serde(default)]
    pub latent: Option<LatentAttention>,
    /// Sliding window.
    #[serde(default)]
    pub window: Option<Window>,
    /// Whether every head has a learned score that takes weight from all keys (gpt-oss).
    #[serde(default)]
    pub sinks: bool,
    /// Whether attention and feed-forward read the same input side by side (GPT-NeoX, PaLM, Falcon).
    #[serde(default)]
    pub parallel_blocks: bool,
    /// Experts in place of the feed-forward layer.
    #[serde(default)]
    pub experts: Option<Experts>,
    /// Token types added to the embedding (BERT: 2).
    #[serde(default)]
    pub segments: u32,
    /// Width of the embedding where it is not `hidden`; projections stand between (OPT 350M).
    #[serde(default)]
    pub embedding_width: Option<u32>,
    /// Whether the embedding is normalised (BLOOM, BERT).
    #[serde(default)]
    pub embedding_norm: bool,
    /// Whether a normalisation follows the last block.
    #[serde(default = "yes")]
    pub final_norm: bool,
    /// What stands on top.
    #[serde(default)]
    pub head: Head,
    /// Whether the output projection has a bias (Phi).
    #[serde(default)]
    pub head_bias: bool,
    /// Whether masks of residual dropout are kept.
    #[serde(default)]
    pub dropout: bool,
}

fn two() -> u32 {
    2
}

fn yes() -> bool {
    true
}

impl Default for Transformer {
    /// Llama-like, without any size: to be filled in.
    fn default() -> Self {
        Self {
            layers: 0,
            hidden: 0,
            heads: 0,
            kv_heads: 0,
            head_dim: 0,
            ffn: 0,
            gated_mlp: true,
            vocabulary: 0,
            tied_embeddings: false,
            biases: Biases::None,
            learned_positions: 0,
            norm: Norm::Rms,
            qk_norm: false,
            norms_per_layer: 2,
            positions: Positions::Rotary,
            latent: None,
            window: None,
            sinks: false,
            parallel_blocks: false,
            experts: None,
            segments: 0,
            embedding_width: None,
            embedding_norm: false,
            final_norm: true,
            head: Head::LanguageModel,
            head_bias: false,
            dropout: false,
        }
    }
}

impl Transformer {
    /// Width of all query heads together.
    pub(crate) fn query_width(&self) -> u64 {
        u64::from(self.heads) * u64::from(self.head_dim)
    }

    /// Width of all key heads together.
    pub(crate) fn key_width(&self) -> u64 {
        u64::from(self.kv_heads) * u64::from(self.head_dim)
    }

    /// Attention weights of a block that multiply tokens: `h·d_h·(2a + 2k)`, or those of latent attention.
    pub(crate) fn attention_weights(&self) -> u64 {
        let hidden = f64::from(self.hidden);
        match &self.latent {
            Some(latent) => latent.weights(hidden, f64::from(self.heads)) as u64,
            None => (hidden * 2.0 * (self.query_width() as f64 + self.key_width() as f64)) as u64,
        }
    }

    /// Further attention weights that multiply positions instead of tokens.
    pub(crate) fn position_weights(&self) -> u64 {
        match self.positions {
            Positions::Relative => (f64::from(self.hidden) * self.query_width() as f64) as u64,
            Positions::Rotary | Positions::Alibi | Positions::Buckets(_) => 0,
        }
    }

    /// Matrices of a feed-forward layer.
    pub(crate) fn mlp_matrices(&self) -> f64 {
        if self.gated_mlp { 3.0 } else { 2.0 }
    }

    /// Feed-forward weights of a dense block: `n_m·h·f`.
    pub(crate) fn mlp_weights(&self) -> u64 {
        (self.mlp_matrices() * f64::from(self.hidden) * f64::from(self.ffn)) as u64
    }

    /// Parameters of one normalisation over the residual stream.
    pub(crate) fn norm_parameters(&self) -> f64 {
        f64::from(self.hidden)
            * match self.norm {
                Norm::Rms => 1.0,
                Norm::Layer => 2.0,
                Norm::Plain => 0.0,
            }
    }

    /// Biases of the attention projections of a block.
    pub(crate) fn attention_biases(&self) -> f64 {
        let (query, key, hidden) = (self.query_width() as f64, self.key_width() as f64, f64::from(self.hidden));
        match self.biases {
            Biases::None | Biases::FeedForward => 0.0,
            Biases::QueryKeyValue => query + 2.0 * key,
            Biases::Attention | Biases::All => query + 2.0 * key + hidden,
            Biases::OutputAndFeedForward => hidden,
            Biases::AllButKey => query + key + hidden,
        }
    }

    /// Biases of the feed-forward layer of a dense block.
    pub(crate) fn mlp_biases(&self) -> f64 {
        match self.biases {
            Biases::None | Biases::QueryKeyValue | Biases::Attention => 0.0,
            Biases::FeedForward | Biases::OutputAndFeedForward | Biases::AllButKey | Biases::All => {
                f64::from(self.hidden) + f64::from(self.ffn) * (self.mlp_matrices() - 1.0)
            }
        }
    }

    /// Parameters of a block without its feed-forward layer.
    fn shared_parameters(&self) -> f64 {
        let qk_norm = if self.qk_norm { 2.0 * f64::from(self.head_dim) } else { 0.0 };
        let latent = self.latent.map_or(0.0, |latent| latent.norm_parameters());
        self.attention_weights() as f64
            + self.position_weights() as f64
            + self.attention_biases()
            + f64::from(self.norms_per_layer) * self.norm_parameters()
            + qk_norm
            + latent
            + if self.sinks { f64::from(self.heads) } else { 0.0 }
    }

    /// Parameters of one dense block.
    pub fn layer_parameters(&self) -> u64 {
        (self.shared_parameters() + self.mlp_weights() as f64 + self.mlp_biases()) as u64
    }

    /// Parameters of one block with experts; of a dense one where there are none.
    pub fn expert_layer_parameters(&self) -> u64 {
        match &self.experts {
            Some(experts) => {
                (self.shared_parameters() + experts.parameters(f64::from(self.hidden), self.mlp_matrices())) as u64
            }
            None => self.layer_parameters(),
        }
    }

    /// Blocks with experts.
    pub fn expert_layers(&self) -> u32 {
        self.experts.as_ref().map_or(0, |experts| experts.layers(self.layers))
    }

    /// Blocks whose attention reaches back only over the window.
    pub(crate) fn windowed_layers(&self) -> u32 {
        match self.window {
            None => 0,
            Some(Window { global_every: 0, .. }) => self.layers,
            Some(Window { global_every, .. }) => self.layers - self.layers / global_every,
        }
    }

    /// Width of the embedding.
    pub(crate) fn embedding_columns(&self) -> u32 {
        self.embedding_width.unwrap_or(self.hidden)
    }

    /// Parameters of one token embedding, `V·h`.
    pub fn embedding_parameters(&self) -> u64 {
        u64::from(self.vocabulary) * u64::from(self.embedding_columns())
    }

    /// Parameters of the input side.
    pub(crate) fn input_parameters(&self) -> u64 {
        let hidden = f64::from(self.hidden);
        let projection =
            if self.embedding_width.is_some() { f64::from(self.embedding_columns()) * hidden } else { 0.0 };
        let norm = if self.embedding_norm { self.norm_parameters() } else { 0.0 };
        let buckets = match self.positions {
            Positions::Buckets(buckets) => f64::from(buckets) * f64::from(self.heads),
            Positions::Rotary | Positions::Alibi | Positions::Relative => 0.0,
        };
        let positions = (f64::from(self.learned_positions) + f64::from(self.segments)) * hidden;
        (self.embedding_parameters() as f64 + positions + projection + norm + buckets) as u64
    }

    /// Parameters of the output side, a tied projection left out.
    pub(crate) fn output_parameters(&self) -> u64 {
        let (hidden, vocabulary) = (f64::from(self.hidden), f64::from(self.vocabulary));
        let projection =
            if self.embedding_width.is_some() { f64::from(self.embedding_columns()) * hidden } else { 0.0 };
        let untied = if self.tied_embeddings { 0.0 } else { self.embedding_parameters() as f64 };
        let bias = if self.head_bias { vocabulary } else { 0.0 };
        let norm = if self.final_norm { self.norm_parameters() } else { 0.0 };
        let head = match self.head {
            Head::LanguageModel => untied + bias + projection,
            Head::MaskedLanguageModel => hidden * hidden + hidden + self.norm_parameters() + untied + vocabulary,
            Head::Pooler => hidden * hidden + hidden,
            Head::Bare => 0.0,
        };
        (norm + head) as u64
    }

    /// Parameters of all blocks.
    pub(crate) fn body_parameters(&self) -> u64 {
        let experts = self.expert_layers();
        let dense = f64::from(self.layers - experts) * self.layer_parameters() as f64;
        (dense + f64::from(experts) * self.expert_layer_parameters() as f64) as u64
    }

    /// Parameters in all.
    pub fn parameters(&self) -> u64 {
        self.input_parameters().saturating_add(self.body_parameters()).saturating_add(self.output_parameters())
    }

    /// Parameters that one token passes through: only the chosen experts count.
    pub fn active_parameters(&self) -> u64 {
        let idle =
            self.experts.as_ref().map_or(0.0, |e| e.idle_parameters(f64::from(self.hidden), self.mlp_matrices()));
        self.parameters().saturating_sub((f64::from(self.expert_layers()) * idle) as u64)
    }

    /// Weights that multiply every token: attention, feed-forward (chosen experts and router) and the output projection,
    /// tied or not; not the input lookup, normalisations or positions.
    pub fn multiplying_weights(&self) -> u64 {
        let experts = self.expert_layers();
        let dense = f64::from(self.layers - experts) * self.mlp_weights() as f64;
        let active = self
            .experts
            .as_ref()
            .map_or(0.0, |e| f64::from(experts) * e.active_weights(f64::from(self.hidden), self.mlp_matrices()));
        let attention = f64::from(self.layers) * self.attention_weights() as f64;
        (attention + dense + active + self.embedding_parameters() as f64) as u64
    }
}
