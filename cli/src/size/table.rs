//! The menu for people.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use plimsoll_sizing::{Candidate, ClassSpec, Fit, Layout, Recompute, Rejection, Sharding};

use super::Sized;

const GIB: f64 = 1_073_741_824.0;

const HEADER: [&str; 10] =
    ["CLASS", "GPUS", "DPxTPxPP", "ZERO", "MICRO", "ACC", "MEM/GPU", "STEP", "SM-ACTIVITY", "MFU"];

/// Columns whose cells are numbers.
const RIGHT: [usize; 8] = [1, 3, 4, 5, 6, 7, 8, 9];

pub(super) fn render(sized: &Sized) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}", heading(sized));
    if !sized.menu.candidates.is_empty() {
        let _ = writeln!(text, "{}", candidates(sized));
    }
    for rejection in &sized.menu.rejected {
        let _ = writeln!(text, "{}", rejected(rejection));
    }
    if let Some(estimate) = &sized.explained {
        let mut table = plain(&["QUANTITY", "VALUE", "HOW"]);
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

fn candidates(sized: &Sized) -> String {
    let menu = &sized.menu;
    let recomputes = menu.candidates.iter().any(|candidate| candidate.layout.recompute != Recompute::None);
    let mut header = HEADER.to_vec();
    if recomputes {
        header.push("RECOMPUTE");
    }
    let mut table = plain(&header);
    for column in RIGHT {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for candidate in &menu.candidates {
        let class = sized.classes.iter().find(|class| class.name == candidate.shape.class);
        let mut cells = cells(candidate, class);
        if recomputes {
            cells.push(format!("{:?}", candidate.layout.recompute));
        }
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

fn plain(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.to_vec());
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}
