//! What an evaluation says, as text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use comfy_table::Table;
use comfy_table::presets::NOTHING;

use crate::question::model::knows_model;
use crate::{Evaluation, Published, Report, Row, statistics};

/// The tables of errors and bars of one folder; every row's prediction too, when asked for.
pub fn text(published: &Published, report: &Report, with_residuals: bool) -> String {
    let mut out = format!("{}\n", summary(published, report));
    unanswered(published, report, &mut out);
    if with_residuals {
        residuals(report, &mut out);
    }
    let _ = writeln!(out, "\n{}", bars(report));
    out
}

fn summary(published: &Published, report: &Report) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
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
    if share.abs() < 1e4 { format!("{:.2} %", share * 100.0) } else { format!("{:.0e} %", share * 100.0) }
}

fn unanswered(published: &Published, report: &Report, out: &mut String) {
    let mut reasons: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
    for evaluation in &report.evaluations {
        for row in &evaluation.unanswered {
            *reasons.entry((&evaluation.table, evaluation.question, &row.reason)).or_default() += 1;
        }
    }
    for (table, reason, rows) in unasked(published, report) {
        *reasons.entry((table, "no question", reason)).or_default() += rows;
    }
    if !reasons.is_empty() {
        out.push_str("\nRows that cannot be evaluated:\n");
    }
    for ((table, question, reason), rows) in reasons {
        let _ = writeln!(out, "  {table}, {question}: {rows} rows: {reason}");
    }
}

/// Rows that nothing was asked of, by table and by what they lack.
fn unasked<'a>(published: &'a Published, report: &Report) -> Vec<(&'a str, &'static str, usize)> {
    let answered = report.evaluations.iter().flat_map(|evaluation| {
        let answered = evaluation.residuals.iter().map(|residual| residual.row.as_str());
        answered.chain(evaluation.unanswered.iter().map(|row| row.row.as_str()))
    });
    let asked: BTreeSet<&str> = answered.collect();
    let mut found: BTreeMap<(&str, &'static str), usize> = BTreeMap::new();
    for table in &published.tables {
        for row in table.rows.iter().filter(|row| !asked.contains(row.label().as_str())) {
            *found.entry((&table.name, lacking(row))).or_default() += 1;
        }
    }
    found.into_iter().map(|((table, reason), rows)| (table, reason, rows)).collect()
}

/// What a row that nothing can be asked of lacks first.
fn lacking(row: &Row) -> &'static str {
    let any = |columns: &[&str]| columns.iter().any(|column| row.has(column));
    if any(&["gpu", "region", "profile"]) {
        "describes a product or a place, no training"
    } else if any(&["outcome"]) && row.text("outcome") != Some("ok") && row.text("outcome") != Some("oom") {
        "its outcome says nothing of memory or speed"
    } else if !any(&[
        "params",
        "params_m",
        "memory_gib",
        "memory_gb",
        "outcome",
        "tokens_s_gpu",
        "step_time_s",
        "tflops_gpu",
        "mfu_pct",
        "samples_s",
        "throughput",
        "loss",
        "energy_mwh",
        "tco2e",
        "max_batch",
    ]) {
        "no figure that a question is about"
    } else if !knows_model(row) {
        "its model is not known by name and has no layers and hidden"
    } else if !row.has("hardware") {
        "no hardware"
    } else {
        "its figures do not go together to a question"
    }
}

fn residuals(report: &Report, out: &mut String) {
    for evaluation in &report.evaluations {
        let Evaluation { question, table, left_out, residuals, unanswered } = evaluation;
        let _ = writeln!(out, "\n{table}, {question}, {} left out:", left_out.unwrap_or("nothing"));
        for residual in residuals {
            let _ = writeln!(
                out,
                "  {:<60} predicted {:>14.6} published {:>14.6} {:>8} {}",
                residual.row,
                residual.predicted,
                residual.observed,
                percent(residual.predicted / residual.observed - 1.0),
                residual.group,
            );
        }
        for row in unanswered {
            let _ = writeln!(out, "  {:<60} {}", row.row, row.reason);
        }
    }
}

fn bars(report: &Report) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
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
