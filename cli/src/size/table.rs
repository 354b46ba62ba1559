//! The menu for people.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use plimsoll_sizing::economy::Bill;
use plimsoll_sizing::{Candidate, ClassSpec, Fit, JobSpec, Layout, Rejection, Sharding};

use super::Sized;
use super::cost::{duration, watts};

const GIB: f64 = 1_073_741_824.0;

const HEADER: [&str; 10] =
    ["CLASS", "GPUS", "DPxTPxPP", "ZERO", "MICRO", "ACC", "MEM/GPU", "STEP", "SM-ACTIVITY", "MFU"];

/// Columns whose cells are numbers.
const RIGHT: [usize; 8] = [1, 3, 4, 5, 6, 7, 8, 9];

/// Unit of a job's speed.
pub(super) fn rate_unit(job: &JobSpec) -> &'static str {
    if job.sequence_length > 1 { "tokens/s" } else { "samples/s" }
}

pub(super) fn render(sized: &Sized, wide: bool) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}", heading(sized));
    if !sized.menu.candidates.is_empty() {
        let _ = writeln!(text, "{}", candidates(sized, wide));
    }
    for rejection in &sized.menu.rejected {
        let _ = writeln!(text, "{}", rejected(rejection));
    }
    match &sized.optimality {
        Some(Ok(optimality)) => {
            let _ = writeln!(text, "compute-optimality: {}", optimality.sentence());
        }
        // The sentence names what it is about itself.
        Some(Err(not_applicable)) => {
            let _ = writeln!(text, "{not_applicable}");
        }
        None => {}
    }
    for note in &sized.notes {
        let _ = writeln!(text, "{note}");
    }
    if let Some(estimate) = &sized.explained {
        let mut table = plain(&["QUANTITY", "VALUE", "HOW"].map(str::to_owned));
        for row in &estimate.derivations {
            table.add_row([row.quantity, &row.value, &row.how]);
        }
        let _ = writeln!(text, "\nThe first choice:\n{}", table.trim_fmt());
    }
    text
}

fn heading(sized: &Sized) -> String {
    let Sized { name, job, .. } = sized;
    let parameters = job.model.parameters() as f64;
    let scaled = match parameters {
        p if p >= 1e9 => format!("{:.2}B", p / 1e9),
        p => format!("{:.1}M", p / 1e6),
    };
    format!("{name}: {scaled} parameters, global batch {}, {:?}", job.global_batch, job.precision)
}

/// A column that is there only where some candidate has something to say in it.
struct Optional {
    title: &'static str,
    /// Whether its cells are numbers.
    right: bool,
    cell: fn(&Layout) -> String,
    /// What it says of a plain layout.
    plain: &'static str,
}

const OPTIONAL: [Optional; 4] = [
    Optional { title: "CP", right: true, cell: |layout| layout.context.to_string(), plain: "1" },
    Optional { title: "EP", right: true, cell: |layout| layout.expert.to_string(), plain: "1" },
    Optional { title: "RECOMPUTE", right: false, cell: |layout| format!("{:?}", layout.recompute), plain: "None" },
    Optional { title: "OFFLOAD", right: false, cell: |layout| format!("{:?}", layout.offload), plain: "None" },
];

