//! Fits the constants of the memory model to published peaks.
//!
//! Least absolute deviations of `log(predicted / published)`; a row that ran without a printed peak counts by how far its
//! prediction is above the device, one that ran out by how far below. Each table with the weight of the square root of its rows, so
//! that a long table does not speak alone; a weak pull towards the starting values decides what the rows leave open. The
//! few constants are searched one after the other, each on a grid that narrows, until none moves.

use std::collections::BTreeMap;

use plimsoll_sizing::calibration::MemoryConstants;

use crate::Published;
use crate::hardware::Hardware;
use crate::question::device_memory::{self, MemoryRow};
use crate::question::largest_batch::{self, BatchRow};
use crate::statistics::quantile;

/// Everything that the memory model takes from published tables: its constants and both margins.
///
/// The margin is the 90th percentile of how far peaks were off that were predicted without their model's size.
pub fn calibrate(published: &Published) -> MemoryConstants {
    let hardware = Hardware::of(published);
    let rows = device_memory::training(published, &hardware);
    let all: Vec<&MemoryRow> = rows.iter().collect();
    let constants = rounded(fit(&all));
    let by_size = device_memory::without(&rows, |row| &row.size, &rows);
    let mut errors: Vec<f64> = rows
        .iter()
        .filter_map(|row| {
            let predicted = row.comparable(&row.memory(by_size.get(&row.size)?));
            Some((row.peak_bytes? / predicted - 1.0).abs())
        })
        .collect();
    errors.sort_by(f64::total_cmp);
    let margin = quantile(&errors, 0.9).unwrap_or(constants.margin);
    let batches = largest_batch::rows(published, &hardware).0;
    let batches: Vec<&BatchRow> = batches.iter().collect();
    rounded(fit_totals(&batches, &MemoryConstants { margin, ..constants }))
}

/// What was fitted, to three decimals: more would say more than the tables do.
fn rounded(constants: MemoryConstants) -> MemoryConstants {
    let mut constants = constants;
    let fields = [
        &mut constants.fragmentation,
        &mut constants.eager,
        &mut constants.loss_copies,
        &mut constants.dequantised_copies,
        &mut constants.activation_bytes,
        &mut constants.margin,
        &mut constants.totals_margin,
    ];
    for field in fields {
        *field = (*field * 1000.0).round() / 1000.0;
    }
    constants
}

/// What one constant may be.
struct Range {
    least: f64,
    most: f64,
    get: fn(&MemoryConstants) -> f64,
    set: fn(&mut MemoryConstants, f64),
}

const RANGES: [Range; 4] = [
    Range { least: 0.0, most: 0.15, get: |c| c.fragmentation, set: |c, value| c.fragmentation = value },
    Range { least: 1.0, most: 1.6, get: |c| c.eager, set: |c, value| c.eager = value },
    Range { least: 1.0, most: 4.0, get: |c| c.loss_copies, set: |c, value| c.loss_copies = value },
    Range { least: 0.0, most: 3.0, get: |c| c.dequantised_copies, set: |c, value| c.dequantised_copies = value },
];

/// Weight of the pull towards the starting values.
const PULL: f64 = 0.02;

/// Times that the constants are gone through, and that a grid narrows.
const ROUNDS: usize = 6;
const NARROWINGS: usize = 4;
const GRID: usize = 8;

/// The constants that fit the rows best, the margin and what cannot be fitted as they start.
pub fn fit(rows: &[&MemoryRow]) -> MemoryConstants {
    let mut constants = MemoryConstants::STARTING;
    for _ in 0..ROUNDS {
        for range in &RANGES {
            let (mut least, mut most) = (range.least, range.most);
            for _ in 0..NARROWINGS {
                let step = (most - least) / GRID as f64;
                let tried = (0..=GRID).map(|place| {
                    let value = least + step * place as f64;
                    let mut tried = constants;
                    (range.set)(&mut tried, value);
                    (value, loss(rows, &tried))
                });
                let best = tried.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(least, |(value, _)| value);
                (least, most) = ((best - step).max(range.least), (best + step).min(range.most));
                (range.set)(&mut constants, best);
            }
        }
    }
    constants
}

