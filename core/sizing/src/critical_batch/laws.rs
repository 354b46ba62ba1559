//! The batch that laws fitted on other language models expect.

use serde::Serialize;

use super::TradeOff;
use crate::optimum::{FLOPS_PER_PARAMETER_AND_TOKEN, LossLaw};

/// A pre-training run, as far as laws of the batch look at it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Regime {
    /// Parameters.
    pub parameters: f64,
    /// Tokens seen in training.
    pub tokens: f64,
    /// Loss at the end, in nats per token.
    pub loss_nats: f64,
}

impl Regime {
    /// A run whose loss is what `law` expects.
    pub fn of(law: &LossLaw, parameters: f64, tokens: f64) -> Self {
        Self { parameters, tokens, loss_nats: law.loss_nats(parameters, tokens) }
    }

    fn flops(&self) -> f64 {
        FLOPS_PER_PARAMETER_AND_TOKEN * self.parameters * self.tokens
    }
}

/// What a law's batch is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum Meaning {
    /// The batch of the lowest loss after a fixed number of tokens.
    Best,
    /// The largest batch that takes this share more samples than a small one: 1 for the critical batch itself.
    Overhead(f64),
}

/// A published law of the batch. The constants of Zhang and Bergsma were not read again at the source; what speaks for them is
/// that two fits of one agree, and that both agree with each other (tests/laws_batch.rs).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum BatchLaw {
    /// Kaplan et al., arXiv 2001.08361, equation 5.3: `2e8 / L^(1/0.21)` tokens at a loss of `L` nats. Models up to 1.5 B.
    Kaplan,
    /// Zhang et al., arXiv 2410.21676: `22.91·(D/1e6)^0.47` sequences of 512 tokens at 20 % overhead. Models of 85 M to
    /// 1.2 B on C4; nearly the same for all sizes at the same data.
    Zhang,
    /// Bergsma et al., arXiv 2505.13738: critical batch `0.0471·D^0.462` sequences of 2,048 tokens. Models of 111 M to
    /// 3.3 B.
    BergsmaCritical,
    /// The same: best batch `0.0306·D^0.383` sequences of 2,048 tokens.
    BergsmaBest,
    /// DeepSeek LLM, arXiv 2401.02954, section 3.1: best batch `0.2920·C^0.3271` tokens. Fitted on 1e17 to 2e19 FLOPs.
    DeepSeek,
    /// StepLaw, arXiv 2503.04715, equation 8: best batch `0.58·D^0.571` tokens. Models of 60 M to 1 B on 2 to 100 B tokens.
    StepLaw,
}

impl BatchLaw {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Kaplan, Self::Zhang, Self::BergsmaCritical, Self::BergsmaBest, Self::DeepSeek, Self::StepLaw];

    /// What its batch is.
    pub fn meaning(self) -> Meaning {
        match self {
            Self::Kaplan | Self::BergsmaCritical => Meaning::Overhead(1.0),
            Self::Zhang => Meaning::Overhead(0.2),
            Self::BergsmaBest | Self::DeepSeek | Self::StepLaw => Meaning::Best,
        }
    }

    /// Its batch, in tokens.
    pub fn tokens(self, regime: &Regime) -> f64 {
        match self {
            Self::Kaplan => 2e8 * regime.loss_nats.powf(-1.0 / 0.21),
            Self::Zhang => 22.91 * (regime.tokens / 1e6).powf(0.47) * 512.0,
            Self::BergsmaCritical => 0.0471 * regime.tokens.powf(0.462) * 2048.0,
            Self::BergsmaBest => 0.0306 * regime.tokens.powf(0.383) * 2048.0,
            Self::DeepSeek => 0.2920 * regime.flops().powf(0.3271),
            Self::StepLaw => 0.58 * regime.tokens.powf(0.571),
        }
    }

    /// What it looks at, and where it is from.
    pub fn source(self) -> &'static str {
        match self {
            Self::Kaplan => "grows as the loss falls (arXiv 2001.08361)",
            Self::Zhang => "grows with the tokens, hardly with the model (arXiv 2410.21676)",
            Self::BergsmaCritical | Self::BergsmaBest => "grows with the tokens alone (arXiv 2505.13738)",
            Self::DeepSeek => "grows with the FLOPs (arXiv 2401.02954)",
            Self::StepLaw => "grows with the tokens alone (arXiv 2503.04715)",
        }
    }
}

/// What one law expects.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LawBatch {
    /// Which law.
    pub law: BatchLaw,
    /// What its batch is.
    pub meaning: Meaning,
    /// Its batch, in tokens.
    pub tokens: f64,
    /// The critical batch that follows, in tokens; `None` for laws of the best batch.
    pub critical_tokens: Option<f64>,
    /// What it looks at, and where it is from.
    pub source: &'static str,
}

/// What the laws expect together. They part by factors of 2 to 5, since they differ in tokenizer, schedule and in what they
/// call critical: take a range, not a point, and measure ([`super::NoiseScale`]) before paying for its upper end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BatchRange {
    /// The batches of lowest loss, least and most, in tokens.
    pub best_tokens: (f64, f64),
    /// The critical batches, least and most, in tokens.
    pub critical_tokens: (f64, f64),
    /// What each law says.
    pub laws: Vec<LawBatch>,
}

impl BatchRange {
    /// The trade of steps against samples in the middle (geometric mean) of the critical batches.
    pub fn trade_off(&self) -> TradeOff {
        let (low, high) = self.critical_tokens;
        TradeOff { critical: (low * high).sqrt() }
    }
}

/// The batches that published laws expect for a pre-training run of a dense language model. For nothing else: measure the
/// noise scale instead.
pub fn batch_range(regime: &Regime) -> BatchRange {
    let laws = BatchLaw::ALL.map(|law| {
        let tokens = law.tokens(regime);
        let critical_tokens = match law.meaning() {
            Meaning::Best => None,
            Meaning::Overhead(overhead) => Some(tokens / overhead),
        };
        LawBatch { law, meaning: law.meaning(), tokens, critical_tokens, source: law.source() }
    });
    let range = |batches: &mut dyn Iterator<Item = f64>| {
        batches.fold((f64::INFINITY, 0.0), |(low, high): (f64, f64), batch| (low.min(batch), high.max(batch)))
    };
    BatchRange {
        best_tokens: range(&mut laws.iter().filter(|law| law.meaning == Meaning::Best).map(|law| law.tokens)),
        critical_tokens: range(&mut laws.iter().filter_map(|law| law.critical_tokens)),
        laws: laws.to_vec(),
    }
}

/// What to do about the start of training, where the critical batch is near 0 and rises before it settles (Merrill et al.,
/// arXiv 2505.23971).
pub fn warm_up(batch_tokens: f64, range: &BatchRange) -> String {
    let (low, _) = range.critical_tokens;
    if batch_tokens <= 0.05 * low {
        return "the batch is far below the critical one for nearly all of training; warming it up would gain little"
            .to_owned();
    }
    format!(
        "the critical batch is near 0 at the start and rises quickly: begin with a quarter of the {batch_tokens:.2e} tokens or \
         less and double (with the learning rate by its rule) while the measured noise scale stays above the batch; Plimsoll \
         keeps the global batch that the job declares, so the program has to do this"
    )
}
