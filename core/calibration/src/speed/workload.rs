//! The step of models known by name alone: what they ask of a device is learned from their runs on other classes.
//!
//! A workload (a model at a precision) has six figures: per sample, FLOPs of the matrix units and of the vector units and
//! bytes over the memory bus; per step, seconds that nothing shortens and bytes of gradients; and how far these hide.
//! `T = together(b·(F_m/(share·peak) + F_v/fp32 + B/BW) + T_0, 2(n-1)/n·G/link, overlap)`, with `share` and the link's
//! share from the constants that ship.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_sizing::calibration::{Calibration, TimeConstants};
use plimsoll_sizing::{ClassSpec, together};

use crate::fit::{Search, minimise};
use crate::hardware::Hardware;
use crate::question::job::precision;
use crate::question::model::describes_model;
use crate::{Bar, CellError, Evaluation, Published, Residual, Row, Unanswered, statistics};

const QUESTION: &str = "step of a model known by name, s";
const CLASS: &str = "one class of GPU";

const FIRST: Search = Search { edge: 0.3, rounds: 4, steps: 500 };
const REFIT: Search = Search { edge: 0.3, rounds: 2, steps: 300 };

/// Weight of the squared distance from the first guess, in logarithms.
const PRIOR: f64 = 0.001;

/// Errors below this count little, as shares of 1.
const NOISE: f64 = 0.05;

/// One row.
#[derive(Clone, Debug)]
struct Seen {
    label: String,
    table: String,
    workload: String,
    class: String,
    /// Effective rates: FLOP/s of the matrix and of the vector units, bytes per second of memory and of the link.
    rates: [f64; 4],
    devices: f64,
    /// Samples per device and step.
    samples: f64,
    seconds: f64,
}

/// Whether a row says how fast a model of unknown shape ran.
fn asks(row: &Row) -> bool {
    row.has("throughput") && row.has("global_batch") && row.has("hardware") && !describes_model(row)
}

impl Seen {
    fn read(row: &Row, hardware: &Hardware, constants: &TimeConstants) -> Result<Self, CellError> {
        let class = hardware.of_row(row)?;
        let half = precision(row)?.0.working_bytes() == 2;
        let samples = row.needed("global_batch")?;
        let devices = f64::from(row.count("gpus")?.unwrap_or(1).max(1));
        let name = row.text("model").unwrap_or_default();
        Ok(Self {
            label: row.label(),
            table: row.table.clone(),
            workload: format!("{name} {}", row.text("precision").unwrap_or_default()),
            class: class.name.as_str().to_owned(),
            rates: rates(&class, half, constants).ok_or(CellError::Missing { column: "hardware" })?,
            devices,
            samples: samples / devices,
            seconds: samples / row.needed("throughput")?,
        })
    }

    fn predict(&self, figures: &[f64]) -> f64 {
        let [matrix, vector, memory, link] = self.rates;
        let figure = |at: usize| figures[at].exp();
        let sample = figure(0) / matrix + figure(1) / vector + figure(2) / memory;
        let around = 2.0 * (self.devices - 1.0) / self.devices;
        together(self.samples * sample + figure(3), around * figure(4) / link, figure(5))
    }
}

/// What a class does per second at a precision; 32-bit programs use the matrix units where these round to TF32.
fn rates(class: &ClassSpec, half: bool, constants: &TimeConstants) -> Option<[f64; 4]> {
    let peak = &class.peak;
    let matrix = if half { peak.fp16.or(peak.bf16) } else { peak.tf32 }.or(peak.fp32)?;
    let vector = peak.fp32.unwrap_or(matrix / 16.0);
    let link = class.link_bytes_per_second * constants.link_share.min(1.0);
    Some([constants.product_share(class) * matrix, vector, class.bandwidth_bytes_per_second, link])
}

