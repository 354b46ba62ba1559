//! Published measurements of training, what sizing says about them, and the fit of its constants.
//!
//! A folder of CSV files becomes [`Published`] tables ([`table`]). What a row can be asked is decided by the columns it has
//! (the vocabulary of `tables/SOURCE.md`) and by nothing else, so that a new table needs no code. Every [`Subject`] asks all
//! rows of all tables one kind of question and answers with [`Evaluation`]s, one for each table and way of asking, and with
//! the [`Bar`]s that these must pass; [`evaluate()`] asks all subjects.
//!
//! To add a subject: a file with `pub fn evaluate(&Published) -> Vec<Evaluation>` and
//! `pub fn bars(&[Evaluation]) -> Vec<Bar>`, and a line in [`SUBJECTS`].
//!
//! Two rules keep it honest. A prediction never sees its own row's observation. And where constants were fitted, the
//! evaluation that counts is the one whose constants were fitted without the group that the row belongs to
//! ([`Evaluation::left_out`]): its model size, its class of GPU, its framework (the table), or its family.

pub mod energy;
mod evaluate;
pub mod fit;
pub mod fit_memory;
pub mod fit_time;
pub mod hardware;
pub mod loss;
pub mod question;
pub mod report;
pub mod speed;
pub mod statistics;
pub mod table;
pub mod throughput;

use std::path::PathBuf;

pub use evaluate::{Report, evaluate};
pub use table::{CellError, ReadError, Row, Table};

/// Everything that one folder holds.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// Its CSV files, in the order of their names.
    pub tables: Vec<Table>,
    /// The folder itself, for subjects that read other files in it.
    pub folder: PathBuf,
}

impl Published {
    /// The folder of tables that stands in the repository: what constants are fitted to.
    pub fn of_repository() -> Result<Self, ReadError> {
        Self::read(&PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tables")))
    }

    /// All rows of all tables.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.tables.iter().flat_map(|table| &table.rows)
    }
}

/// One kind of question.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// Its name as the report prints it.
    pub name: &'static str,
    /// Asks every row that can be asked.
    pub evaluate: fn(&Published) -> Vec<Evaluation>,
    /// What must hold, given the answers.
    pub bars: fn(&[Evaluation]) -> Vec<Bar>,
}

/// All subjects, in the order of the report.
pub const SUBJECTS: &[Subject] = &[
    Subject { name: "parameters", evaluate: question::parameters::evaluate, bars: question::parameters::bars },
    Subject { name: "bookkeeping", evaluate: question::bookkeeping::evaluate, bars: question::bookkeeping::bars },
    Subject { name: "device memory", evaluate: question::device_memory::evaluate, bars: question::device_memory::bars },
    Subject { name: "states", evaluate: question::states::evaluate, bars: question::states::bars },
    Subject { name: "largest batch", evaluate: question::largest_batch::evaluate, bars: question::largest_batch::bars },
    Subject { name: "global batch", evaluate: question::global_batch::evaluate, bars: question::global_batch::bars },
    Subject { name: "products", evaluate: question::products::evaluate, bars: question::products::bars },
    Subject { name: "speed", evaluate: speed::evaluate, bars: speed::bars },
    Subject { name: "throughput", evaluate: throughput::evaluate, bars: throughput::bars },
    Subject { name: "loss", evaluate: loss::evaluate, bars: loss::bars },
    Subject { name: "energy", evaluate: energy::evaluate, bars: energy::bars },
];

/// One prediction beside its observation, both in the unit that the evaluation names.
#[derive(Clone, Debug, PartialEq)]
pub struct Residual {
    /// The row: table, line and model.
    pub row: String,
    /// What sizing says.
    pub predicted: f64,
    /// What was published.
    pub observed: f64,
    /// The group that was left out of the fit with this row; empty when nothing was.
    pub group: String,
}

