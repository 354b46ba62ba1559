//! The global batch that pre-training runs used, against laws of the best batch.
//!
//! Asked of rows with `batch_tokens`, `tokens` and `params` or `scaling_params`; a range (`0.7e9-2.5e9`) is taken in its middle.
//! Laws part by factors of 2 to 5 and runs round to powers of two, so that nothing is claimed.

use plimsoll_sizing::critical_batch::{Regime, batch_range};
use plimsoll_sizing::optimum::LossLaw;

use super::ask;
use crate::{Bar, CellError, Evaluation, Published, Row};

const BATCH: &str = "global batch in the middle of the laws of the best one, tokens";

fn asks(row: &Row) -> bool {
    row.has("batch_tokens") && row.has("tokens") && (row.has("params") || row.has("scaling_params"))
}

/// A number, or the geometric middle of two.
fn middle(row: &Row, column: &'static str) -> Result<f64, CellError> {
    let text = row.text(column).ok_or(CellError::Missing { column })?;
    let ends = text.split_once('-').and_then(|(low, high)| Some((low.parse::<f64>().ok()?, high.parse::<f64>().ok()?)));
    match ends {
        Some((low, high)) if low > 0.0 && high >= low && high.is_finite() => Ok((low * high).sqrt()),
        _ => row.needed_within(column, 1e18),
    }
}

fn answer(row: &Row) -> Result<(f64, f64), CellError> {
    let parameters = if row.has("params") { middle(row, "params")? } else { middle(row, "scaling_params")? };
    let regime = Regime::of(&LossLaw::default(), parameters, middle(row, "tokens")?);
    let (low, high) = batch_range(&regime).best_tokens;
    Ok(((low * high).sqrt(), middle(row, "batch_tokens")?))
}

/// Asks every row that states a batch.
pub fn evaluate(published: &Published) -> Vec<Evaluation> {
    published.tables.iter().filter_map(|table| ask(BATCH, table, asks, answer)).collect()
}

/// Nothing is claimed.
pub fn bars(_: &[Evaluation]) -> Vec<Bar> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Table;

    #[test]
    fn a_range_is_taken_in_its_middle() {
        let table =
            Table::from_text("runs", "tokens,batch_tokens,params\n1e9-4e9,524288,1e8\nx-y,1,1\n").expect("a table");
        assert_eq!(middle(&table.rows[0], "tokens"), Ok(2e9));
        assert_eq!(middle(&table.rows[0], "batch_tokens"), Ok(524_288.0));
        assert!(middle(&table.rows[1], "tokens").is_err());
    }
}
