//! What is known of devices: data sheets, and the fastest matrix product that was measured.
//!
//! Asked of rows with `gpu`:
//! * `mem_usable_gib`, `mem_bw_gbs`, `bf16_tflops`, `fp8_tflops`, `tdp_w`, each against the catalogue of sizing;
//! * `mamf_tflops` and `precision`: the fastest product against what products of whole steps are taken to reach, which is less.

use plimsoll_sizing::calibration::Calibration;
use plimsoll_sizing::{ClassSpec, Precision};

use super::ask;
use super::job::precision;
use crate::hardware::Hardware;
use crate::{Bar, CellError, Evaluation, Published, Row};

const FASTEST: &str = "fastest matrix product, TFLOP/s";

/// A figure of a data sheet.
struct Figure {
    question: &'static str,
    column: &'static str,
    of: fn(&ClassSpec) -> Option<f64>,
}

const FIGURES: [Figure; 5] = [
    Figure {
        question: "memory that a process can use, GiB",
        column: "mem_usable_gib",
        of: |class| Some(class.memory_bytes as f64 / 1_073_741_824.0),
    },
    Figure {
        question: "memory bandwidth, GB/s",
        column: "mem_bw_gbs",
        of: |class| Some(class.bandwidth_bytes_per_second / 1e9),
    },
    Figure { question: "bf16 peak, TFLOP/s", column: "bf16_tflops", of: |class| Some(class.peak.bf16? / 1e12) },
    Figure { question: "fp8 peak, TFLOP/s", column: "fp8_tflops", of: |class| Some(class.peak.fp8? / 1e12) },
    Figure { question: "power limit, W", column: "tdp_w", of: |class| Some(class.watts) },
];

/// Cards whose two dies are two devices: a data sheet states both together.
const TWO_DEVICES: &[&str] = &["mi250", "mi250x"];

/// The class that a row's `gpu` is in the catalogue, whatever its table says of it.
fn class(row: &Row, catalogue: &Hardware) -> Result<ClassSpec, CellError> {
    let text = row.text("gpu").ok_or(CellError::Missing { column: "gpu" })?;
    catalogue.class(text).ok_or_else(|| CellError::Malformed { column: "gpu", value: text.to_owned() })
}

/// Asks every row that describes a device.
pub fn evaluate(published: &Published) -> Vec<Evaluation> {
    let catalogue = Hardware::of(&Published::default());
    let mut evaluations = Vec::new();
    for table in &published.tables {
        for Figure { question, column, of } in &FIGURES {
            let answer = |row: &Row| {
                let class = class(row, &catalogue)?;
                let devices = if TWO_DEVICES.contains(&class.name.as_str()) { 2.0 } else { 1.0 };
                let ours = of(&class).ok_or_else(|| {
                    let value = row.text(column).unwrap_or_default().to_owned();
                    CellError::Malformed { column, value }
                })?;
                Ok((devices * ours, row.needed(column)?))
            };
            evaluations.extend(ask(question, table, |row| row.has("gpu") && row.has(column), answer));
        }
        evaluations.extend(ask(
            FASTEST,
            table,
            |row| row.has("gpu") && row.has("mamf_tflops"),
            |row| {
                let class = class(row, &catalogue)?;
                let (format, eight_bit) = precision(row)?;
                let format = if eight_bit { Precision::Fp8Mixed } else { format };
                let peak = class.peak.at(format).ok_or(CellError::Missing { column: "precision" })?;
                let share = Calibration::published().time.product_share(&class);
                Ok((share * peak / 1e12, row.needed("mamf_tflops")?))
            },
        ));
    }
    evaluations
}

/// Data sheets within two percent; of products nothing is claimed.
pub fn bars(evaluations: &[Evaluation]) -> Vec<Bar> {
    let sheets =
        evaluations.iter().filter(|evaluation| FIGURES.iter().any(|figure| figure.question == evaluation.question));
    vec![Bar::on_rows("the catalogue has the figures of data sheets within 2 %", sheets, 0.95, |row| {
        row.error() <= 0.02
    })]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_agrees_with_the_repositorys_data_sheets() {
        let bars = bars(&evaluate(&Published::of_repository().expect("the tables")));
        assert_eq!(bars[0].held, Some(true), "{}", bars[0].seen);
    }
}