/// A first guess: the matrix units take 40 % of the median sample and memory 60 %, a step's constant part a twentieth.
fn guess(rows: &[&Seen]) -> Vec<f64> {
    let middle = |value: &dyn Fn(&Seen) -> f64, share: f64| {
        let mut values: Vec<f64> = rows.iter().map(|row| value(row)).collect();
        values.sort_by(f64::total_cmp);
        statistics::quantile(&values, share).unwrap_or(1.0).max(1e-12)
    };
    let matrix = middle(&|row| row.seconds / row.samples * row.rates[0], 0.5);
    let memory = middle(&|row| row.seconds / row.samples * row.rates[2], 0.5);
    let step = middle(&|row| row.seconds, 0.2);
    [0.4 * matrix, 0.05 * matrix, 0.6 * memory, 0.05 * step, 1e8, 1.0].map(f64::ln).to_vec()
}

/// The figures of a workload that fit its rows best; classes weigh as the root of their rows.
fn learn(rows: &[&Seen], start: &[f64], search: Search) -> Vec<f64> {
    let home = guess(rows);
    let mut by_class: BTreeMap<&str, Vec<&Seen>> = BTreeMap::new();
    for row in rows {
        by_class.entry(&row.class).or_default().push(row);
    }
    let loss = |figures: &[f64]| {
        let (mut sum, mut weight) = (0.0, 0.0);
        for rows in by_class.values() {
            let count = rows.len() as f64;
            let errors: f64 = rows.iter().map(|row| (row.predict(figures) / row.seconds).ln().hypot(NOISE)).sum();
            sum += errors / count * count.sqrt();
            weight += count.sqrt();
        }
        let pull: f64 = figures.iter().zip(&home).map(|(own, home)| (own - home).powi(2)).sum();
        sum / weight.max(1.0) + PRIOR * pull / home.len() as f64
    };
    minimise(loss, start, search).0
}

/// Asks every row of a model that some table has run on another class.
pub(super) fn evaluate(published: &Published) -> Vec<Evaluation> {
    let hardware = Hardware::of(published);
    let constants = &Calibration::published().time;
    let mut evaluations: BTreeMap<&str, Evaluation> = BTreeMap::new();
    let mut seen = Vec::new();
    for row in published.rows().filter(|row| asks(row)) {
        let evaluation =
            evaluations.entry(&row.table).or_insert_with(|| Evaluation::new(QUESTION, &row.table, Some(CLASS)));
        match Seen::read(row, &hardware, constants) {
            Ok(row) => seen.push(row),
            Err(error) => {
                evaluation.unanswered.push(Unanswered { row: row.label(), reason: error.to_string() });
            }
        }
    }
    let workloads: BTreeSet<&str> = seen.iter().map(|row| row.workload.as_str()).collect();
    for workload in workloads {
        let rows: Vec<&Seen> = seen.iter().filter(|row| row.workload == workload).collect();
        let classes: BTreeSet<&str> = rows.iter().map(|row| row.class.as_str()).collect();
        let whole = learn(&rows, &guess(&rows), FIRST);
        for class in classes {
            let (own, others): (Vec<&Seen>, Vec<&Seen>) = rows.iter().partition(|row| row.class == class);
            let figures = if others.is_empty() { None } else { Some(learn(&others, &whole, REFIT)) };
            for row in own {
                let Some(evaluation) = evaluations.get_mut(row.table.as_str()) else { continue };
                match &figures {
                    Some(figures) => evaluation.residuals.push(Residual {
                        row: row.label.clone(),
                        predicted: row.predict(figures),
                        observed: row.seconds,
                        group: class.to_owned(),
                    }),
                    None => evaluation.unanswered.push(Unanswered {
                        row: row.label.clone(),
                        reason: "the model ran on no other class".to_owned(),
                    }),
                }
            }
        }
    }
    evaluations.into_values().collect()
}

/// Median 15 % and p90 40 % without the class.
pub(super) fn bars(evaluations: &[Evaluation]) -> Vec<Bar> {
    let ours = evaluations.iter().filter(|evaluation| evaluation.question == QUESTION);
    vec![Bar::on_errors("step of a model seen on other classes, one class of GPU left out", ours, 0.15, 0.40)]
}
