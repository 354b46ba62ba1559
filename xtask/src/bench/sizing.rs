//! `cargo xtask bench sizing`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use plimsoll_calibration::{Evaluation, Published, Report, evaluate, statistics};

/// Compare what sizing predicts with published measurements
///
/// Reads every CSV file of a folder by the columns it has and prints, for each table and question, how far predictions
/// are from what was published, and which bars hold.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of tables; those of the repository unless given
    #[arg(long)]
    tables: Option<PathBuf>,
    /// Print every row's prediction beside its observation
    #[arg(long)]
    residuals: bool,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let published = match &self.tables {
            Some(folder) => Published::read(folder)?,
            None => Published::of_repository()?,
        };
        let report = evaluate(&published);
        println!("{}", summary(&published, &report));
        print_unanswered(&report);
        if self.residuals {
            print_residuals(&report);
        }
        println!("{}", bars(&report));
        Ok(())
    }
}

fn summary(published: &Published, report: &Report) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING);
    table.set_header(["table", "question", "left out", "rows", "evaluated", "median", "p90", "worst"]);
    for evaluation in &report.evaluations {
        let errors = evaluation.errors();
        let percent = |share| statistics::quantile(&errors, share).map_or("-".to_owned(), percent);
        table.add_row([
            evaluation.table.clone(),
            evaluation.question.to_owned(),
            evaluation.left_out.unwrap_or("nothing").to_owned(),
            evaluation.rows().to_string(),
            evaluation.residuals.len().to_string(),
            percent(0.5),
            percent(0.9),
            percent(1.0),
        ]);
    }
    for unasked in &published.tables {
        if report.evaluations.iter().all(|evaluation| evaluation.table != unasked.name) {
            let rows = unasked.rows.len().to_string();
            table.add_row([&unasked.name, "no question for these columns", "", &rows, "0", "-", "-", "-"]);
        }
    }
    table
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

fn print_unanswered(report: &Report) {
    let mut reasons: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
    for evaluation in &report.evaluations {
        for row in &evaluation.unanswered {
            *reasons.entry((&evaluation.table, evaluation.question, &row.reason)).or_default() += 1;
        }
    }
    if !reasons.is_empty() {
        println!("\nRows that cannot be evaluated:");
    }
    for ((table, question, reason), rows) in reasons {
        println!("  {table}, {question}: {rows} rows: {reason}");
    }
}

fn print_residuals(report: &Report) {
    for evaluation in &report.evaluations {
        let Evaluation { question, table, left_out, residuals, unanswered } = evaluation;
        println!("\n{table}, {question}, {} left out:", left_out.unwrap_or("nothing"));
        for residual in residuals {
            println!(
                "  {:<60} predicted {:>14.6} published {:>14.6} {:>8} {}",
                residual.row,
                residual.predicted,
                residual.observed,
                percent(residual.predicted / residual.observed - 1.0),
                residual.group,
            );
        }
        for row in unanswered {
            println!("  {:<60} {}", row.row, row.reason);
        }
    }
}

fn bars(report: &Report) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING);
    table.set_header(["bar", "seen", ""]);
    for bar in &report.bars {
        let held = match bar.held {
            Some(true) => "held",
            Some(false) => "NOT HELD",
            None => "not asked",
        };
        table.add_row([&bar.text, &bar.seen, held]);
    }
    table
}
