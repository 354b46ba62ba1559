//! The loss that a training run reaches, and the size that is best for its FLOPs.
//!
//! Asked of rows with `params`, `tokens` and `loss` (nats per token; tokens seen once):
//! * the loss by the default law, where it claims to hold; rows with fewer tokens per parameter than it was fitted on (it
//!   leaves out five of the Chinchilla runs) stand apart;
//! * the loss by a law fitted to the other rows of the table, half a decade of training FLOPs left out at a time.
//!
//! Asked of rows with `train_flop` and `params_opt`, or with `approach`, `params` and `tokens`: the best parameters for
//! the FLOPs.

use plimsoll_sizing::optimum::{FLOPS_PER_PARAMETER_AND_TOKEN, LossLaw, Point, fit};

use crate::question::ask;
use crate::{Bar, CellError, Evaluation, Published, Residual, Row, Table, Unanswered};

const IN_RANGE: &str = "final loss by the default law, nats";
const OUTSIDE: &str = "the same below its range of tokens per parameter, nats";
const OWN: &str = "final loss by a law fitted to the table, nats";
const OPTIMUM: &str = "best parameters for the FLOPs";

/// Root mean square error that the default law may have, in nats.
const RMSE_NATS: f64 = 0.025;

/// Training FLOPs of Chinchilla, and the parameters between which its optimum is to lie.
const CHINCHILLA: (f64, f64, f64) = (5.76e23, 64e9, 80e9);

fn has_loss(row: &Row) -> bool {
    ["params", "tokens", "loss"].iter().all(|column| row.has(column))
}

fn point(row: &Row) -> Result<Point, CellError> {
    let point =
        Point { parameters: row.needed("params")?, tokens: row.needed("tokens")?, loss_nats: row.needed("loss")? };
    let numbers = [("params", point.parameters), ("tokens", point.tokens), ("loss", point.loss_nats)];
    match numbers.into_iter().find(|(_, number)| *number <= 0.0) {
        Some((column, number)) => Err(CellError::Malformed { column, value: number.to_string() }),
        None => Ok(point),
    }
}

/// Whether a law was fitted on as many tokens for each parameter, or more. Rows that cannot be read are kept, so that they
/// show as such.
fn in_range(law: &LossLaw, row: &Row) -> bool {
    let least = law.fitted_on.tokens_per_parameter.map_or(0.0, |(least, _)| least);
    point(row).map_or(true, |point| point.tokens / point.parameters >= least)
}

/// Asks every row that can be asked.
pub fn evaluate(published: &Published) -> Vec<Evaluation> {
    let law = LossLaw::default();
    let mut evaluations = Vec::new();
    for table in &published.tables {
        let loss = |row: &Row| point(row).map(|point| (law.loss_nats(point.parameters, point.tokens), point.loss_nats));
        evaluations.extend(ask(IN_RANGE, table, |row| has_loss(row) && in_range(&law, row), loss));
        evaluations.extend(ask(OUTSIDE, table, |row| has_loss(row) && !in_range(&law, row), loss));
        evaluations.extend(own_fit(table, &law));
        let asks_optimum = |row: &Row| {
            (row.has("params_opt") && row.has("train_flop"))
                || (row.has("approach") && row.has("params") && row.has("tokens"))
        };
        evaluations.extend(ask(OPTIMUM, table, asks_optimum, |row| {
            let (flops, parameters) = match row.number("params_opt")? {
                Some(parameters) => (row.needed("train_flop")?, parameters),
                None => {
                    let parameters = row.needed("params")?;
                    (FLOPS_PER_PARAMETER_AND_TOKEN * parameters * row.needed("tokens")?, parameters)
                }
            };
            Ok((law.optimum(flops).parameters, parameters))
        }));
    }
    evaluations
}

/// Half a decade of training FLOPs.
fn group(point: &Point) -> i64 {
    ((FLOPS_PER_PARAMETER_AND_TOKEN * point.parameters * point.tokens).log10() * 2.0).floor() as i64
}

