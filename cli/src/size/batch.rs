//! What laws of the batch say of a job's own.

use plimsoll_observe::optimality::Optimality;
use plimsoll_sizing::critical_batch::{LearningRate, Regime, UpdateRule, batch_range, learning_rate, warm_up};
use plimsoll_sizing::optimum::Count;
use plimsoll_sizing::{JobSpec, Optimizer};

/// Parameters of the largest models that a law of the batch was fitted on (arXiv 2505.13738).
const LARGEST_FITTED: f64 = 3.3e9;

/// Sentences about the batch of a pre-training run that the laws apply to.
pub(super) fn notes(job: &JobSpec, optimality: &Optimality) -> Vec<String> {
    let batch = f64::from(job.global_batch) * f64::from(job.sequence_length);
    let verdict = &optimality.verdict;
    let range = batch_range(&Regime::of(&optimality.law, verdict.parameters, verdict.data.tokens()));
    let trade = range.trade_off();
    let (critical, best) = (range.critical_tokens, range.best_tokens);
    let validity = if verdict.parameters > LARGEST_FITTED { "extrapolated: " } else { "" };
    let mut notes = vec![
        format!(
            "batch: {} tokens; laws expect the lowest loss between {} and {} tokens and the critical batch between {} and {} \
             ({validity}fitted on dense language models of up to {} parameters; measure the noise scale before paying for \
             the upper end)",
            Count(batch),
            Count(best.0),
            Count(best.1),
            Count(critical.0),
            Count(critical.1),
            Count(LARGEST_FITTED),
        ),
        format!(
            "batch: around a critical batch of {} tokens it takes {:.0} % more tokens and {:.1} times the steps of the fewest \
             that reach a loss (arXiv 1812.06162)",
            Count(trade.critical),
            (trade.samples_multiple(batch) - 1.0) * 100.0,
            trade.steps_multiple(batch),
        ),
        format!("batch: {}", warm_up(batch, &range)),
    ];
    let nearest = batch.clamp(best.0, best.1);
    if nearest != batch {
        let LearningRate { advice, .. } = learning_rate(rule(job.optimizer), batch, nearest, Some(trade.critical));
        notes.push(format!("learning rate: to go from this batch to one of {} tokens, {advice}", Count(nearest)));
    }
    notes
}

fn rule(optimizer: Optimizer) -> UpdateRule {
    match optimizer {
        Optimizer::Sgd | Optimizer::SgdMomentum => UpdateRule::Gradient,
        // All others divide their steps by the gradient's size in one way or another.
        _ => UpdateRule::Normalized,
    }
}
