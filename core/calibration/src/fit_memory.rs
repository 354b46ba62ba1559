//! Fits the constants of the memory model to published peaks.
//!
//! Least absolute deviations of `log(predicted / published)`; a row that ran without a printed peak counts by how far its
//! prediction is above the device, one that ran out by how far below. Each table with the weight of the square root of its rows, so
//! that a long table does not speak alone; a weak pull towards the starting values decides what the rows leave open. The
//! few constants are searched one after the other, each on a grid that narrows, until none moves.

use std::collections::BTreeMap;

use plimsoll_sizing::calibration::MemoryConstants;

use crate::question::device_memory::MemoryRow;
use crate::question::largest_batch::BatchRow;
use crate::statistics::quantile;

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
/// least absolute deviations. A row at the ladder's end counts where the prediction is below it. The margin is what 98 %
/// of the rows stay under.
pub fn fit_totals(rows: &[&BatchRow], constants: &MemoryConstants) -> MemoryConstants {
    // Memory is linear in the batch, and its slope in the constant.
    let unit = MemoryConstants { activation_bytes: 1.0, ..*constants };
    let lines: Vec<(f64, f64, f64, bool)> = rows
        .iter()
        .map(|row| {
            let (none, one) = (row.bytes(0, &unit) as f64, row.bytes(1, &unit) as f64);
            let middle =
                f64::from(row.largest) * row.next.map_or(1.0, |next| f64::from(next) / f64::from(row.largest)).sqrt();
            // The constant at which the half-way batch fills the device.
            let fills = (row.usable_bytes as f64 - none) / ((one - none) * middle).max(1.0);
            (fills, none, row.usable_bytes as f64, row.next.is_some())
        })
        .filter(|(fills, ..)| *fills > 0.0)
        .collect();
    let off = |value: f64| -> f64 {
        lines
            .iter()
            .map(|(fills, .., limited)| {
                let off = (value / fills).ln();
                if *limited { off.abs() } else { off.max(0.0) }
            })
            .sum()
    };
    let mut tried: Vec<f64> = lines.iter().map(|(fills, ..)| *fills).collect();
    tried.sort_by(f64::total_cmp);
    let best = tried.iter().copied().min_by(|a, b| off(*a).total_cmp(&off(*b))).unwrap_or(constants.activation_bytes);
    // How much more than predicted the batch needs that the device really holds.
    let mut short: Vec<f64> = lines
        .iter()
        .filter(|(.., limited)| *limited)
        .map(|(fills, none, usable, _)| {
            let grows = (usable - none) * best / fills;
            usable / (none + grows) - 1.0
        })
        .collect();
    short.sort_by(f64::total_cmp);
    let margin = quantile(&short, 0.95).unwrap_or(constants.totals_margin).max(0.0);
    MemoryConstants { activation_bytes: best, totals_margin: margin, ..*constants }
}
