//! The optimum of a model that is to be served after it was trained.

use serde::Serialize;

use super::solve::root;
use super::{FLOPS_PER_PARAMETER_AND_TOKEN, LossLaw, Optimum, Validity};

/// Forward FLOPs for each parameter and token (arXiv 2001.08361, section 2.1).
const FLOPS_SERVED: f64 = 2.0;

/// How much a model is to be served over its life, and how well that uses devices against training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Serving {
    /// Tokens read in prompts.
    pub input_tokens: f64,
    /// Tokens written.
    pub output_tokens: f64,
    /// Model FLOPs utilization while reading prompts, 0 to 1.
    pub input_mfu: f64,
    /// Model FLOPs utilization while writing, 0 to 1; low, since writing is bound by memory.
    pub output_mfu: f64,
    /// Model FLOPs utilization of training, 0 to 1.
    pub training_mfu: f64,
    /// Price of a peak FLOP in serving over that in training; 1 on the same devices at the same price.
    pub price_ratio: f64,
}

impl Serving {
    /// Served on the same devices as well as trained: what arXiv 2401.00448 counts in FLOPs.
    pub fn tokens(tokens: f64) -> Self {
        Self {
            input_tokens: tokens,
            output_tokens: 0.0,
            input_mfu: 1.0,
            output_mfu: 1.0,
            training_mfu: 1.0,
            price_ratio: 1.0,
        }
    }

    /// Tokens that cost as much as these when they are served at training's utilization and price (arXiv 2401.00448,
    /// section 3): each kind is weighed with training's MFU over its own.
    pub fn equivalent_tokens(&self) -> f64 {
        let reading = self.input_tokens / self.input_mfu;
        let writing = self.output_tokens / self.output_mfu;
        self.price_ratio * self.training_mfu * (reading + writing)
    }
}

/// The cheapest way to train and serve a model of one quality.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServedOptimum {
    /// Parameters, as the law counts them.
    pub parameters: f64,
    /// Tokens seen in training.
    pub tokens: f64,
    /// FLOPs of training.
    pub training_flops: f64,
    /// FLOPs of serving, at training's utilization and price.
    pub serving_flops: f64,
    /// The loss of both, in nats per token.
    pub loss_nats: f64,
    /// The optimum of training alone at the same loss.
    pub plain: Optimum,
    /// FLOPs of training and serving over those with the plain optimum; at most 1.
    pub cost_ratio: f64,
    /// Whether the law was fitted on the like.
    pub validity: Validity,
}

impl LossLaw {
    /// The parameters and tokens that reach a loss with the fewest FLOPs of training and serving together (Sardana et
    /// al., arXiv 2401.00448, equation 2); `None` for a loss that the law never reaches.
    ///
    /// Minimises `6·N·D + 2·N·T` with `D = D(N)` at the loss. Its derivative vanishes where
    /// `6·D·(1 + dlnD/dlnN) + 2·T = 0`, with `dlnD/dlnN = -α·u/(β·(t - u))`, `u = A/N^α` and `t` the sum of both terms.
    /// Up to the plain optimum the left side rises, so the one root is found by bisection, and it is never above the
    /// plain optimum.
    pub fn when_served(&self, loss_nats: f64, serving: &Serving) -> Option<ServedOptimum> {
        let plain = self.optimum_at_loss(loss_nats)?;
        let inner = self.inner(loss_nats)?;
        let served = serving.equivalent_tokens();
        let (alpha, beta) = (self.parameters.exponent, self.tokens.exponent);
        let slope = |log: f64| {
            let term = self.parameters.at(log.exp());
            let room = inner - term;
            if room <= 0.0 {
                return f64::NEG_INFINITY;
            }
            let tokens = self.tokens.inverse(room);
            FLOPS_PER_PARAMETER_AND_TOKEN * tokens * (1.0 - alpha * term / (beta * room)) + FLOPS_SERVED * served
        };
        let smallest = self.parameters.inverse(inner);
        let parameters =
            if served > 0.0 { root(slope, smallest.ln(), plain.parameters.ln()).exp() } else { plain.parameters };
        let tokens = self.tokens_to_reach(parameters, loss_nats)?;
        let training_flops = FLOPS_PER_PARAMETER_AND_TOKEN * parameters * tokens;
        let serving_flops = FLOPS_SERVED * parameters * served;
        let plain_flops = plain.flops + FLOPS_SERVED * plain.parameters * served;
        Some(ServedOptimum {
            parameters,
            tokens,
            training_flops,
            serving_flops,
            loss_nats,
            cost_ratio: (training_flops + serving_flops) / plain_flops,
            validity: self.validity(parameters, tokens),
            plain,
        })
    }
}
