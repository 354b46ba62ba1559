//! Whether a job's parameters and data fit each other, and how that is written in its status.

use plimsoll_crds::TrainingJobSpec;
use plimsoll_crds::training_job::{self as api, ComputeOptimality, OptimalityVerdict};
use plimsoll_sizing::JobSpec;
use plimsoll_sizing::optimum::{
    Budget, Choice, Count, Data, FLOPS_PER_PARAMETER_AND_TOKEN, LossLaw, NotApplicable, Rates, ServedOptimum, Serving,
    Standing, Subject, Variant, Verdict, law_for, lowest_loss_within,
};

use crate::size::model;

/// FLOPs of reading or writing a token for each parameter (arXiv 2001.08361, section 2.1).
const FLOPS_SERVED: f64 = 2.0;

/// What a law says of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimality {
    /// The law.
    pub law: LossLaw,
    /// Its verdict by training alone.
    pub verdict: Verdict,
    /// The verdict with what serving takes, where the job says how much that is.
    pub served: Option<Served>,
    /// The variant that reaches the lowest loss with the same training FLOPs, where one reaches a lower loss than the model.
    pub nearest_variant: Option<Choice>,
}

/// The verdict on a model that is to be served.
#[derive(Clone, Debug, PartialEq)]
pub struct Served {
    /// Tokens over its life.
    pub tokens: f64,
    /// The cheapest model to train and serve at the loss of the job.
    pub optimum: ServedOptimum,
    /// Tokens per parameter over those of that optimum.
    pub ratio: f64,
    /// FLOPs of training and serving over those of that optimum; at least 1.
    pub compute_multiplier: f64,
}

/// What a job is trained on: tokens where its samples are sequences, else samples.
pub fn data(spec: &TrainingJobSpec, job: &JobSpec) -> Data {
    let samples = |samples: i64| samples as f64 * f64::from(job.sequence_length);
    let unique_tokens = spec.data.tokens.map(|tokens| tokens as f64).or(spec.data.samples.map(samples)).unwrap_or(1.0);
    Data { unique_tokens, epochs: f64::from(spec.data.epochs.max(1)) }
}

/// The verdict on a job.
///
/// # Errors
/// For everything that no law was fitted to.
pub fn optimality(spec: &TrainingJobSpec, job: &JobSpec) -> Result<Optimality, NotApplicable> {
    let law = law_for(Subject::of(&job.model, job.method))?;
    let data = data(spec, job);
    let verdict = law.judge(law.counting.parameters(&job.model), data);
    let tokens = spec.inference.as_ref().map(|inference| inference.tokens as f64);
    let served = tokens.and_then(|tokens| served(&law, &verdict, tokens));
    let nearest_variant = nearest_variant(&law, &verdict, &spec.variants, job);
    Ok(Optimality { law, verdict, served, nearest_variant })
}

/// The best of the variants with the FLOPs of the job, if it is better than the job's own model. A variant that no law
/// applies to is passed over.
fn nearest_variant(law: &LossLaw, verdict: &Verdict, variants: &[api::Variant], job: &JobSpec) -> Option<Choice> {
    // FLOPs are compared with FLOPs: at what rate they are spent is the same for all.
    let rates = Rates {
        peak_flops_per_second: 1.0,
        mfu: 1.0,
        gpus: 1,
        goodput_fraction: 1.0,
        price_per_gpu_hour: None,
        site_watts_per_gpu: None,
    };
    let read = |variant: &api::Variant| {
        let model = model(&variant.model).ok()?;
        law_for(Subject::of(&model, job.method)).ok()?;
        let parameters = law.counting.parameters(&model);
        Some(Variant { name: variant.name.clone(), parameters, flops_per_token: None, rates })
    };
    let variants: Vec<Variant> = variants.iter().filter_map(read).collect();
    let budget = Budget::Flops(FLOPS_PER_PARAMETER_AND_TOKEN * verdict.parameters * verdict.data.tokens());
    let choices = lowest_loss_within(law, budget, &variants, Some(verdict.data.unique_tokens)).ok()?;
    choices.into_iter().next().filter(|best| best.loss_nats < verdict.loss_nats)
}