/// The rows where the default law would hold, each by a law fitted to those of other FLOPs.
fn own_fit(table: &Table, law: &LossLaw) -> Option<Evaluation> {
    let mut evaluation = Evaluation::new(OWN, &table.name, Some("half a decade of FLOPs"));
    let rows: Vec<(&Row, Point)> = table
        .rows
        .iter()
        .filter(|row| has_loss(row) && in_range(law, row))
        .filter_map(|row| Some((row, point(row).ok()?)))
        .collect();
    let mut groups: Vec<i64> = rows.iter().map(|(_, point)| group(point)).collect();
    groups.sort_unstable();
    groups.dedup();
    for left_out in groups {
        let seen: Vec<Point> = rows.iter().map(|(_, point)| *point).filter(|point| group(point) != left_out).collect();
        let unseen = rows.iter().filter(|(_, point)| group(point) == left_out);
        match fit(&seen) {
            Ok(fitted) => evaluation.residuals.extend(unseen.map(|(row, point)| Residual {
                row: row.label(),
                predicted: fitted.law.loss_nats(point.parameters, point.tokens),
                observed: point.loss_nats,
                group: format!("1e{:.1} FLOPs", left_out as f64 / 2.0),
            })),
            Err(error) => evaluation
                .unanswered
                .extend(unseen.map(|(row, _)| Unanswered { row: row.label(), reason: error.to_string() })),
        }
    }
    (evaluation.rows() > 0).then_some(evaluation)
}

/// Root mean square of predicted minus observed.
fn rmse(residuals: &[Residual]) -> f64 {
    let squares: f64 = residuals.iter().map(|residual| (residual.predicted - residual.observed).powi(2)).sum();
    (squares / residuals.len() as f64).sqrt()
}

/// What must hold.
pub fn bars(evaluations: &[Evaluation]) -> Vec<Bar> {
    let of = |question| evaluations.iter().filter(move |evaluation| evaluation.question == question);
    let mut bars: Vec<Bar> = of(IN_RANGE)
        .filter(|evaluation| !evaluation.residuals.is_empty())
        .map(|evaluation| Bar {
            text: format!("{}: loss by the default law, rmse at most {RMSE_NATS} nats", evaluation.table),
            seen: format!("{} rows, rmse {:.4} nats", evaluation.residuals.len(), rmse(&evaluation.residuals)),
            held: Some(evaluation.unanswered.is_empty() && rmse(&evaluation.residuals) <= RMSE_NATS),
        })
        .collect();
    if bars.is_empty() {
        let text = format!("loss by the default law, rmse at most {RMSE_NATS} nats");
        bars.push(Bar { text, seen: "no row".to_owned(), held: None });
    }
    let (flops, low, high) = CHINCHILLA;
    let optimum = LossLaw::default().optimum(flops);
    bars.push(Bar {
        text: format!(
            "the optimum at {flops:.2e} FLOPs lies between {:.0} and {:.0} B parameters",
            low / 1e9,
            high / 1e9
        ),
        seen: format!("{:.1} B parameters on {:.2} T tokens", optimum.parameters / 1e9, optimum.tokens / 1e12),
        held: Some((low..=high).contains(&optimum.parameters)),
    });
    bars
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of runs whose losses are those of a law, and one run with too little data for its size.
    fn published(law: &LossLaw) -> Published {
        let mut text = "params,tokens,loss\n".to_owned();
        for budget in [1e18, 6e18, 3e19, 1e20, 6e20] {
            for size in [0.25, 0.5, 1.0, 2.0, 4.0] {
                let parameters = law.optimum(budget).parameters * size;
                let tokens = budget / 6.0 / parameters;
                text += &format!("{parameters:e},{tokens:e},{}\n", law.loss_nats(parameters, tokens));
            }
        }
        text += "7e9,2e8,5.0\n";
        let tables = vec![Table::from_text("runs", &text).expect("a table")];
        Published { tables, ..Published::default() }
    }

    #[test]
    fn runs_that_follow_the_law_pass_and_one_outside_of_its_range_stands_apart() {
        let evaluations = evaluate(&published(&LossLaw::EPOCH));
        let rows = |question| evaluations.iter().find(|e| e.question == question).map(|e| e.residuals.len());
        assert_eq!((rows(IN_RANGE), rows(OUTSIDE), rows(OWN)), (Some(25), Some(1), Some(25)));
        let own = evaluations.iter().find(|e| e.question == OWN).expect("asked");
        assert!(rmse(&own.residuals) < 1e-4, "{}", rmse(&own.residuals));
        assert!(bars(&evaluations).iter().all(|bar| bar.held == Some(true)));
    }

    #[test]
    fn runs_on_other_data_fail_the_default_law_and_not_their_own_fit() {
        let evaluations = evaluate(&published(&LossLaw::HOFFMANN_PRINTED));
        assert_eq!(bars(&evaluations)[0].held, Some(false));
        let own = evaluations.iter().find(|e| e.question == OWN).expect("asked");
        assert!(rmse(&own.residuals) < 1e-4, "{}", rmse(&own.residuals));
    }

    #[test]
    fn without_runs_only_the_optimum_is_asked() {
        let bars = bars(&evaluate(&Published::default()));
        assert_eq!(bars.iter().map(|bar| bar.held).collect::<Vec<_>>(), [None, Some(true)]);
    }
}
