//! The form that all loss laws share.

use serde::Serialize;

use super::{FittedOn, Repeats, Validity};

/// Training FLOPs for each parameter and token: 2 forward, 4 backward (arXiv 2001.08361, section 2.1). Attention scores are
/// left out, as in the experiments that the laws were fitted to.
pub const FLOPS_PER_PARAMETER_AND_TOKEN: f64 = 6.0;

/// One term `coefficient / x^exponent`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PowerTerm {
    /// Its value at `x = 1`; above 0.
    pub coefficient: f64,
    /// How fast it falls; above 0.
    pub exponent: f64,
}

impl PowerTerm {
    /// The term at `x > 0`.
    pub fn at(&self, x: f64) -> f64 {
        self.coefficient * x.powf(-self.exponent)
    }

    /// The `x` at which the term has a value above 0.
    pub fn inverse(&self, value: f64) -> f64 {
        (self.coefficient / value).powf(1.0 / self.exponent)
    }
}

/// Which parameters a law counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Counting {
    /// All of them, embeddings too.
    All,
    /// Without token and position embeddings.
    WithoutEmbeddings,
}

/// A law for the final loss of a language model: `L(N, D) = E + (A/N^α + B/D^β)^k` nats per token.
///
/// With `k = 1` this is the form of arXiv 2203.15556 (equation 2); with `E = 0`, `A = Nc^(αN/αD)`, `α = αN/αD`, `B = Dc`,
/// `β = 1` and `k = αD` that of arXiv 2001.08361 (equation 1.5). Since the outer power is monotone, the same closed forms
/// give the optimum of both.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LossLaw {
    /// What it is called, such as `epoch`.
    pub name: &'static str,
    /// Where its constants are from.
    pub source: &'static str,
    /// `E`, the loss that no size and no data go below, in nats per token.
    pub irreducible_nats: f64,
    /// `k`, the outer exponent.
    pub outer_exponent: f64,
    /// `A/N^α`.
    pub parameters: PowerTerm,
    /// `B/D^β`.
    pub tokens: PowerTerm,
    /// What `N` counts.
    pub counting: Counting,
    /// Where it was fitted.
    pub fitted_on: FittedOn,
    /// What seeing a token again is worth.
    pub repeats: Repeats,
}

impl LossLaw {
    /// `L(N, D)` in nats per token, every token seen once.
    pub fn loss_nats(&self, parameters: f64, tokens: f64) -> f64 {
        self.irreducible_nats + (self.parameters.at(parameters) + self.tokens.at(tokens)).powf(self.outer_exponent)
    }

    /// Whether `parameters` and `tokens` lie where the law was fitted.
    pub fn validity(&self, parameters: f64, tokens: f64) -> Validity {
        self.fitted_on.validity(parameters, tokens)
    }

    /// The tokens with which a model of `parameters` reaches a loss; `None` when no amount does.
    pub fn tokens_to_reach(&self, parameters: f64, loss_nats: f64) -> Option<f64> {
        let room = self.inner(loss_nats)? - self.parameters.at(parameters);
        (room > 0.0).then(|| self.tokens.inverse(room)).filter(|tokens| tokens.is_finite())
    }

    /// `A/N^α + B/D^β` at a loss; `None` at or below what the law can reach.
    pub(super) fn inner(&self, loss_nats: f64) -> Option<f64> {
        let above = loss_nats - self.irreducible_nats;
        (above > 0.0 && above.is_finite()).then(|| above.powf(1.0 / self.outer_exponent))
    }
}
