//! The choice among given models.

use serde::Serialize;
use thiserror::Error;

use super::{Budget, BudgetError, Data, FLOPS_PER_PARAMETER_AND_TOKEN, LossLaw, Rates, Spending, Validity};

/// A model that could be trained, and what it would run at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Variant {
    /// What the user calls it.
    pub name: String,
    /// Parameters, as the law counts them.
    pub parameters: f64,
    /// Model FLOPs of one token, forward and backward; `None` = `6·N`. Must count what the MFU of `rates` counts.
    pub flops_per_token: Option<f64>,
    /// The devices it would run on, at its own MFU.
    pub rates: Rates,
}

/// A variant with the training that a budget or a target loss gives it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// Its name.
    pub name: String,
    /// Tokens seen in training.
    pub tokens: f64,
    /// Passes over the unique tokens; at most 1 when every token is fresh.
    pub epochs: f64,
    /// The loss reached, in nats per token.
    pub loss_nats: f64,
    /// What it takes.
    pub spending: Spending,
    /// Whether the law was fitted on the like.
    pub validity: Validity,
}

/// A variant that does not reach a loss, whatever it is given.
#[derive(Clone, Debug, PartialEq, Error, Serialize)]
#[error("{name} never reaches a loss of {loss_nats:.3} nats: with this data it stays above {limit_nats:.3}")]
pub struct Unreachable {
    /// Its name.
    pub name: String,
    /// The loss asked for, in nats per token.
    pub loss_nats: f64,
    /// What it approaches with endless training, in nats per token.
    pub limit_nats: f64,
}

impl Variant {
    fn flops_per_token(&self) -> f64 {
        self.flops_per_token.unwrap_or(FLOPS_PER_PARAMETER_AND_TOKEN * self.parameters)
    }

    fn choice(&self, law: &LossLaw, data: Data) -> Choice {
        Choice {
            name: self.name.clone(),
            tokens: data.tokens(),
            epochs: data.epochs,
            loss_nats: law.loss_nats_on(self.parameters, &data),
            spending: self.rates.spending(self.flops_per_token() * data.tokens()),
            validity: law.validity(self.parameters, data.tokens()),
        }
    }
}

fn data(unique_tokens: Option<f64>, tokens: f64) -> Data {
    unique_tokens.map_or(Data::fresh(tokens), |unique| Data::drawn_from(unique, tokens))
}

/// What each variant reaches when all of a budget goes into it, the lowest loss first. `unique_tokens` is the data at
/// hand; `None` = as much as it takes.
///
/// # Errors
/// When the budget cannot be turned into FLOPs at a variant's rates.
pub fn lowest_loss_within(
    law: &LossLaw,
    budget: Budget,
    variants: &[Variant],
    unique_tokens: Option<f64>,
) -> Result<Vec<Choice>, BudgetError> {
    let mut choices = Vec::with_capacity(variants.len());
    for variant in variants {
        let tokens = budget.flops(&variant.rates)? / variant.flops_per_token();
        choices.push(variant.choice(law, data(unique_tokens, tokens)));
    }
    choices.sort_by(|a, b| a.loss_nats.total_cmp(&b.loss_nats).then_with(|| a.name.cmp(&b.name)));
    Ok(choices)
}

/// What each variant takes to reach a loss, and which never do: the cheapest first, by money where all have a price,
/// else by GPU-hours.
pub fn cheapest_to_reach(
    law: &LossLaw,
    loss_nats: f64,
    variants: &[Variant],
    unique_tokens: Option<f64>,
) -> (Vec<Choice>, Vec<Unreachable>) {
    let mut choices = Vec::new();
    let mut unreachable = Vec::new();
    for variant in variants {
        match data_to_reach(law, variant.parameters, loss_nats, unique_tokens) {
            Ok(data) => choices.push(variant.choice(law, data)),
            Err(limit_nats) => unreachable.push(Unreachable { name: variant.name.clone(), loss_nats, limit_nats }),
        }
    }
    let priced = choices.iter().all(|choice| choice.spending.money.is_some());
    let cost = |choice: &Choice| choice.spending.money.filter(|_| priced).unwrap_or(choice.spending.gpu_hours);
    choices.sort_by(|a, b| cost(a).total_cmp(&cost(b)).then_with(|| a.name.cmp(&b.name)));
    (choices, unreachable)
}

/// The least data with which `parameters` reach a loss, else the loss that they stay above.
fn data_to_reach(law: &LossLaw, parameters: f64, loss_nats: f64, unique: Option<f64>) -> Result<Data, f64> {
    let Some(unique) = unique else {
        return law
            .tokens_to_reach(parameters, loss_nats)
            .map(Data::fresh)
            .ok_or(law.loss_nats(parameters, f64::INFINITY));
    };
    // Parameters beyond what the data can use may count for less, whatever the number of passes.
    let usable = law.effective_parameters(parameters, &Data::fresh(unique));
    law.tokens_to_reach(usable, loss_nats)
        .and_then(|tokens| law.epochs_for(unique, tokens))
        .map(|epochs| Data { unique_tokens: unique, epochs })
        .ok_or_else(|| law.loss_nats_on(parameters, &Data { unique_tokens: unique, epochs: f64::INFINITY }))
}
