//! Decoder-only transformers: dimensions and parameter counts.
//!
//! Counts follow the layer definitions themselves and equal the published integers (tests below and in
//! `tests/published.rs`); the closed form of arXiv 2104.04473, equation 2, is their special case.

use serde::{Deserialize, Serialize};

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
}

/// The dimensions of a decoder-only transformer.
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
    /// Rows of the embedding, padding included.
    pub vocabulary: u32,
    /// Whether the output projection is the embedding itself.
    pub tied_embeddings: bool,
    /// Which linear layers carry a bias.
    #[serde(default)]
    pub biases: Biases,
    /// Learned positions; 0 for rotary or none.
    #[serde(default)]
    pub learned_positions: u32,
    /// Normalisation.
    #[serde(default)]
    pub norm: Norm,
    /// Whether queries and keys are normalised per head (Qwen 3).
    #[serde(default)]
    pub qk_norm: bool,
    /// Normalisations in a block: 2, or 4 where outputs are normalised too (Gemma 2).
    #[serde(default = "two")]
    pub norms_per_layer: u32,
}

fn two() -> u32 {
    2
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

    /// Attention weights of a block: `h·d_h·(2a + 2k)`.
    pub(crate) fn attention_weights(&self) -> u64 {
        u64::from(self.hidden) * 2 * (self.query_width() + self.key_width())
    }

    /// Feed-forward weights of a block: `n_m·h·f`.
    pub(crate) fn mlp_weights(&self) -> u64 {
        u64::from(if self.gated_mlp { 3_u8 } else { 2 }) * u64::from(self.hidden) * u64::from(self.ffn)
    }

    /// Parameters of one normalisation over the residual stream.
    fn norm_parameters(&self) -> u64 {
        u64::from(self.hidden)
            * match self.norm {
                Norm::Rms => 1,
                Norm::Layer => 2,
            }
    }

    /// Parameters of one block.
    pub fn layer_parameters(&self) -> u64 {
        let hidden = u64::from(self.hidden);
        let (query, key, ffn) = (self.query_width(), self.key_width(), u64::from(self.ffn));
        let mlp_bias = hidden + ffn * if self.gated_mlp { 2 } else { 1 };
        let biases = match self.biases {
            Biases::None => 0,
            Biases::QueryKeyValue => query + 2 * key,
            Biases::Attention => query + 2 * key + hidden,
            Biases::All => query + 2 * key + hidden + mlp_bias,
        };
        let qk_norm = if self.qk_norm { 2 * u64::from(self.head_dim) } else { 0 };
        self.attention_weights()
            + self.mlp_weights()
            + biases
            + u64::from(self.norms_per_layer) * self.norm_parameters()
            + qk_norm
    }

    /// Parameters of one token embedding, `V·h`.
    pub fn embedding_parameters(&self) -> u64 {
        u64::from(self.vocabulary) * u64::from(self.hidden)
    }

    /// Parameters in all.
    pub fn parameters(&self) -> u64 {
        let embeddings = self.embedding_parameters() * if self.tied_embeddings { 1 } else { 2 };
        u64::from(self.layers) * self.layer_parameters()
            + embeddings
            + u64::from(self.learned_positions) * u64::from(self.hidden)
            + self.norm_parameters()
    }

    /// Weights that multiply every token: attention, feed-forward and the output projection, tied or not; not the input
    /// lookup, normalisations or positions.
    pub fn multiplying_weights(&self) -> u64 {
        u64::from(self.layers) * (self.attention_weights() + self.mlp_weights()) + self.embedding_parameters()
    }

    /// Parameters of adapters of `rank` on the query and value projections: `r·(d_in + d_out)` each (arXiv 2106.09685).
    pub fn adapter_parameters(&self, rank: u32) -> u64 {
        let hidden = u64::from(self.hidden);
        u64::from(self.layers) * u64::from(rank) * ((hidden + self.query_width()) + (hidden + self.key_width()))
    }
}
