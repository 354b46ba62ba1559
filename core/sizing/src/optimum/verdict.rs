//! Whether a job's parameters and data fit each other.

use std::fmt;

use serde::Serialize;

use super::count::Count;
use super::{Data, FLOPS_PER_PARAMETER_AND_TOKEN, LossLaw, Optimum, Validity};

/// How a job's tokens per parameter stand to the optimum's at the same FLOPs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Standing {
    /// Under half of it: a smaller model on more data would be better.
    DataStarved,
    /// From half to twice: within what the laws can tell apart.
    Optimal,
    /// Over twice: training alone would be cheaper with a larger model. Right when the model is to be served much.
    OverTrained,
}

/// What a law says of a job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// Data-starved, optimal or over-trained.
    pub standing: Standing,
    /// Effective tokens per parameter over the optimum's at the same FLOPs.
    pub ratio: f64,
    /// Parameters, as the law counts them.
    pub parameters: f64,
    /// The data it is trained on.
    pub data: Data,
    /// The expected loss, in nats per token.
    pub loss_nats: f64,
    /// The loss above that of the optimum at the same FLOPs, in nats per token; at least 0 but for rounding.
    pub excess_nats: f64,
    /// The part of the excess that comes from tokens seen more than once.
    pub excess_from_repeats_nats: f64,
    /// FLOPs over those of `same_loss`; at least 1.
    pub compute_multiplier: f64,
    /// The optimum at the same FLOPs, with fresh data.
    pub optimum: Optimum,
    /// The optimum that reaches the same loss, with fresh data.
    pub same_loss: Optimum,
    /// Whether the law was fitted on the like.
    pub validity: Validity,
}

impl Verdict {
    /// Below this ratio a job is data-starved.
    pub const STARVED_BELOW: f64 = 0.5;
    /// Above this ratio it is over-trained.
    pub const OVER_TRAINED_ABOVE: f64 = 2.0;
}

impl LossLaw {
    /// The verdict on `parameters` (above 0, as the law counts them) trained on `data`.
    pub fn judge(&self, parameters: f64, data: Data) -> Verdict {
        let flops = FLOPS_PER_PARAMETER_AND_TOKEN * parameters * data.tokens();
        let optimum = self.optimum(flops);
        let loss_nats = self.loss_nats_on(parameters, &data);
        let once = self.loss_nats_on(parameters, &Data::fresh(data.tokens()));
        let ratio = self.effective_tokens(&data) / parameters / optimum.tokens_per_parameter();
        let standing = if ratio < Verdict::STARVED_BELOW {
            Standing::DataStarved
        } else if ratio > Verdict::OVER_TRAINED_ABOVE {
            Standing::OverTrained
        } else {
            Standing::Optimal
        };
        let same_loss = self.optimum_at_loss(loss_nats).unwrap_or_else(|| optimum.clone());
        Verdict {
            standing,
            ratio,
            parameters,
            data,
            loss_nats,
            excess_nats: loss_nats - optimum.loss_nats,
            excess_from_repeats_nats: loss_nats - once,
            compute_multiplier: (flops / same_loss.flops).max(1.0),
            validity: self.validity(parameters, data.tokens()),
            optimum,
            same_loss,
        }
    }
}

impl fmt::Display for Verdict {
    /// One sentence with the numbers behind it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let standing = match self.standing {
            Standing::DataStarved => "data-starved",
            Standing::Optimal => "near the optimum",
            Standing::OverTrained => "over-trained",
        };
        let Self { ratio, loss_nats, excess_nats, compute_multiplier, optimum, same_loss, .. } = self;
        write!(
            f,
            "{standing}: {ratio:.2} × the optimum's tokens per parameter; loss {loss_nats:.3}, {excess_nats:.3} nats above \
             the optimum of these FLOPs ({} on {} tokens); {} on {} tokens reach the same loss with 1/{compute_multiplier:.2} \
             of the FLOPs",
            Count(optimum.parameters),
            Count(optimum.tokens),
            Count(same_loss.parameters),
            Count(same_loss.tokens),
        )?;
        if self.excess_from_repeats_nats > 5e-4 {
            write!(f, "; {:.3} nats are lost to tokens seen again", self.excess_from_repeats_nats)?;
        }
        if !self.validity.is_within() {
            write!(f, "; {}", self.validity)?;
        }
        Ok(())
    }
}