fn candidates(sized: &Sized, wide: bool) -> String {
    let all = &sized.menu.candidates;
    let used = |column: &&Optional| all.iter().any(|candidate| (column.cell)(&candidate.layout) != column.plain);
    let optional: Vec<_> = OPTIONAL.iter().filter(used).collect();
    let mut header: Vec<String> = HEADER.map(str::to_owned).to_vec();
    let mut right: Vec<bool> = (0..HEADER.len()).map(|column| RIGHT.contains(&column)).collect();
    header.extend(optional.iter().map(|column| column.title.to_owned()));
    right.extend(optional.iter().map(|column| column.right));
    let costs = if wide { costs(sized) } else { Vec::new() };
    header.extend(costs.iter().map(|(title, _)| title.clone()));
    right.extend(costs.iter().map(|_| true));
    let mut table = plain(&header);
    for (column, _) in right.iter().enumerate().filter(|(_, right)| **right) {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for (row, candidate) in all.iter().enumerate() {
        let mut cells = cells(candidate, sized.class(candidate));
        cells.extend(optional.iter().map(|column| (column.cell)(&candidate.layout)));
        cells.extend(costs.iter().map(|(_, column)| column.get(row).cloned().unwrap_or_default()));
        table.add_row(cells);
    }
    table.trim_fmt()
}

fn cells(candidate: &Candidate, class: Option<&ClassSpec>) -> Vec<String> {
    let Candidate { shape, layout, batch, predicted, fit, .. } = candidate;
    let held = class.map_or(0.0, |class| class.memory_bytes as f64 / GIB);
    let tight = if *fit == Fit::Tight { "!" } else { "" };
    let Layout { data, tensor, pipeline, .. } = layout;
    vec![
        shape.class.to_string(),
        shape.gpus().to_string(),
        format!("{data}x{tensor}x{pipeline}"),
        stage(layout.sharding).to_string(),
        batch.micro.to_string(),
        batch.accumulation.to_string(),
        format!("{:.1}/{held:.1}Gi{tight}", predicted.device_memory_bytes as f64 / GIB),
        seconds(predicted.step_seconds),
        format!("{:.0}%", predicted.sm_activity * 100.0),
        format!("{:.0}%", predicted.mfu * 100.0),
    ]
}

/// Columns of speed, and of what the whole run takes where it is known how much data there is: title and cells.
fn costs(sized: &Sized) -> Vec<(String, Vec<String>)> {
    let all = &sized.menu.candidates;
    let speed = all.iter().map(|one| scaled(sized.rate(one.predicted.step_seconds))).collect();
    let joules = |candidate: &Candidate| {
        let watts = sized.class(candidate).map_or(0.0, |class| watts(candidate, class));
        let seconds_of_a_sample = candidate.predicted.step_seconds / f64::from(sized.job.global_batch);
        scaled(watts * f64::from(candidate.shape.gpus()) * seconds_of_a_sample)
    };
    let mut columns =
        vec![(rate_unit(&sized.job).to_uppercase(), speed), ("J/SAMPLE".to_owned(), all.iter().map(joules).collect())];
    let Some(bills) = &sized.bills else { return columns };
    let mut of_bills = |title: &str, cell: &dyn Fn(&Bill) -> String| {
        columns.push((title.to_owned(), bills.iter().map(cell).collect()));
    };
    of_bills("DURATION", &|bill| duration(bill.seconds));
    of_bills("GPU-HOURS", &|bill| scaled(bill.gpu_hours));
    of_bills("KWH", &|bill| scaled(bill.energy.meter_kwh));
    if sized.counts_carbon {
        of_bills("KGCO2E", &|bill| scaled(bill.energy.carbon_kg));
    }
    if bills.iter().any(|bill| bill.money.is_some()) {
        of_bills("COST", &|bill| bill.money.map_or_else(|| "-".to_owned(), scaled));
    }
    columns
}

/// A number with three digits that count, more where it is large.
fn scaled(number: f64) -> String {
    match number {
        n if n >= 100.0 => format!("{n:.0}"),
        n if n >= 10.0 => format!("{n:.1}"),
        n if n >= 1.0 => format!("{n:.2}"),
        n => format!("{n:.3}"),
    }
}

/// The ZeRO stage of a sharding.
fn stage(sharding: Sharding) -> u8 {
    match sharding {
        Sharding::None => 0,
        Sharding::Optimizer => 1,
        Sharding::Gradients => 2,
        Sharding::Full => 3,
    }
}

fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 0.1 => format!("{:.1}ms", s * 1e3),
        s if s < 10.0 => format!("{s:.2}s"),
        s => format!("{s:.1}s"),
    }
}

fn rejected(rejection: &Rejection) -> String {
    let Rejection { class, gpus, reason, message } = rejection;
    let size = if *gpus > 0 { format!("{class} x{gpus}") } else { class.to_string() };
    format!("does not fit: {size}: {reason:?}: {message}")
}

fn plain(header: &[String]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.to_vec());
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_come_and_go_are_silent_about_a_plain_layout_and_speak_of_any_other() {
        let plain = Layout::data_parallel(8);
        let other = Layout {
            context: 2,
            expert: 4,
            recompute: plimsoll_sizing::Recompute::Full,
            offload: plimsoll_sizing::Offload::All,
            ..plain
        };
        for column in &OPTIONAL {
            assert_eq!((column.cell)(&plain), column.plain, "{}", column.title);
            assert_ne!((column.cell)(&other), column.plain, "{}", column.title);
        }
    }
}