impl Residual {
    /// `|predicted / observed − 1|`; without a finite prediction the error is infinite.
    pub fn error(&self) -> f64 {
        let error = (self.predicted / self.observed - 1.0).abs();
        if error.is_nan() { f64::INFINITY } else { error }
    }
}

/// A row that asks the question and cannot be answered. It counts as a failure where a bar has a floor of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered {
    /// The row: table, line and model.
    pub row: String,
    /// Why, in a few words.
    pub reason: String,
}

/// The answers to one question on one table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// The subject's question, with the unit: "parameters", "peak device memory, GiB".
    pub question: &'static str,
    /// The table.
    pub table: String,
    /// What the fit had not seen, as in "one model size left out"; `None`: nothing is fitted, or the constants that ship
    /// were used.
    pub left_out: Option<&'static str>,
    /// Answered rows.
    pub residuals: Vec<Residual>,
    /// Rows that could not be answered.
    pub unanswered: Vec<Unanswered>,
}

impl Evaluation {
    /// An evaluation without rows.
    pub fn new(question: &'static str, table: &str, left_out: Option<&'static str>) -> Self {
        Self { question, table: table.to_owned(), left_out, ..Self::default() }
    }

    /// Rows that ask the question.
    pub fn rows(&self) -> usize {
        self.residuals.len() + self.unanswered.len()
    }

    /// The absolute relative errors, ascending.
    pub fn errors(&self) -> Vec<f64> {
        let mut errors: Vec<f64> = self.residuals.iter().map(Residual::error).collect();
        errors.sort_by(f64::total_cmp);
        errors
    }
}

/// One thing that must hold, and whether it does.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// What must hold, with its numbers.
    pub text: String,
    /// What was seen, with its numbers.
    pub seen: String,
    /// Whether it holds; `None` where no table of the folder asks.
    pub held: Option<bool>,
}

impl Bar {
    /// A bar on the share of rows that pass a test, of several evaluations together. Rows that could not be answered fail.
    pub fn on_rows<'a>(
        text: &str,
        evaluations: impl IntoIterator<Item = &'a Evaluation>,
        share: f64,
        passes: impl Fn(&Residual) -> bool,
    ) -> Self {
        let (mut rows, mut passed) = (0_usize, 0_usize);
        for evaluation in evaluations {
            rows += evaluation.rows();
            passed += evaluation.residuals.iter().filter(|residual| passes(residual)).count();
        }
        let text =
            if share < 1.0 { format!("{text}: {:.0} % of rows", share * 100.0) } else { format!("{text}: every row") };
        if rows == 0 {
            return Self { text, seen: "no row".to_owned(), held: None };
        }
        let seen = format!("{passed} of {rows} rows, {:.1} %", 100.0 * passed as f64 / rows as f64);
        Self { text, seen, held: Some(passed as f64 >= share * rows as f64) }
    }

    /// A bar on the median and the 90th percentile of the absolute relative errors of several evaluations together, as
    /// shares of 1. Rows that could not be answered count with an infinite error.
    pub fn on_errors<'a>(
        text: &str,
        evaluations: impl IntoIterator<Item = &'a Evaluation>,
        median: f64,
        ninetieth: f64,
    ) -> Self {
        let mut errors = Vec::new();
        for evaluation in evaluations {
            errors.extend(evaluation.errors());
            errors.extend(evaluation.unanswered.iter().map(|_| f64::INFINITY));
        }
        errors.sort_by(f64::total_cmp);
        let text = format!("{text}: median {:.3} %, p90 {:.3} %", median * 100.0, ninetieth * 100.0);
        let (Some(middle), Some(high)) = (statistics::quantile(&errors, 0.5), statistics::quantile(&errors, 0.9))
        else {
            return Self { text, seen: "no row".to_owned(), held: None };
        };
        let seen = format!("{} rows, median {:.3} %, p90 {:.3} %", errors.len(), middle * 100.0, high * 100.0);
        Self { text, seen, held: Some(middle <= median && high <= ninetieth) }
    }
}
