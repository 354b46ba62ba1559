//! Laws of the batch: noise, trade of steps against samples, exact cuts.

use plimsoll_sizing::Batch;
use plimsoll_sizing::critical_batch::{
    BatchLaw, BatchRangeError, GradientNorm, NoiseError, NoiseEstimate, NoiseScale, Regime, TradeOff, UpdateRule,
    adascale_gain, batch_range, choose_batch, learning_rate, warm_up,
};
use plimsoll_sizing::optimum::LossLaw;
use proptest::prelude::*;

fn from_to(low: f64, high: f64) -> impl Strategy<Value = f64> {
    (low.ln()..high.ln()).prop_map(f64::exp)
}

/// The expected squared norm over a batch.
fn norm(squared_gradient: f64, trace: f64, batch: f64) -> GradientNorm {
    GradientNorm { batch, squared_norm: squared_gradient + trace / batch }
}

fn regime(tokens: f64) -> Regime {
    Regime::of(&LossLaw::EPOCH, tokens / 20.0, tokens)
}

proptest! {
    #[test]
    fn the_noise_scale_of_exact_norms_is_the_true_one(
        gradient in from_to(1e-6, 1e3), noise in from_to(1.0, 1e7), small in from_to(1.0, 1e4), times in 2.0..1000.0_f64,
        decay in 0.0..0.999_f64, steps in 1_usize..50,
    ) {
        let trace = gradient * noise;
        let estimate = NoiseEstimate::of(norm(gradient, trace, small * times), norm(gradient, trace, small)).unwrap();
        // What two batches far from the noise scale tell apart is lost in the last digits of a double.
        let digits = 1e-13 * (1.0 + small * times / noise + noise / small);
        prop_assert!((estimate.squared_gradient / gradient - 1.0).abs() < 10.0 * digits);
        prop_assert!((estimate.trace / trace - 1.0).abs() < 10.0 * digits);
        let mut running = NoiseScale::new(decay);
        prop_assert_eq!(running.value(), None);
        for _ in 0..steps {
            running.push(estimate);
        }
        prop_assert!((running.value().unwrap() / noise - 1.0).abs() < 1e-9 + 20.0 * digits);
    }

    #[test]
    fn noise_of_both_signs_averages_out(noise in from_to(10.0, 1e5), wiggles in prop::collection::vec(0.0..0.9_f64, 5..40)) {
        // Pairs of steps whose errors cancel: a single ratio may be far off or below 0, the smoothed one may not.
        let mut running = NoiseScale::new(0.999_999);
        for wiggle in wiggles {
            for sign in [1.0, -1.0] {
                running.push(NoiseEstimate { squared_gradient: 1.0 + 2.0 * sign * wiggle, trace: noise * (1.0 - 2.0 * sign * wiggle) });
            }
        }
        prop_assert!((running.value().unwrap() / noise - 1.0).abs() < 1e-3);
    }

    #[test]
    fn steps_and_samples_are_traded_along_one_hyperbola(critical in from_to(1.0, 1e7), batch in from_to(1.0, 1e7)) {
        let trade = TradeOff { critical };
        let product = (trade.steps_multiple(batch) - 1.0) * (trade.samples_multiple(batch) - 1.0);
        prop_assert!((product - 1.0).abs() < 1e-6);
        prop_assert!(trade.efficiency(batch * 2.0) < trade.efficiency(batch));
        prop_assert!((trade.samples_multiple(trade.batch_at_overhead(0.2)) - 1.2).abs() < 1e-12);
        prop_assert!((trade.steps_multiple(critical) - 2.0).abs() < 1e-12);
    }

    #[test]
    fn more_tokens_never_lower_a_laws_batch(tokens in from_to(1e8, 1e13), more in 1.0..100.0_f64) {
        for law in BatchLaw::ALL {
            prop_assert!(law.tokens(&regime(tokens * more)) >= law.tokens(&regime(tokens)));
        }
        let range = batch_range(&regime(tokens));
        prop_assert!(range.best_tokens.0 <= range.best_tokens.1 && range.critical_tokens.0 <= range.critical_tokens.1);
        let middle = range.trade_off().critical;
        prop_assert!((range.critical_tokens.0..=range.critical_tokens.1).contains(&middle));
    }

    #[test]
    fn a_chosen_batch_is_exact_within_its_range_and_the_best_there(
        smallest in 1_u32..300, span in 0_u32..300, data in 1_u32..24, largest_micro in 1_u32..40,
        critical in from_to(1.0, 1e4), launch in 0.0..2.0_f64,
    ) {
        let (largest, trade) = (smallest + span, TradeOff { critical });
        // A step has a fixed part and one for each micro-batch.
        let speed = |batch: &Batch| {
            f64::from(batch.global) / (1.0 + f64::from(batch.accumulation) * (launch + 0.1 * f64::from(batch.micro)))
        };
        let chosen = choose_batch((smallest, largest), data, largest_micro, &trade, speed);
        let all: Vec<_> = (smallest..=largest)
            .flat_map(|global| Batch::cuts(global, data))
            .filter(|batch| batch.micro <= largest_micro)
            .collect();
        match chosen {
            Ok(chosen) => {
                let batch = chosen.batch;
                prop_assert_eq!(Batch::cut(batch.global, data, batch.micro), Ok(batch));
                prop_assert!((smallest..=largest).contains(&batch.global) && batch.micro <= largest_micro);
                for other in &all {
                    // Above 200 micro-batches not every count is looked at.
                    prop_assert!(speed(other) * trade.efficiency(f64::from(other.global)) <= chosen.goodput() * 1.0001);
                }
            }
            Err(BatchRangeError::DoesNotDivide { next, .. }) => {
                prop_assert!(all.is_empty());
                prop_assert!(next > u64::from(largest) && next.is_multiple_of(u64::from(data)));
            }
            Err(error) => prop_assert!(false, "{}", error),
        }
    }

    #[test]
    fn adascales_gain_lies_between_one_and_the_scale(noise in from_to(1e-3, 1e7), reference in from_to(1.0, 1e4), scale in 1.0..64.0_f64) {
        let gain = adascale_gain(noise, reference, scale);
        prop_assert!((1.0 - 1e-12..=scale * (1.0 + 1e-12)).contains(&gain));
        // The gain is the scale times the efficiency of the large batch over that of the small one.
        let trade = TradeOff { critical: noise };
        let same = scale * trade.efficiency(reference * scale) / trade.efficiency(reference);
        prop_assert!((gain / same - 1.0).abs() < 1e-9);
    }
}

