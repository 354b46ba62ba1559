//! Latent attention: keys and values from a compressed vector.

use serde::{Deserialize, Serialize};

/// The dimensions of multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LatentAttention {
    /// Rank of the compressed query; `None` where queries come from the residual stream.
    pub query_rank: Option<u32>,
    /// Rank of the compressed keys and values.
    pub kv_rank: u32,
    /// Width per head without position.
    pub plain_dim: u32,
    /// Width per head that is rotated; one key part for all heads.
    pub rotary_dim: u32,
    /// Width of a value head.
    pub value_dim: u32,
}

impl LatentAttention {
    /// Width of one query or key head.
    pub(crate) fn key_dim(&self) -> f64 {
        f64::from(self.plain_dim) + f64::from(self.rotary_dim)
    }

    /// Weights of one block: query `r_q·(h + a·d_k)` or `h·a·d_k`, compression `h·(r + d_r)`, expansion
    /// `r·a·(d_n + d_v)`, output `a·d_v·h`.
    pub(crate) fn weights(&self, hidden: f64, heads: f64) -> f64 {
        let queries = heads * self.key_dim();
        let query = match self.query_rank {
            Some(rank) => f64::from(rank) * (hidden + queries),
            None => hidden * queries,
        };
        let rank = f64::from(self.kv_rank);
        let compression = hidden * (rank + f64::from(self.rotary_dim));
        let expansion = rank * heads * (f64::from(self.plain_dim) + f64::from(self.value_dim));
        query + compression + expansion + heads * f64::from(self.value_dim) * hidden
    }

    /// The normalisations of the compressed vectors.
    pub(crate) fn norm_parameters(&self) -> f64 {
        f64::from(self.query_rank.unwrap_or(0)) + f64::from(self.kv_rank)
    }
}
