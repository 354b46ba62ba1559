//! How many parameters a model has.
//!
//! Asked of rows with architecture columns, or a name that sizing knows, and `params`; with `gmacs` beside it the forward
//! pass is asked too. A published count with four or more zeros at its end is a rounded
//! one, good to half of its last digit; any other is exact.

use super::ask;
use super::model::{knows_model, model};
use crate::{Bar, Evaluation, Published, Row};

const EXACT: &str = "parameters, exact count";
const ROUNDED: &str = "parameters, rounded count";
const MULTIPLY_ADDS: &str = "multiply-adds of a forward pass, 10^9";

/// Half of the last digit that a count shows; `None` when it is exact.
fn rounding(count: f64) -> Option<f64> {
    // A rate of 2.03e9 that passed through binary arithmetic may end in 9s.
    let units = [-1.0, 0.0, 1.0].into_iter().map(|off| {
        let mut unit = 1.0;
        while unit < count && ((count + off) / unit).fract() == 0.0 {
            unit *= 10.0;
        }
        unit / 10.0
    });
    let unit = units.fold(0.0, f64::max);
    (unit >= 1e4).then_some(unit / 2.0)
}

fn published(row: &Row) -> Option<f64> {
    row.number("params").ok().flatten().filter(|count| *count > 0.0)
}

/// Asks every row with architecture columns and a count.
pub fn evaluate(folder: &Published) -> Vec<Evaluation> {
    let mut evaluations = Vec::new();
    for table in &folder.tables {
        for (question, exact) in [(EXACT, true), (ROUNDED, false)] {
            let asks =
                |row: &Row| knows_model(row) && published(row).is_some_and(|count| rounding(count).is_none() == exact);
            let answer = |row: &Row| Ok((model(row)?.parameters() as f64, row.needed("params")?));
            evaluations.extend(ask(question, table, asks, answer));
        }
        let asks = |row: &Row| row.has("gmacs") && row.has("params") && knows_model(row);
        let answer = |row: &Row| Ok((model(row)?.profile(1).forward_flops() / 2e9, row.needed("gmacs")?));
        evaluations.extend(ask(MULTIPLY_ADDS, table, asks, answer));
    }
    evaluations
}

/// What must hold.
pub fn bars(evaluations: &[Evaluation]) -> Vec<Bar> {
    let of = |question| evaluations.iter().filter(move |evaluation| evaluation.question == question);
    let exact = Bar::on_rows("exact parameter counts are equal", of(EXACT), 1.0, |residual| {
        (residual.predicted - residual.observed).abs() < 0.5
    });
    let rounded =
        Bar::on_rows("rounded parameter counts are within their rounding or 0.1 %", of(ROUNDED), 1.0, |residual| {
            let half = rounding(residual.observed).unwrap_or_default();
            (residual.predicted - residual.observed).abs() <= half.max(1e-3 * residual.observed)
        });
    let work = Bar::on_errors("multiply-adds of a forward pass", of(MULTIPLY_ADDS), 0.01, 0.01);
    vec![exact, rounded, work]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_with_zeros_at_its_end_is_a_rounded_one() {
        assert_eq!(rounding(6_738_415_616.0), None);
        assert_eq!(rounding(1_100_048_384.0), None);
        assert_eq!(rounding(44e6), Some(0.5e6));
        assert_eq!(rounding(2_029_999_999.0), Some(5e6));
        assert_eq!(rounding(540_350_000_000.0), Some(5e6));
    }
}
