//! What other studies would do with the same FLOPs.

use serde::Serialize;

use super::{FLOPS_PER_PARAMETER_AND_TOKEN, LossLaw};

/// A published rule for the parameters that a number of FLOPs is worth: a power law of them.
struct Rule {
    name: &'static str,
    source: &'static str,
    /// FLOPs at which `parameters` are the optimum.
    flops: f64,
    parameters: f64,
    exponent: f64,
}

/// Rules that come without a law for the loss.
const RULES: [Rule; 4] = [
    // The two Chinchilla rules pass through the rows for 1 B and 67 B parameters of the paper's own projections.
    Rule {
        name: "hoffmann approach 1",
        source: "arXiv 2203.15556, table 3",
        flops: 6.03e23,
        parameters: 67e9,
        exponent: 0.494,
    },
    Rule {
        name: "hoffmann approach 2",
        source: "arXiv 2203.15556, table A3",
        flops: 6.834e23,
        parameters: 67e9,
        exponent: 0.486,
    },
    // Tokens 0.299·C^0.537, so parameters C^0.463: 402 B at 3.8e25.
    Rule {
        name: "llama 3",
        source: "arXiv 2407.21783, section 3.2",
        flops: 3.8e25,
        parameters: 402e9,
        exponent: 0.463,
    },
    // 1.3e9 parameters without embeddings at a petaflop/s-day.
    Rule {
        name: "kaplan frontier",
        source: "arXiv 2001.08361, table 6",
        flops: 8.64e19,
        parameters: 1.3e9,
        exponent: 0.73,
    },
];

/// What one study holds to be the optimum.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Opinion {
    /// Which study.
    pub name: &'static str,
    /// Where it says so.
    pub source: &'static str,
    /// Parameters, as the study counts them.
    pub parameters: f64,
    /// Tokens seen in training.
    pub tokens: f64,
}

/// The optimum of `flops` by every published law and rule, the fewest parameters first: how far studies agree. Kaplan's
/// rule is kept for the history; later ones explain it by schedules that were not fitted to the length of training.
pub fn opinions(flops: f64) -> Vec<Opinion> {
    let laws = LossLaw::PUBLISHED.iter().map(|law| {
        let optimum = law.optimum(flops);
        Opinion { name: law.name, source: law.source, parameters: optimum.parameters, tokens: optimum.tokens }
    });
    let rules = RULES.iter().map(|rule| {
        let parameters = rule.parameters * (flops / rule.flops).powf(rule.exponent);
        let tokens = flops / FLOPS_PER_PARAMETER_AND_TOKEN / parameters;
        Opinion { name: rule.name, source: rule.source, parameters, tokens }
    });
    let mut opinions: Vec<_> = laws.chain(rules).collect();
    opinions.sort_by(|a, b| a.parameters.total_cmp(&b.parameters).then_with(|| a.name.cmp(b.name)));
    opinions
}
