//! The best parameters and tokens for a number of FLOPs.

use serde::Serialize;

use super::solve::minimum;
use super::{Data, FLOPS_PER_PARAMETER_AND_TOKEN, LossLaw, Validity};

/// The parameters and data with which a number of FLOPs reaches the lowest loss.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Optimum {
    /// Training FLOPs.
    pub flops: f64,
    /// Parameters, as the law counts them.
    pub parameters: f64,
    /// Tokens seen in training.
    pub tokens: f64,
    /// Passes over the unique tokens; at most 1 when every token is fresh.
    pub epochs: f64,
    /// The loss there, in nats per token.
    pub loss_nats: f64,
    /// Whether the law was fitted on the like.
    pub validity: Validity,
}

impl Optimum {
    /// Tokens for each parameter.
    pub fn tokens_per_parameter(&self) -> f64 {
        self.tokens / self.parameters
    }
}

impl LossLaw {
    /// The optimum of `flops` above 0, with as much fresh data as it asks for.
    ///
    /// Closed form (arXiv 2203.15556, equation 4): with `6·N·D = C`, `N = G·(C/6)^(β/(α+β))` and
    /// `G = (αA / βB)^(1/(α+β))`.
    pub fn optimum(&self, flops: f64) -> Optimum {
        let (alpha, beta) = (self.parameters.exponent, self.tokens.exponent);
        let product = flops / FLOPS_PER_PARAMETER_AND_TOKEN;
        let parameters = self.scale() * product.powf(beta / (alpha + beta));
        self.optimum_of(parameters, &Data::fresh(product / parameters))
    }

    /// The optimum of `flops` when there are only so many unique tokens: the worth of repeating them is weighed against
    /// more parameters (arXiv 2305.16264, section 6).
    ///
    /// Between the parameters that the unique tokens can use and a single pass the loss falls and then rises in `ln N`:
    /// each term is convex there.
    pub fn optimum_with(&self, flops: f64, unique_tokens: f64) -> Optimum {
        let fresh = self.optimum(flops);
        if fresh.tokens <= unique_tokens {
            let data = Data::drawn_from(unique_tokens, fresh.tokens);
            return Optimum { epochs: data.epochs, ..fresh };
        }
        let product = flops / FLOPS_PER_PARAMETER_AND_TOKEN;
        let data = |parameters: f64| Data::drawn_from(unique_tokens, product / parameters);
        let loss = |log: f64| self.loss_nats_on(log.exp(), &data(log.exp()));
        let parameters =
            minimum(loss, self.parameters_for_tokens(unique_tokens).ln(), (product / unique_tokens).ln()).exp();
        self.optimum_of(parameters, &data(parameters))
    }

    /// The optimum that reaches a loss with the fewest FLOPs; `None` for a loss that the law never reaches.
    ///
    /// Where `6·N·D` is smallest at one loss, `α·A/N^α = β·B/D^β` (Lagrange), so that the two terms share what lies above
    /// `E` as `β : α`.
    pub fn optimum_at_loss(&self, loss_nats: f64) -> Option<Optimum> {
        let (alpha, beta) = (self.parameters.exponent, self.tokens.exponent);
        let inner = self.inner(loss_nats)?;
        let parameters = self.parameters.inverse(inner * beta / (alpha + beta));
        let tokens = self.tokens.inverse(inner * alpha / (alpha + beta));
        let optimum = self.optimum_of(parameters, &Data::fresh(tokens));
        optimum.flops.is_finite().then_some(optimum)
    }

    /// The parameters of the optimum that sees so many tokens: `N = (G·D)^((α+β)/α) / D`.
    pub fn parameters_for_tokens(&self, tokens: f64) -> f64 {
        let (alpha, beta) = (self.parameters.exponent, self.tokens.exponent);
        self.scale().powf((alpha + beta) / alpha) * tokens.powf(beta / alpha)
    }

    /// `G` of the closed form.
    fn scale(&self) -> f64 {
        let (parameters, tokens) = (self.parameters, self.tokens);
        let ratio = parameters.exponent * parameters.coefficient / (tokens.exponent * tokens.coefficient);
        ratio.powf(1.0 / (parameters.exponent + tokens.exponent))
    }

    fn optimum_of(&self, parameters: f64, data: &Data) -> Optimum {
        let tokens = data.tokens();
        Optimum {
            flops: FLOPS_PER_PARAMETER_AND_TOKEN * parameters * tokens,
            parameters,
            tokens,
            epochs: data.epochs,
            loss_nats: self.loss_nats_on(parameters, data),
            validity: self.validity(parameters, tokens),
        }
    }
}
