//! Tables of step times by placement and samples per device.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Why a table could not be read.
#[derive(Debug, thiserror::Error)]
pub enum StepTableError {
    /// The file cannot be read.
    #[error("failed to read {}", file.display())]
    Read {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is not `placement,local_bsz,step_time,sync_time`.
    #[error("failed to understand line {line} of {}: it must be placement,local_bsz,step_time,sync_time", file.display())]
    Line {
        /// Which file.
        file: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
    /// There is no row.
    #[error("failed to find a row in {}", file.display())]
    Empty {
        /// Which file.
        file: PathBuf,
    },
}

/// Seconds of a step without accumulation, and of it the seconds of gradient exchange.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct StepTime {
    pub(super) step_seconds: f64,
    pub(super) sync_seconds: f64,
}

/// Devices on each node, in the order that is smallest among all rotations (the Pollux artifact's own normal form).
type Placement = Vec<u32>;

/// Rows by placement, each in order of samples per device; no placement is without rows.
#[derive(Clone, Debug)]
pub(super) struct StepTable(BTreeMap<Placement, Vec<(f64, StepTime)>>);

impl StepTable {
    /// Reads the text of a table.
    pub(super) fn parse(file: &Path, text: &str) -> Result<Self, StepTableError> {
        let mut rows: BTreeMap<Placement, Vec<(f64, StepTime)>> = BTreeMap::new();
        for (index, line) in text.lines().enumerate().skip(1) {
            let (placement, batch, time) =
                parse(line).ok_or_else(|| StepTableError::Line { file: file.to_owned(), line: index + 1 })?;
            rows.entry(normal_form(&placement)).or_default().push((batch, time));
        }
        if rows.is_empty() {
            return Err(StepTableError::Empty { file: file.to_owned() });
        }
        for of_placement in rows.values_mut() {
            of_placement.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        Ok(Self(rows))
    }

    /// Step time of a placement at `batch` samples per device: between rows on a line; beyond the last along the last two.
    pub(super) fn at(&self, gpus_per_pod: &[u32], batch: f64) -> StepTime {
        let none = StepTime { step_seconds: 0.0, sync_seconds: 0.0 };
        let Some(rows) = self.rows(gpus_per_pod) else { return none };
        let after = rows.iter().position(|(b, _)| *b >= batch).unwrap_or(rows.len() - 1);
        let (low, high) = (after.saturating_sub(1), after);
        let ((b0, t0), (b1, t1)) = (rows[low], rows[high]);
        // Below the first row a step takes as long as at the first: a device that is not filled is not faster.
        let share = if b1 > b0 { ((batch - b0) / (b1 - b0)).max(0.0) } else { 0.0 };
        let between = |x0: f64, x1: f64| x0 + (x1 - x0) * share;
        let step_seconds = between(t0.step_seconds, t1.step_seconds);
        let sync_seconds = between(t0.sync_seconds, t1.sync_seconds).clamp(0.0, 0.95 * step_seconds);
        StepTime { step_seconds, sync_seconds }
    }

    /// Rows of the placement, or of the most alike: first by nodes, then by devices.
    fn rows(&self, gpus_per_pod: &[u32]) -> Option<&Vec<(f64, StepTime)>> {
        let wanted = normal_form(gpus_per_pod);
        let devices = |p: &Placement| p.iter().sum::<u32>();
        let distance = |p: &Placement| (p.len().abs_diff(wanted.len()), devices(p).abs_diff(devices(&wanted)));
        self.0.get(&wanted).or_else(|| self.0.iter().min_by_key(|(p, _)| distance(p)).map(|(_, rows)| rows))
    }
}

fn parse(line: &str) -> Option<(Placement, f64, StepTime)> {
    let mut fields = line.split(',');
    let placement = fields.next()?.chars().map(|c| c.to_digit(10)).collect::<Option<Vec<_>>>()?;
    let mut number = || fields.next()?.trim().parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
    let (batch, step_seconds, sync_seconds) = (number()?, number()?, number()?);
    (!placement.is_empty()).then_some((placement, batch, StepTime { step_seconds, sync_seconds }))
}

fn normal_form(gpus_per_pod: &[u32]) -> Placement {
    let rotations = (0..gpus_per_pod.len()).map(|by| [&gpus_per_pod[by..], &gpus_per_pod[..by]].concat());
    rotations.min().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cifar10() -> StepTable {
        StepTable::parse(Path::new("cifar10.csv"), include_str!("../../truth/pollux/cifar10.csv")).unwrap()
    }

    #[test]
    fn a_measured_row_is_given_back_as_it_is() {
        let time = cifar10().at(&[4, 4], 32.0);
        assert_eq!((time.step_seconds, time.sync_seconds), (0.18453335762023926, 0.14201221618652346));
    }

    #[test]
    fn between_rows_is_on_the_line_and_beyond_them_along_it() {
        let table = cifar10();
        let at = |b| table.at(&[1], b).step_seconds;
        assert!(at(32.0) < at(40.0) && at(40.0) < at(45.0));
        assert!(at(2048.0) > 1.9 * at(1024.0));
        assert_eq!(at(8.0), at(32.0));
    }

    #[test]
    fn rotations_are_one_placement() {
        assert_eq!(normal_form(&[4, 1]), [1, 4]);
        let table = cifar10();
        assert_eq!(table.at(&[4, 1], 64.0), table.at(&[1, 4], 64.0));
    }
}
