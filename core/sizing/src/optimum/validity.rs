//! Where a law was fitted, and how far outside a question lies.

use std::fmt;

use serde::Serialize;

use super::FLOPS_PER_PARAMETER_AND_TOKEN;

/// The ranges, lowest to highest, of the models that a law was fitted to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FittedOn {
    /// Parameters.
    pub parameters: (f64, f64),
    /// Tokens seen in training.
    pub tokens: (f64, f64),
    /// Training FLOPs, `6·N·D`, where the source says so.
    pub flops: Option<(f64, f64)>,
    /// Tokens for each parameter, where the source says so.
    pub tokens_per_parameter: Option<(f64, f64)>,
}

/// What may lie outside a law's range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Quantity {
    /// Parameters.
    Parameters,
    /// Tokens.
    Tokens,
    /// Training FLOPs.
    Flops,
    /// Tokens for each parameter.
    TokensPerParameter,
}

/// One quantity outside of the range that a law was fitted on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Beyond {
    /// Which.
    pub quantity: Quantity,
    /// Its value.
    pub value: f64,
    /// The range of the fit.
    pub fitted: (f64, f64),
}

impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { quantity, value, fitted: (low, high) } = self;
        let quantity = match quantity {
            Quantity::Parameters => "parameters",
            Quantity::Tokens => "tokens",
            Quantity::Flops => "training FLOPs",
            Quantity::TokensPerParameter => "tokens per parameter",
        };
        write!(f, "{value:.2e} {quantity} (fitted on {low:.1e} to {high:.1e})")
    }
}

/// What of a question lies outside of a law's range: nothing, or an extrapolation.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Validity {
    /// The quantities outside; empty = the law was fitted on the like.
    pub beyond: Vec<Beyond>,
}

impl Validity {
    /// Whether nothing lies outside.
    pub fn is_within(&self) -> bool {
        self.beyond.is_empty()
    }
}

impl fmt::Display for Validity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_within() {
            return f.write_str("within the law's range");
        }
        f.write_str("extrapolated: ")?;
        for (index, beyond) in self.beyond.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{beyond}")?;
        }
        Ok(())
    }
}

impl FittedOn {
    /// What of `parameters` and `tokens` lies outside.
    pub fn validity(&self, parameters: f64, tokens: f64) -> Validity {
        let asked = [
            (Quantity::Parameters, parameters, Some(self.parameters)),
            (Quantity::Tokens, tokens, Some(self.tokens)),
            (Quantity::Flops, FLOPS_PER_PARAMETER_AND_TOKEN * parameters * tokens, self.flops),
            (Quantity::TokensPerParameter, tokens / parameters, self.tokens_per_parameter),
        ];
        let outside = |value: f64, (low, high): (f64, f64)| !(low..=high).contains(&value);
        Validity {
            beyond: asked
                .into_iter()
                .filter_map(|(quantity, value, fitted)| Some(Beyond { quantity, value, fitted: fitted? }))
                .filter(|asked| outside(asked.value, asked.fitted))
                .collect(),
        }
    }
}
