//! The largest batch of one device that fits.
//!
//! Asked of rows with `max_batch`, and of the model nothing but its totals: `params_m` and `macts_m`, the activations that
//! convolutions and linear layers write for one picture. What is kept for each of those is one constant, fitted to the
//! repository's rows without the row's family (the letters that its model's name begins with). Momentum SGD in automatic
//! mixed precision is taken, unless the row says more.
//!
//! The ladder is what `max_batch` takes in the table; its largest step is a cap, not a limit of memory.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_sizing::calibration::{Calibration, MemoryConstants};
use plimsoll_sizing::{Custom, Footprint, JobSpec, Layout, Model, Optimizer, Program, Tuning, Verdict};

use super::job::{plain_job, precision};
use super::network::network;
use crate::fit_memory::fit_totals;
use crate::hardware::Hardware;
use crate::{Bar, CellError, Evaluation, Published, Residual, Row, Unanswered};

const WITHOUT: &str = "largest batch without margin";
const WITH: &str = "largest batch with margin";
const CAPPED: &str = "largest batch at the ladder's end";
const FAMILY: &str = "family";

/// A row that asks.
#[derive(Clone, Debug)]
pub struct BatchRow {
    label: String,
    table: String,
    /// Its model's family.
    pub family: String,
    /// The largest batch that fitted.
    pub largest: u32,
    /// The next batch that was tried; `None` at the ladder's end.
    pub next: Option<u32>,
    /// Memory that a process can use, in bytes.
    pub usable_bytes: u64,
    job: JobSpec,
    activations: f64,
    /// Its memory by layers, where the network is known.
    layers: Option<Box<Footprint>>,
}

impl BatchRow {
    fn of(row: &Row, hardware: &Hardware, ladder: &BTreeSet<u32>) -> Result<Self, CellError> {
        let millions = |column| Ok::<_, CellError>(row.needed_within(column, 1e7)? * 1e6);
        let parameters = millions("params_m")? as u64;
        let activations = millions("macts_m")?;
        let multiply_adds = row.number("gmacs")?.unwrap_or_default() * 1e9;
        let model = Custom { parameters, flops_per_sample: 2.0 * multiply_adds, activation_bytes_per_sample: 0 };
        let job = plain_job(Model::Custom(model), precision(row)?.0);
        let layers = network(row).map(|model| {
            let job = JobSpec { optimizer: Optimizer::SgdMomentum, ..plain_job(model, job.precision) };
            Box::new(Footprint::new(&job, &Program::default(), Tuning::default()))
        });
        let letters = row.text("model").unwrap_or_default().chars().take_while(char::is_ascii_alphabetic);
        let largest = row.needed_within("max_batch", 1e6)? as u32;
        Ok(Self {
            label: row.label(),
            table: row.table.clone(),
            family: letters.collect::<String>().to_lowercase(),
            largest,
            next: ladder.iter().find(|step| **step > largest).copied(),
            usable_bytes: hardware.of_row(row)?.memory_bytes,
            job: JobSpec { optimizer: Optimizer::SgdMomentum, ..job },
            activations,
            layers,
        })
    }

    /// Whether nothing but its totals is known of its network.
    pub(crate) fn is_known_by_totals(&self) -> bool {
        self.layers.is_none()
    }

    /// Bytes that a batch needs.
    pub fn bytes(&self, batch: u32, constants: &MemoryConstants) -> u64 {
        if let Some(footprint) = &self.layers {
            return footprint.memory(&Layout::data_parallel(1), batch, constants).total();
        }
        let width = self.job.precision.working_bytes() as f64 / 2.0;
        let kept = self.activations * constants.activation_bytes * width;
        let Model::Custom(totals) = &self.job.model else { return u64::MAX };
        let model = Model::Custom(Custom { activation_bytes_per_sample: kept as u64, ..*totals });
        let job = JobSpec { model, ..self.job.clone() };
        let footprint = Footprint::new(&job, &Program::default(), Tuning::default());
        footprint.memory(&Layout::data_parallel(1), batch, constants).total()
    }

    /// The largest step of a ladder with a verdict at least this good; 0 when even the smallest does not fit.
    fn step(&self, ladder: &BTreeSet<u32>, worst: Verdict, constants: &MemoryConstants) -> u32 {
        let good = |batch: &&u32| {
            let bytes = self.bytes(**batch, constants);
            let margin = if self.layers.is_some() { constants.margin } else { constants.totals_margin };
            Verdict::of(bytes, self.usable_bytes, margin) <= worst
        };
        ladder.iter().rev().find(good).copied().unwrap_or_default()
    }
}

