//! Published loss laws, as data.

use super::{Counting, FittedOn, LossLaw, PowerTerm, Repeats};

/// The models behind both fits of the Chinchilla runs, read off figure 4 of arXiv 2203.15556, without the five of fewest
/// tokens per parameter, which Epoch's fit leaves out.
const CHINCHILLA: FittedOn = FittedOn {
    parameters: (5.7e7, 1.62e10),
    tokens: (8.1e8, 3.2e11),
    flops: Some((1.3e18, 1.3e22)),
    tokens_per_parameter: Some((0.45, 342.0)),
};

impl LossLaw {
    /// Epoch's fit of the Chinchilla runs, the default: on 240 of the 245 points of figure 4 it errs by 0.022 nats (root
    /// mean square), and at Chinchilla's own 5.76e23 FLOPs its optimum, 72 B parameters on 1.33 T tokens, agrees with the
    /// 67 to 70 B of the other two approaches of that paper.
    pub const EPOCH: Self = Self {
        name: "epoch",
        source: "Besiroglu et al., arXiv 2404.10102",
        irreducible_nats: 1.8172,
        outer_exponent: 1.0,
        parameters: PowerTerm { coefficient: 482.01, exponent: 0.3478 },
        tokens: PowerTerm { coefficient: 2085.43, exponent: 0.3658 },
        counting: Counting::All,
        fitted_on: CHINCHILLA,
        repeats: Repeats::TOKENS,
    };

    /// Approach 3 of the Chinchilla paper as printed. Do not decide by it: its rounded constants lie 0.045 nats too high
    /// on the paper's own runs and put the optimum at 5.76e23 FLOPs at 32 B parameters.
    pub const HOFFMANN_PRINTED: Self = Self {
        name: "hoffmann-printed",
        source: "Hoffmann et al., arXiv 2203.15556, equation 10",
        irreducible_nats: 1.69,
        outer_exponent: 1.0,
        parameters: PowerTerm { coefficient: 406.4, exponent: 0.34 },
        tokens: PowerTerm { coefficient: 410.7, exponent: 0.28 },
        counting: Counting::All,
        fitted_on: CHINCHILLA,
        repeats: Repeats::TOKENS,
    };

    /// Approach 3 with the digits that rounding took away; 0.030 nats on the 240 points, 40 B parameters at 5.76e23 FLOPs.
    pub const HOFFMANN_UNROUNDED: Self = Self {
        name: "hoffmann-unrounded",
        source: "Hoffmann et al., arXiv 2203.15556, source of equation 10, by arXiv 2404.10102",
        irreducible_nats: 1.6934,
        parameters: PowerTerm { coefficient: 406.4, exponent: 0.3392 },
        tokens: PowerTerm { coefficient: 410.7, exponent: 0.2849 },
        ..Self::HOFFMANN_PRINTED
    };

    /// The law of the first scaling study: `L = ((Nc/N)^(αN/αD) + Dc/D)^αD` with `αN = 0.076`, `αD = 0.103`,
    /// `Nc = 6.4e13`, `Dc = 1.8e13`. Its schedule was not fitted to each length of training, so it undervalues data; its own
    /// advice (parameters as `C^0.73`, see [`super::opinions`]) followed from runs stopped early, not from this equation.
    pub const KAPLAN: Self = Self {
        name: "kaplan",
        source: "Kaplan et al., arXiv 2001.08361, equation 1.5 and table 2",
        irreducible_nats: 0.0,
        outer_exponent: 0.103,
        // Nc^(αN/αD), written out since powf is not const.
        parameters: PowerTerm { coefficient: 1.538_453_069_545_564e10, exponent: 0.076 / 0.103 },
        tokens: PowerTerm { coefficient: 1.8e13, exponent: 1.0 },
        counting: Counting::WithoutEmbeddings,
        fitted_on: FittedOn {
            parameters: (7.7e2, 1.5e9),
            tokens: (2.2e7, 2.3e10),
            flops: None,
            tokens_per_parameter: None,
        },
        repeats: Repeats::TOKENS,
    };

    /// The law for repeated data, which also discounts parameters beyond what the unique tokens can use.
    pub const MUENNIGHOFF: Self = Self {
        name: "muennighoff",
        source: "Muennighoff et al., arXiv 2305.16264, appendix A",
        irreducible_nats: 1.869_143_678_4,
        outer_exponent: 1.0,
        parameters: PowerTerm { coefficient: 520.824_951_66, exponent: 0.352_659_6 },
        tokens: PowerTerm { coefficient: 1_487.716_093_78, exponent: 0.352_659_6 },
        counting: Counting::All,
        fitted_on: FittedOn {
            parameters: (7.0e6, 9.0e9),
            tokens: (1.0e8, 9.0e11),
            flops: None,
            tokens_per_parameter: None,
        },
        repeats: Repeats::TOKENS_AND_PARAMETERS,
    };

    /// All published laws, the default first.
    pub const PUBLISHED: [Self; 5] =
        [Self::EPOCH, Self::HOFFMANN_UNROUNDED, Self::HOFFMANN_PRINTED, Self::MUENNIGHOFF, Self::KAPLAN];
}

impl Default for LossLaw {
    fn default() -> Self {
        Self::EPOCH
    }
}
