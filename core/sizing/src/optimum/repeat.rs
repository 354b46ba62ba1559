//! What seeing the same tokens again is worth.

use serde::Serialize;

use super::LossLaw;

/// Training data: so many unique tokens, seen so many times.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Data {
    /// Tokens that differ.
    pub unique_tokens: f64,
    /// Passes over them; above 0, a fraction when the first pass is not finished.
    pub epochs: f64,
}

impl Data {
    /// So many tokens, each seen once.
    pub fn fresh(tokens: f64) -> Self {
        Self { unique_tokens: tokens, epochs: 1.0 }
    }

    /// `tokens` in all, drawn from `unique_tokens`; fresh where those are enough.
    pub fn drawn_from(unique_tokens: f64, tokens: f64) -> Self {
        Self { unique_tokens, epochs: tokens / unique_tokens }
    }

    /// Tokens seen in training, with every repetition.
    pub fn tokens(&self) -> f64 {
        self.unique_tokens * self.epochs
    }

    /// Unique tokens that were seen at least once.
    fn seen_once(&self) -> f64 {
        self.unique_tokens * self.epochs.min(1.0)
    }

    /// Passes after the first one.
    fn repetitions(&self) -> f64 {
        (self.epochs - 1.0).max(0.0)
    }
}

/// How fast repetition loses its worth (Muennighoff et al., arXiv 2305.16264, equations 5 and 6; constants of appendix A):
/// `R` repetitions of `U` tokens count as `U·R*·(1 - e^(-R/R*))` fresh ones.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Repeats {
    /// `R*` of tokens: repetitions after which 63 % of all that repeating can give is had.
    pub tokens: f64,
    /// `R*` of parameters beyond what the unique tokens can use; `None` = they count in full.
    pub parameters: Option<f64>,
}

impl Repeats {
    /// Repeated tokens lose worth, parameters do not: what laws without a term of their own are used with.
    pub const TOKENS: Self = Self { tokens: 15.387_756, parameters: None };
    /// Both lose worth, as in the paper.
    pub const TOKENS_AND_PARAMETERS: Self = Self { tokens: 15.387_756, parameters: Some(5.309_743) };
}

/// `once` units and `repetitions` of them, as units of full worth.
fn worth(once: f64, repetitions: f64, decay: f64) -> f64 {
    // exp_m1 keeps a few repetitions exact.
    once * (1.0 - decay * (-repetitions / decay).exp_m1())
}

impl LossLaw {
    /// Fresh tokens that are worth as much as `data`: never more than it has, never above `1 + R*` times its unique tokens.
    pub fn effective_tokens(&self, data: &Data) -> f64 {
        worth(data.seen_once(), data.repetitions(), self.repeats.tokens)
    }

    /// Parameters that are worth as much as `parameters` trained on `data`: never more than there are.
    pub fn effective_parameters(&self, parameters: f64, data: &Data) -> f64 {
        let Some(decay) = self.repeats.parameters else { return parameters };
        let usable = self.parameters_for_tokens(data.seen_once()).min(parameters);
        worth(usable, parameters / usable - 1.0, decay)
    }

    /// The loss of `parameters` trained on `data`, in nats per token.
    pub fn loss_nats_on(&self, parameters: f64, data: &Data) -> f64 {
        self.loss_nats(self.effective_parameters(parameters, data), self.effective_tokens(data))
    }

    /// Passes over `unique_tokens` that are worth `tokens` fresh ones; `None` when no number of them is.
    pub fn epochs_for(&self, unique_tokens: f64, tokens: f64) -> Option<f64> {
        let multiple = tokens / unique_tokens;
        if multiple <= 1.0 {
            return Some(multiple);
        }
        let left = 1.0 - (multiple - 1.0) / self.repeats.tokens;
        (left > 0.0).then(|| 1.0 - self.repeats.tokens * left.ln())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_epochs_are_nearly_fresh_and_forty_nearly_worthless() {
        let law = LossLaw::EPOCH;
        let worth = |epochs: f64| law.effective_tokens(&Data { unique_tokens: 1e9, epochs }) / 1e9;
        assert!((worth(1.0) - 1.0).abs() < 1e-12);
        assert!(worth(4.0) / 4.0 > 0.92, "{}", worth(4.0));
        assert!(worth(40.0) / 40.0 < 0.4, "{}", worth(40.0));
        assert!(worth(1e6) <= 1.0 + law.repeats.tokens);
    }

    #[test]
    fn epochs_for_inverts_the_worth_of_repetition() {
        let law = LossLaw::EPOCH;
        for epochs in [0.25, 1.0, 3.0, 30.0] {
            let worth = law.effective_tokens(&Data { unique_tokens: 2e9, epochs });
            assert!((law.epochs_for(2e9, worth).unwrap() / epochs - 1.0).abs() < 1e-9);
        }
        assert_eq!(law.epochs_for(1e9, 1e11), None);
    }
}
