//! Trades of parameters against tokens at one loss.

use serde::Serialize;

use super::{FLOPS_PER_PARAMETER_AND_TOKEN, LossLaw, Validity};

/// One way to reach a loss.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trade {
    /// Parameters over those of the optimum.
    pub size: f64,
    /// Parameters, as the law counts them.
    pub parameters: f64,
    /// Tokens seen in training.
    pub tokens: f64,
    /// FLOPs of training.
    pub flops: f64,
    /// FLOPs over those of the optimum; at least 1.
    pub overhead: f64,
    /// Whether the law was fitted on the like.
    pub validity: Validity,
}

impl LossLaw {
    /// What a loss takes with models of `sizes` times the optimum's parameters; sizes that never reach it are left out.
    pub fn trades(&self, loss_nats: f64, sizes: &[f64]) -> Vec<Trade> {
        let Some(optimum) = self.optimum_at_loss(loss_nats) else { return Vec::new() };
        let trade = |size: f64| {
            let parameters = size * optimum.parameters;
            let tokens = self.tokens_to_reach(parameters, loss_nats)?;
            let flops = FLOPS_PER_PARAMETER_AND_TOKEN * parameters * tokens;
            let validity = self.validity(parameters, tokens);
            Some(Trade { size, parameters, tokens, flops, overhead: flops / optimum.flops, validity })
        };
        sizes.iter().filter_map(|size| trade(*size)).collect()
    }
}
