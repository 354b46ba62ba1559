//! What a row can be asked, by the columns it has.

pub mod bookkeeping;
pub mod device_memory;
pub mod global_batch;
pub mod job;
pub mod largest_batch;
pub mod model;
pub mod network;
pub mod parameters;
pub mod products;
pub mod states;

use crate::{CellError, Evaluation, Residual, Row, Table, Unanswered};

/// The evaluation of one table: every row that `asks`, answered by `answer` with a prediction and what was published.
pub(crate) fn ask(
    question: &'static str,
    table: &Table,
    asks: impl Fn(&Row) -> bool,
    answer: impl Fn(&Row) -> Result<(f64, f64), CellError>,
) -> Option<Evaluation> {
    let mut evaluation = Evaluation::new(question, &table.name, None);
    for row in table.rows.iter().filter(|row| asks(row)) {
        match answer(row) {
            Ok((predicted, observed)) => {
                evaluation.residuals.push(Residual { row: row.label(), predicted, observed, group: String::new() });
            }
            Err(error) => evaluation.unanswered.push(Unanswered { row: row.label(), reason: error.to_string() }),
        }
    }
    (evaluation.rows() > 0).then_some(evaluation)
}
