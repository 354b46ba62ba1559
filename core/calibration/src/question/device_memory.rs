//! How much device memory a job needs, and whether it fits.
//!
//! Asked of rows with `memory_gib`, `memory_gb` (10^9 bytes) or an `outcome` of ok or oom. A published peak is taken as what
//! the program's allocator reports, without the device's context, unless `memory_kind` says `device`. Rows with another
//! outcome (unsupported, error) say nothing about memory.
//!
//! Constants are fitted to the repository's rows without the group that the row belongs to: its model size (parameters),
//! or its framework (the table).

use std::collections::BTreeMap;

use plimsoll_sizing::calibration::{Calibration, MemoryConstants};
use plimsoll_sizing::{
    Adapters, AttentionKernel, Footprint, Layout, Memory, Model, Precision, Program, Recompute, Tuning, Verdict,
};

use super::job::{Asked, attention, precision};
use super::model::{knows_model, model};
use crate::fit_memory::fit;
use crate::hardware::Hardware;
use crate::{Bar, CellError, Evaluation, Published, Residual, Row, Unanswered};

/// Peaks.
pub const PEAK: &str = "peak device memory, GiB";
const VERDICT: &str = "fit or out of memory, 1 = right";
const MARGIN: &str = "out of memory is never a fit with margin, 1 = so";
const RAN: &str = "what ran fits, 1 = so";
/// One model size left out.
pub const SIZE: &str = "model size";
/// One framework left out.
pub const FRAMEWORK: &str = "framework";

const GIB: f64 = 1_073_741_824.0;

/// A row that asks for memory, with what sizing needs to answer.
#[derive(Clone, Debug)]
pub struct MemoryRow {
    /// Table, line and model.
    pub label: String,
    /// Its table.
    pub table: String,
    /// Its model's parameters, as the group of its size.
    pub size: String,
    /// Published peak in bytes; `None` when it ran out or was not printed.
    pub peak_bytes: Option<f64>,
    /// Whether it ran; `None` where the row does not say.
    pub ran: Option<bool>,
    /// Memory that a process can use, in bytes.
    pub usable_bytes: u64,
    whole_device: bool,
    need: Need,
}

#[derive(Clone, Debug)]
enum Need {
    Training { footprint: Box<Footprint>, layout: Layout, micro: u32 },
    Answering { model: Box<Model>, precision: Precision, tuning: Tuning },
}

impl MemoryRow {
    /// Reads a row.
    ///
    /// # Errors
    /// When a column that is needed is missing or cannot be read.
    pub fn of(row: &Row, hardware: &Hardware) -> Result<Self, CellError> {
        let task = row.text("task").unwrap_or_default().to_lowercase();
        let bits = quantised_bits(row);
        let adapters = if task.contains("adapter_v2") {
            Adapters::Scales
        } else if task.contains("adapter") {
            Adapters::Prefix
        } else {
            Adapters::LowRank
        };
        let need = if task == "inference" || task == "generate" {
            let tuning = Tuning { quantised_bits: bits, ..Tuning::default() };
            Need::Answering { model: Box::new(model(row)?), precision: precision(row)?.0, tuning }
        } else {
            let asked = Asked::of(row, hardware)?;
            let named = ["dp", "tp", "pp", "sharding"].iter().any(|column| row.has(column));
            let tuning = Tuning {
                adapters,
                fused_loss: row.text("loss_kernel") == Some("fused"),
                trained_parameters: asked.trainable,
                quantised_bits: bits,
                keeps_gathered: !named && asked.job.method.adapter_rank().is_some(),
            };
            let attention = attention(row).unwrap_or(AttentionKernel::Fused);
            let program = Program {
                attention,
                compiled: asked.compiled,
                recomputes_operators: asked.recomputes_operators,
                ..Program::default()
            };
            let mut layout = asked.layout;
            if row.text("recompute").is_some_and(|text| text.contains("offload")) {
                // What waits in host memory leaves as much room as what is computed again.
                layout.recompute = Recompute::Full;
            }
            let footprint = Box::new(Footprint::new(&asked.job, &program, tuning));
            Need::Training { footprint, layout, micro: asked.batch.micro }
        };
        let parameters = model(row)?.parameters();
        Ok(Self {
            label: row.label(),
            table: row.table.clone(),
            size: format!("{:.1} B", parameters as f64 / 1e9),
            peak_bytes: peak_bytes(row)?,
            ran: ran(row),
            usable_bytes: hardware.of_row(row)?.memory_bytes,
            whole_device: row.text("memory_kind") == Some("device"),
            need,
        })
    }