fn asks(row: &Row) -> bool {
    row.has("max_batch") && row.has("hardware") && row.has("params_m")
}

/// What `max_batch` takes in a table.
fn ladder<'a>(rows: impl Iterator<Item = &'a Row>) -> BTreeSet<u32> {
    rows.filter_map(|row| row.count("max_batch").ok().flatten()).collect()
}

/// Rows that ask, those that cannot be read apart.
pub fn rows(published: &Published, hardware: &Hardware) -> (Vec<BatchRow>, Vec<(String, Unanswered)>) {
    let (mut read, mut unread) = (Vec::new(), Vec::new());
    for table in &published.tables {
        let ladder = ladder(table.rows.iter());
        for row in table.rows.iter().filter(|row| asks(row)) {
            match BatchRow::of(row, hardware, &ladder) {
                Ok(asked) => read.push(asked),
                Err(error) => {
                    unread.push((table.name.clone(), Unanswered { row: row.label(), reason: error.to_string() }));
                }
            }
        }
    }
    (read, unread)
}

/// Asks every row that can be asked.
pub fn evaluate(published: &Published) -> Vec<Evaluation> {
    let hardware = Hardware::of(published);
    let (asked, unread) = rows(published, &hardware);
    let training = Published::of_repository().map(|folder| rows(&folder, &hardware).0).unwrap_or_default();
    let shipped = &Calibration::published().memory;
    let families: BTreeSet<&str> = asked.iter().map(|row| row.family.as_str()).collect();
    let without: BTreeMap<&str, MemoryConstants> = families
        .into_iter()
        .map(|family| {
            let rest: Vec<&BatchRow> = training.iter().filter(|known| known.family != family).collect();
            (family, fit_totals(&rest, shipped))
        })
        .collect();
    let mut evaluations = Vec::new();
    for table in &published.tables {
        let ladder = ladder(table.rows.iter());
        let (mut plain, mut margin, mut capped) = (
            Evaluation::new(WITHOUT, &table.name, Some(FAMILY)),
            Evaluation::new(WITH, &table.name, Some(FAMILY)),
            Evaluation::new(CAPPED, &table.name, Some(FAMILY)),
        );
        for row in asked.iter().filter(|row| row.table == table.name) {
            let constants = &without[row.family.as_str()];
            let residual = |batch: u32| Residual {
                row: row.label.clone(),
                predicted: f64::from(batch),
                observed: f64::from(row.largest),
                group: row.family.clone(),
            };
            let fitting = residual(row.step(&ladder, Verdict::Fits, constants));
            if row.next.is_none() {
                capped.residuals.push(fitting);
                continue;
            }
            plain.residuals.push(fitting);
            margin.residuals.push(residual(row.step(&ladder, Verdict::FitsWithMargin, constants)));
        }
        let broken = unread.iter().filter(|(of, _)| *of == table.name);
        plain.unanswered.extend(broken.map(|(_, row)| row.clone()));
        evaluations.extend([plain, margin, capped]);
    }
    evaluations.retain(|evaluation| evaluation.rows() > 0);
    evaluations
}

/// What must hold.
pub fn bars(evaluations: &[Evaluation]) -> Vec<Bar> {
    let of = |question| evaluations.iter().filter(move |evaluation| evaluation.question == question);
    let steps: BTreeSet<u64> = [WITHOUT, CAPPED]
        .into_iter()
        .flat_map(of)
        .flat_map(|evaluation| evaluation.residuals.iter().map(|residual| residual.observed as u64))
        .collect();
    let place = |batch: f64| steps.iter().filter(|step| **step <= batch as u64).count();
    let apart = |residual: &Residual| place(residual.predicted).abs_diff(place(residual.observed));
    vec![
        Bar::on_rows(
            "largest batch, one family left out: at most one ladder step off",
            of(WITHOUT),
            0.85,
            |residual| apart(residual) <= 1,
        ),
        Bar::on_rows("at most two ladder steps off", of(WITHOUT), 0.97, |residual| apart(residual) <= 2),
        Bar::on_rows("with margin no larger step than fitted", of(WITH), 0.95, |residual| {
            residual.predicted <= residual.observed
        }),
        Bar::on_rows("at the ladder's end no smaller step", of(CAPPED), 1.0, |residual| {
            residual.predicted >= residual.observed
        }),
    ]
}
