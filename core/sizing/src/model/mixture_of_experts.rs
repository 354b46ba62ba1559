//! Experts in place of a feed-forward layer.

use serde::{Deserialize, Serialize};

/// The routed and shared experts of a block.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Experts {
    /// Routed experts in a block.
    pub count: u32,
    /// Experts that compute one token.
    pub top_k: u32,
    /// Width of one routed expert.
    pub ffn: u32,
    /// Width of all shared experts together, which compute every token; 0 for none.
    #[serde(default)]
    pub shared_ffn: u32,
    /// Whether a gate of one output weighs the shared experts (Qwen 2 MoE).
    #[serde(default)]
    pub shared_gate: bool,
    /// Whether the router adds a bias per expert (DeepSeek-V3).
    #[serde(default)]
    pub router_bias: bool,
    /// Whether every matrix of an expert has a bias (gpt-oss).
    #[serde(default)]
    pub bias: bool,
    /// First blocks that are dense.
    #[serde(default)]
    pub first_dense: u32,
    /// Every how many blocks after those one has experts; 1 = all.
    #[serde(default = "one")]
    pub every: u32,
    /// Slots per expert over its even share of tokens: what is computed when every slot is filled. 1 without dropping.
    #[serde(default = "even")]
    pub capacity_factor: f64,
}

fn one() -> u32 {
    1
}

fn even() -> f64 {
    1.0
}

impl Default for Experts {
    /// Experts in every block, nothing shared; to be filled in.
    fn default() -> Self {
        Self {
            count: 0,
            top_k: 0,
            ffn: 0,
            shared_ffn: 0,
            shared_gate: false,
            router_bias: false,
            bias: false,
            first_dense: 0,
            every: 1,
            capacity_factor: 1.0,
        }
    }
}

impl Experts {
    /// Blocks with experts among `layers`.
    pub(crate) fn layers(&self, layers: u32) -> u32 {
        layers.saturating_sub(self.first_dense) / self.every.max(1)
    }

    /// Parameters of one routed expert: its weights and biases.
    fn expert_parameters(&self, hidden: f64, matrices: f64) -> f64 {
        let biases = if self.bias { (matrices - 1.0) * f64::from(self.ffn) + hidden } else { 0.0 };
        self.expert_weights(hidden, matrices) + biases
    }

    /// Weights of one routed expert: `n_m·h·f_e`.
    pub(crate) fn expert_weights(&self, hidden: f64, matrices: f64) -> f64 {
        matrices * hidden * f64::from(self.ffn)
    }

    /// Weights of the shared experts and their gate.
    fn shared_weights(&self, hidden: f64, matrices: f64) -> f64 {
        let gate = if self.shared_gate { hidden } else { 0.0 };
        matrices * hidden * f64::from(self.shared_ffn) + gate
    }

    /// Parameters of one block's experts, router included: `E·n_m·h·f_e + h·E + n_m·h·f_s`.
    pub(crate) fn parameters(&self, hidden: f64, matrices: f64) -> f64 {
        let bias = if self.router_bias { f64::from(self.count) } else { 0.0 };
        self.routed_parameters(hidden, matrices)
            + self.shared_weights(hidden, matrices)
            + hidden * f64::from(self.count)
            + bias
    }

    /// Parameters of one block's routed experts.
    pub(crate) fn routed_parameters(&self, hidden: f64, matrices: f64) -> f64 {
        f64::from(self.count) * self.expert_parameters(hidden, matrices)
    }

    /// Parameters of the experts that a token does not pass.
    pub(crate) fn idle_parameters(&self, hidden: f64, matrices: f64) -> f64 {
        f64::from(self.count.saturating_sub(self.top_k)) * self.expert_parameters(hidden, matrices)
    }

    /// Weights that multiply one token: chosen experts, shared ones, router.
    pub(crate) fn active_weights(&self, hidden: f64, matrices: f64) -> f64 {
        f64::from(self.top_k) * self.capacity_factor * self.expert_weights(hidden, matrices)
            + self.shared_weights(hidden, matrices)
            + hidden * f64::from(self.count)
    }
}