/// Both models reach the loss of the job; what they take to train and to serve is compared.
fn served(law: &LossLaw, verdict: &Verdict, tokens: f64) -> Option<Served> {
    let optimum = law.when_served(verdict.loss_nats, &Serving::tokens(tokens))?;
    let trained_on = law.effective_tokens(&verdict.data);
    let flops = verdict.parameters * (FLOPS_PER_PARAMETER_AND_TOKEN * verdict.data.tokens() + FLOPS_SERVED * tokens);
    Some(Served {
        tokens,
        ratio: trained_on / verdict.parameters / (optimum.tokens / optimum.parameters),
        compute_multiplier: (flops / (optimum.training_flops + optimum.serving_flops)).max(1.0),
        optimum,
    })
}

impl Optimality {
    /// Tokens per parameter over those of the optimum that counts.
    pub fn ratio(&self) -> f64 {
        self.served.as_ref().map_or(self.verdict.ratio, |served| served.ratio)
    }

    /// How the job stands to the optimum that counts.
    pub fn standing(&self) -> Standing {
        match self.ratio() {
            ratio if ratio < Verdict::STARVED_BELOW => Standing::DataStarved,
            ratio if ratio > Verdict::OVER_TRAINED_ABOVE => Standing::OverTrained,
            _ => Standing::Optimal,
        }
    }

    /// One sentence with the numbers behind it.
    pub fn sentence(&self) -> String {
        let mut text = self.served.as_ref().map_or_else(|| self.verdict.to_string(), |served| self.when_served(served));
        if let Some(Choice { name, tokens, loss_nats, .. }) = &self.nearest_variant {
            let tokens = Count(*tokens);
            text = format!("{text}; variant {name} would reach {loss_nats:.3} with the same FLOPs, on {tokens} tokens");
        }
        text
    }

    fn when_served(&self, served: &Served) -> String {
        let standing = match self.standing() {
            Standing::DataStarved => "data-starved",
            Standing::Optimal => "near the optimum",
            Standing::OverTrained => "over-trained",
        };
        let Served { tokens, optimum, ratio, compute_multiplier } = served;
        let mut text = format!(
            "{standing} for {} tokens served: {ratio:.2} × the tokens per parameter of what is cheapest to train and serve at \
             a loss of {:.3} ({} on {} tokens, with 1/{compute_multiplier:.2} of the FLOPs)",
            Count(*tokens),
            optimum.loss_nats,
            Count(optimum.parameters),
            Count(optimum.tokens),
        );
        if !optimum.validity.is_within() {
            text = format!("{text}; {}", optimum.validity);
        }
        text
    }
}

/// The verdict as a status keeps it. It depends on the specification alone, and its numbers are rounded, so that it is
/// written when the user changes something and at no other time.
pub fn to_status(judged: &Result<Optimality, NotApplicable>) -> ComputeOptimality {
    let optimality = match judged {
        Ok(optimality) => optimality,
        Err(not_applicable) => {
            let reason = Some(not_applicable.to_string());
            return ComputeOptimality { reason, ..ComputeOptimality::default() };
        }
    };
    let Optimality { law, verdict, served, .. } = optimality;
    let (parameters, tokens) = match served {
        Some(served) => (served.optimum.parameters, served.optimum.tokens),
        None => (verdict.optimum.parameters, verdict.optimum.tokens),
    };
    let multiplier = served.as_ref().map_or(verdict.compute_multiplier, |served| served.compute_multiplier);
    ComputeOptimality {
        verdict: match optimality.standing() {
            Standing::DataStarved => OptimalityVerdict::DataStarved,
            Standing::Optimal => OptimalityVerdict::Optimal,
            Standing::OverTrained => OptimalityVerdict::OverTrained,
        },
        reason: None,
        law: Some(format!("{} ({})", law.name, law.source)),
        tokens_per_parameter_milli: Some(three_digits(verdict.data.tokens() / verdict.parameters * 1e3)),
        ratio_permille: Some(three_digits(optimality.ratio() * 1e3)),
        optimal_parameters: Some(three_digits(parameters)),
        optimal_tokens: Some(three_digits(tokens)),
        nearest_variant: optimality.nearest_variant.as_ref().map(|choice| choice.name.clone()),
        excess_loss_millinats: Some(three_digits(verdict.excess_nats.max(0.0) * 1e3)),
        compute_multiplier_permille: Some(three_digits(multiplier * 1e3)),
    }
}