    /// What sizing says.
    pub fn memory(&self, constants: &MemoryConstants) -> Memory {
        match &self.need {
            Need::Training { footprint, layout, micro } => footprint.memory(layout, *micro, constants),
            Need::Answering { model, precision, tuning } => Memory::of_frozen(model, *precision, tuning, constants),
        }
    }

    /// The number to compare with the published peak, in bytes.
    pub fn comparable(&self, memory: &Memory) -> f64 {
        if self.whole_device { memory.total() as f64 } else { memory.allocated() as f64 }
    }

    /// Whether it fits.
    pub fn verdict(&self, constants: &MemoryConstants) -> Verdict {
        Verdict::of(self.memory(constants).total(), self.usable_bytes, constants.margin)
    }
}

fn quantised_bits(row: &Row) -> Option<f64> {
    let text = row.text("quant")?.to_lowercase();
    if text == "none" {
        return None;
    }
    // NF4 keeps an fp32 constant for 64 weights; double quantisation makes 0.127 bits of that (arXiv 2305.14314).
    let four = ["nf4", "fp4", "int4", "4bit", "4-bit"].iter().any(|format| text.contains(format));
    match (four, text.contains("dq")) {
        (true, true) => Some(4.127),
        (true, false) => Some(4.5),
        (false, _) if text.contains('8') => Some(8.0),
        (false, _) => None,
    }
}

/// Whether a table says so in the place of a peak.
fn says_out_of_memory(row: &Row) -> bool {
    let word = |column| row.text(column).is_some_and(|text| text.eq_ignore_ascii_case("oom"));
    word("memory_gib") || word("memory_gb")
}

fn peak_bytes(row: &Row) -> Result<Option<f64>, CellError> {
    if says_out_of_memory(row) {
        return Ok(None);
    }
    Ok(match row.number("memory_gib")? {
        Some(gib) => Some(gib * GIB),
        None => row.number("memory_gb")?.map(|gb| gb * 1e9),
    })
}

fn ran(row: &Row) -> Option<bool> {
    match row.text("outcome").map(str::to_lowercase).as_deref() {
        Some("oom") => Some(false),
        Some("ok") => Some(true),
        None if says_out_of_memory(row) => Some(false),
        None if row.has("memory_gib") || row.has("memory_gb") => Some(true),
        _ => None,
    }
}

fn asks(row: &Row) -> bool {
    (knows_model(row) || row.has("params")) && row.has("hardware") && ran(row).is_some()
}

/// What ran and was timed fits, though no table printed its memory.
fn asks_only_whether_it_ran(row: &Row) -> bool {
    let timed = ["tokens_s_gpu", "step_time_s", "tflops_gpu"].iter().any(|column| row.has(column));
    knows_model(row) && row.has("hardware") && !row.has("outcome") && ran(row).is_none() && timed
}

/// What a fit learns from: rows that ask, and rows that were timed and therefore fitted.
pub fn training(published: &Published, hardware: &Hardware) -> Vec<MemoryRow> {
    let mut known = rows(published, hardware).0;
    let timed = published.rows().filter(|row| asks_only_whether_it_ran(row));
    known.extend(
        timed.filter_map(|row| MemoryRow::of(row, hardware).ok()).map(|row| MemoryRow { ran: Some(true), ..row }),
    );
    known
}

/// The rows of a folder that ask, those that cannot be read apart.
pub fn rows(published: &Published, hardware: &Hardware) -> (Vec<MemoryRow>, Vec<(String, Unanswered)>) {
    let (mut read, mut unread) = (Vec::new(), Vec::new());
    for row in published.rows().filter(|row| asks(row)) {
        match MemoryRow::of(row, hardware) {
            Ok(asked) => read.push(asked),
            Err(error) => {
                unread.push((row.table.clone(), Unanswered { row: row.label(), reason: error.to_string() }));
            }
        }
    }
    (read, unread)
}