/// Two studies that share neither data nor schedule: Zhang's batch of 20 % overhead is a fifth of a critical batch, and
/// that agrees with Bergsma's.
#[test]
fn two_laws_of_the_critical_batch_agree_within_a_fifth() {
    for tokens in [3e9, 1e10, 1e11, 1e12] {
        let laws = batch_range(&regime(tokens)).laws;
        let critical = |law| laws.iter().find(|batch| batch.law == law).unwrap().critical_tokens.unwrap();
        let ratio = critical(BatchLaw::Zhang) / critical(BatchLaw::BergsmaCritical);
        assert!((0.95..1.2).contains(&ratio), "{tokens:e}: {ratio}");
    }
}

/// The same fit by tokens and by parameters: at 20 tokens per parameter `93.20·(N/1e6)^0.47` is `22.91·(D/1e6)^0.47`.
#[test]
fn zhangs_constant_is_that_of_the_fit_by_parameters() {
    assert!((93.20 / 20_f64.powf(0.47) / 22.91 - 1.0).abs() < 0.01);
}

/// What others trained with: karpathy/nanochat 0.5 M tokens for 0.7 to 2.5 B tokens and 2 M for 18 to 66 B (dev/LOG.md),
/// GPT-3 3.2 M for 300 B (arXiv 2005.14165, table 2.1), Llama 3 16 M for 15.6 T (arXiv 2407.21783).
#[test]
fn batches_that_were_trained_with_lie_between_half_the_best_and_the_critical_one() {
    for (parameters, tokens, batch) in
        [(0.15e9, 1.5e9, 0.52e6), (3.4e9, 36e9, 2.1e6), (175e9, 300e9, 3.2e6), (405e9, 15.6e12, 16e6)]
    {
        let range = batch_range(&Regime::of(&LossLaw::EPOCH, parameters, tokens));
        let (low, high) = (range.best_tokens.0, range.critical_tokens.1);
        assert!((low * 0.5..high).contains(&batch), "{parameters:e}: {batch:e} not in {low:e}..{high:e}");
    }
}

#[test]
fn norms_that_say_nothing_are_refused() {
    let norm = |batch, squared_norm| GradientNorm { batch, squared_norm };
    assert_eq!(NoiseEstimate::of(norm(8.0, 1.0), norm(8.0, 2.0)), Err(NoiseError::Batches { small: 8.0, large: 8.0 }));
    assert!(NoiseEstimate::of(norm(8.0, -1.0), norm(16.0, 2.0)).is_err());
    assert!(NoiseEstimate::of(norm(8.0, f64::NAN), norm(16.0, 2.0)).is_err());
}

#[test]
fn advice_names_its_rule_and_its_limit() {
    let adam = learning_rate(UpdateRule::Normalized, 256.0, 1024.0, None);
    assert!((adam.factor - 2.0).abs() < 1e-12 && adam.advice.contains("square root"), "{}", adam.advice);
    let sgd = learning_rate(UpdateRule::Gradient, 256.0, 1024.0, None);
    assert!((sgd.factor - 4.0).abs() < 1e-12 && sgd.advice.contains("in proportion"), "{}", sgd.advice);
    let measured = learning_rate(UpdateRule::Gradient, 256.0, 1024.0, Some(512.0));
    assert!((measured.factor - 2.0).abs() < 1e-12, "{}", measured.factor);
    assert!(measured.advice.contains("beyond the critical batch of about 512"), "{}", measured.advice);
    let range = batch_range(&regime(1e10));
    assert!(warm_up(2e6, &range).contains("near 0 at the start"));
    assert!(warm_up(1e4, &range).contains("would gain little"));
}

#[test]
fn a_wide_range_is_searched_in_a_moment() {
    let looked_at = std::cell::Cell::new(0);
    let speed = |batch: &Batch| {
        looked_at.set(looked_at.get() + 1);
        f64::from(batch.global) / (1.0 + 0.01 * f64::from(batch.global))
    };
    let chosen = choose_batch((1, 16_777_216), 1, 512, &TradeOff { critical: 4096.0 }, speed).unwrap();
    // Goodput is highest at sqrt(100 · 4096) samples.
    assert_eq!(chosen.batch.global, 640);
    assert!(looked_at.get() < 1_000_000, "{}", looked_at.get());
}

#[test]
fn a_range_that_holds_no_batch_is_refused_with_the_next_that_divides() {
    let trade = TradeOff { critical: 100.0 };
    let error = choose_batch((10, 15), 8, 4, &trade, |_| 1.0).unwrap_err();
    assert_eq!(error, BatchRangeError::DoesNotDivide { smallest: 10, largest: 15, data: 8, next: 16 });
    assert!(error.to_string().ends_with("the next that does is 16"), "{error}");
    assert!(choose_batch((16, 8), 8, 4, &trade, |_| 1.0).unwrap_err().to_string().contains("is no range"));
}