fn loss(rows: &[&MemoryRow], constants: &MemoryConstants) -> f64 {
    let mut tables: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for row in rows {
        let memory = row.memory(constants);
        let room = (memory.total() as f64 / row.usable_bytes as f64).ln();
        let off = match (row.peak_bytes, row.ran) {
            (Some(peak), _) => (row.comparable(&memory) / peak).ln().abs(),
            (None, Some(false)) => (-room).max(0.0),
            (None, _) => continue,
        };
        let entry = tables.entry(&row.table).or_default();
        entry.0 += off;
        entry.1 += 1.0;
    }
    let weights: f64 = tables.values().map(|(_, count)| count.sqrt()).sum();
    let deviations: f64 = tables.values().map(|(sum, count)| sum / count.sqrt()).sum();
    let pull: f64 = RANGES
        .iter()
        .map(|range| {
            let off = (range.get)(constants) - (range.get)(&MemoryConstants::STARTING);
            (off / (range.most - range.least)).powi(2)
        })
        .sum();
    deviations / weights.max(1.0) + PULL * pull
}

/// The constant of models known only by their totals, and the margin that such a prediction needs.
///
/// A row says that its batch fitted and the next one did not: half way between them, in logarithms, is what is fitted, by
/// least absolute deviations. A row at the ladder's end counts where the prediction is below it. With the margin 96 % of
/// the rows are never promised the next batch.
pub fn fit_totals(rows: &[&BatchRow], constants: &MemoryConstants) -> MemoryConstants {
    // Memory is linear in the batch, and its slope in the constant.
    let unit = MemoryConstants { activation_bytes: 1.0, ..*constants };
    let lines: Vec<Line> = rows
        .iter()
        .filter(|row| row.is_known_by_totals())
        .map(|row| {
            let (none, one) = (row.bytes(0, &unit) as f64, row.bytes(1, &unit) as f64);
            let largest = f64::from(row.largest);
            let next = row.next.map(f64::from);
            Line { usable: row.usable_bytes as f64, none, sample: (one - none).max(1.0), largest, next }
        })
        .collect();
    let off = |value: f64| lines.iter().map(|line| line.off(value)).sum::<f64>();
    let tried = lines.iter().map(Line::fills).filter(|fills| *fills > 0.0);
    let best = tried.min_by(|a, b| off(*a).total_cmp(&off(*b))).unwrap_or(constants.activation_bytes);
    let mut short: Vec<f64> = lines.iter().filter_map(|line| line.short(best)).collect();
    short.sort_by(f64::total_cmp);
    let margin = quantile(&short, 0.96).unwrap_or(constants.totals_margin).max(0.0);
    MemoryConstants { activation_bytes: best, totals_margin: margin, ..*constants }
}

/// A row of batches: bytes without a sample, bytes of one at a constant of 1, and the batches.
struct Line {
    usable: f64,
    none: f64,
    sample: f64,
    largest: f64,
    next: Option<f64>,
}

impl Line {
    /// The constant at which the device is full half way to the next batch.
    fn fills(&self) -> f64 {
        (self.usable - self.none) / (self.sample * (self.largest * self.next.unwrap_or(self.largest)).sqrt())
    }

    fn off(&self, value: f64) -> f64 {
        let off = (value / self.fills()).ln();
        match self.next {
            _ if off.is_nan() => 0.0,
            Some(_) => off.abs(),
            None => off.max(0.0),
        }
    }

    /// How far the next batch's prediction is below what does not fit.
    fn short(&self, value: f64) -> Option<f64> {
        Some(self.usable / (self.none + value * self.sample * self.next?) - 1.0)
    }
}