/// Constants fitted without a group, by group.
pub(crate) fn without(
    training: &[MemoryRow],
    group: impl Fn(&MemoryRow) -> &str,
    asked: &[MemoryRow],
) -> BTreeMap<String, MemoryConstants> {
    let mut fitted = BTreeMap::new();
    for row in asked {
        let name = group(row);
        if !fitted.contains_key(name) {
            let rest: Vec<&MemoryRow> = training.iter().filter(|known| group(known) != name).collect();
            fitted.insert(name.to_owned(), fit(&rest));
        }
    }
    fitted
}

/// Asks every row that can be asked.
pub fn evaluate(published: &Published) -> Vec<Evaluation> {
    let hardware = Hardware::of(published);
    let (asked, unread) = rows(published, &hardware);
    let training = Published::of_repository().map(|folder| training(&folder, &hardware)).unwrap_or_default();
    let by_size = without(&training, |row| &row.size, &asked);
    let by_framework = without(&training, |row| &row.table, &asked);
    let shipped = &Calibration::published().memory;
    let mut evaluations = Vec::new();
    for table in &published.tables {
        let of_table: Vec<&MemoryRow> = asked.iter().filter(|row| row.table == table.name).collect();
        let broken = || unread.iter().filter(|(of, _)| *of == table.name).map(|(_, row)| row.clone());
        let constants = |left_out: Option<&str>, row: &MemoryRow| match left_out {
            Some(SIZE) => by_size[&row.size],
            Some(_) => by_framework[&row.table],
            None => *shipped,
        };
        let group = |left_out: Option<&str>, row: &MemoryRow| match left_out {
            Some(SIZE) => row.size.clone(),
            Some(_) => row.table.clone(),
            None => String::new(),
        };
        for left_out in [None, Some(SIZE), Some(FRAMEWORK)] {
            let mut evaluation = Evaluation::new(PEAK, &table.name, left_out);
            for row in &of_table {
                let Some(peak) = row.peak_bytes else { continue };
                evaluation.residuals.push(Residual {
                    row: row.label.clone(),
                    predicted: row.comparable(&row.memory(&constants(left_out, row))) / GIB,
                    observed: peak / GIB,
                    group: group(left_out, row),
                });
            }
            evaluation.unanswered.extend(broken());
            evaluations.push(evaluation);
        }
        let one = |right: bool| if right { 1.0 } else { 0.0 };
        let mut verdicts = Evaluation::new(VERDICT, &table.name, Some(SIZE));
        let mut margins = Evaluation::new(MARGIN, &table.name, Some(SIZE));
        for row in &of_table {
            let (Some(ran), constants) = (row.ran, constants(Some(SIZE), row)) else { continue };
            let verdict = row.verdict(&constants);
            let residual = |right| Residual {
                row: row.label.clone(),
                predicted: one(right),
                observed: 1.0,
                group: row.size.clone(),
            };
            verdicts.residuals.push(residual(verdict.fits() == ran));
            if !ran {
                margins.residuals.push(residual(verdict != Verdict::FitsWithMargin));
            }
        }
        verdicts.unanswered.extend(broken());
        evaluations.extend([verdicts, margins]);
        let fits = |row: &Row| Ok((one(MemoryRow::of(row, &hardware)?.verdict(shipped).fits()), 1.0));
        evaluations.extend(super::ask(RAN, table, asks_only_whether_it_ran, fits));
    }
    evaluations.retain(|evaluation| evaluation.rows() > 0);
    evaluations
}

/// What must hold.
pub fn bars(evaluations: &[Evaluation]) -> Vec<Bar> {
    let of = |question, left_out: Option<&'static str>| {
        evaluations.iter().filter(move |evaluation| evaluation.question == question && evaluation.left_out == left_out)
    };
    let so = |residual: &Residual| residual.predicted > 0.5;
    vec![
        Bar::on_rows("fit or out of memory is predicted", of(VERDICT, Some(SIZE)), 0.95, so),
        Bar::on_rows("out of memory is never a fit with margin", of(MARGIN, Some(SIZE)), 1.0, so),
        Bar::on_errors("peak device memory, one model size left out", of(PEAK, Some(SIZE)), 0.07, 0.15),
        Bar::on_errors("peak device memory, one framework left out", of(PEAK, Some(FRAMEWORK)), 0.15, 0.30),
    ]
}