/// A number from 0, rounded to three digits that count.
fn three_digits(number: f64) -> i64 {
    if number < 1.0 {
        return number.round() as i64;
    }
    let unit = 10_f64.powi(number.log10().floor() as i32 - 2).max(1.0);
    ((number / unit).round() * unit) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::size::job_spec;

    fn judged(data: &str, rest: &str) -> Result<Optimality, NotApplicable> {
        let yaml = format!(
            "model: {{preset: llama-3-8b}}\ndata: {{{data}}}\nbatch: {{global: {{preferred: 256}}}}\ntemplate: {{}}\n{rest}"
        );
        let spec: TrainingJobSpec = serde_yaml::from_str(&yaml).expect(&yaml);
        optimality(&spec, &job_spec(&spec).expect(&yaml))
    }

    fn status(data: &str, rest: &str) -> ComputeOptimality {
        to_status(&judged(data, rest))
    }

    #[test]
    fn a_job_is_starved_near_the_optimum_or_over_trained_by_its_tokens() {
        for (tokens, verdict) in [
            ("15000000000", OptimalityVerdict::DataStarved),
            ("160000000000", OptimalityVerdict::Optimal),
            ("15000000000000", OptimalityVerdict::OverTrained),
        ] {
            let status = status(&format!("tokens: {tokens}, sequenceLength: 4096"), "");
            assert_eq!((status.verdict, status.reason), (verdict, None), "{tokens}");
            assert!(status.law.is_some_and(|law| law.contains("arXiv")), "{tokens}");
        }
    }

    #[test]
    fn samples_are_tokens_by_their_length_and_epochs_repeat_them() {
        let by_tokens = status("tokens: 4096000000, sequenceLength: 4096", "");
        assert_eq!(status("samples: 1000000, sequenceLength: 4096", ""), by_tokens);
        let fresh = judged("tokens: 40960000000, sequenceLength: 4096", "").expect("a law");
        let again = judged("tokens: 4096000000, sequenceLength: 4096, epochs: 10", "").expect("a law");
        assert!((again.verdict.data.tokens() / fresh.verdict.data.tokens() - 1.0).abs() < 1e-12);
        assert!(again.ratio() < fresh.ratio() && again.verdict.loss_nats > fresh.verdict.loss_nats);
        assert!(again.sentence().contains("tokens seen again"), "{}", again.sentence());
    }

    #[test]
    fn what_is_served_much_is_no_longer_over_trained() {
        let data = "tokens: 2000000000000, sequenceLength: 4096";
        let alone = judged(data, "").expect("a law");
        assert_eq!(alone.standing(), Standing::OverTrained);
        let served = judged(data, "inference: {tokens: 20000000000000}\n").expect("a law");
        assert_eq!(served.standing(), Standing::Optimal, "{}", served.sentence());
        assert!(served.ratio() < alone.ratio());
        assert!(served.sentence().contains("20.0T tokens served"), "{}", served.sentence());
    }

    #[test]
    fn where_no_law_applies_the_reason_is_given_and_nothing_else() {
        let status = status("tokens: 1000000, sequenceLength: 2048", "method: {type: Lora, lora: {rank: 8}}\n");
        assert_eq!((status.verdict, status.law, status.ratio_permille), (OptimalityVerdict::NotApplicable, None, None));
        assert!(status.reason.is_some_and(|reason| reason.contains("fine-tuning") && reason.len() <= 512));
    }

    #[test]
    fn the_variant_that_fits_the_data_best_is_named_unless_the_model_does() {
        let variants = "variants:
- {name: small, model: {preset: llama-3.2-3b}}
- {name: tiny, model: {preset: llama-3.2-1b}}
- {name: adapters, model: {preset: mixtral-8x7b}}
";
        let starved = judged("tokens: 15000000000, sequenceLength: 4096, epochs: 1", variants).expect("a law");
        assert_eq!(to_status(&Ok(starved.clone())).nearest_variant.as_deref(), Some("small"));
        assert!(starved.sentence().contains("variant small would reach"), "{}", starved.sentence());
        let enough = judged("tokens: 160000000000, sequenceLength: 4096", variants).expect("a law");
        assert_eq!(enough.nearest_variant, None, "{}", enough.sentence());
    }

    #[test]
    fn three_digits_count() {
        let rounded = [0.2, 0.7, 9.4, 123.4, 8_030_261_248.0, 15.06e12].map(three_digits);
        assert_eq!(rounded, [0, 1, 9, 123, 8_030_000_000, 15_100_000_000_000]);
    }
}
