//! The menu for people.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use plimsoll_sizing::economy::{Load, PowerModel};
use plimsoll_sizing::{Candidate, ClassSpec, Fit, JobSpec, Layout, Prediction, Recompute, Rejection, Sharding};

use super::Sized;

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
        Some(Ok(verdict)) => {
            let _ = writeln!(text, "compute-optimality: {verdict}");
        }
        // The sentence names what it is about itself.
        Some(Err(not_applicable)) => {
            let _ = writeln!(text, "{not_applicable}");
        }
        None => {}
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

fn candidates(sized: &Sized, wide: bool) -> String {
    let menu = &sized.menu;
    let recomputes = menu.candidates.iter().any(|candidate| candidate.layout.recompute != Recompute::None);
    let mut header = HEADER.to_vec();
    if recomputes {
        header.push("RECOMPUTE");
    }
    let speed = rate_unit(&sized.job).to_uppercase();
    if wide {
        header.extend([speed.as_str(), "J/SAMPLE"]);
        if sized.epoch_samples.is_some() {
            header.extend(["GPU-H/EPOCH", "KWH/EPOCH"]);
        }
    }
    let mut table = plain(&header);
    let added = HEADER.len() + usize::from(recomputes)..header.len();
    for column in RIGHT.into_iter().chain(added) {
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
        if wide {
            cells.extend(costs(sized, candidate, class));
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

/// Speed, and what a sample and an epoch cost. The devices draw what their activity lets them, the nodes around them come
/// on top and are the site's to say.
fn costs(sized: &Sized, candidate: &Candidate, class: Option<&ClassSpec>) -> Vec<String> {
    let Prediction { step_seconds, sm_activity, mfu, .. } = candidate.predicted;
    let load = Load { sm_activity, mfu, bandwidth_share: 0.0 };
    let gpus = f64::from(candidate.shape.gpus());
    let watts = class.map_or(0.0, |class| PowerModel::of_cap(class.watts).watts(&load)) * gpus;
    let seconds_of_a_sample = step_seconds / f64::from(sized.job.global_batch);
    let mut cells = vec![scaled(sized.rate(step_seconds)), scaled(watts * seconds_of_a_sample)];
    if let Some(samples) = sized.epoch_samples {
        let hours = seconds_of_a_sample * samples / 3600.0;
        cells.extend([scaled(gpus * hours), scaled(watts * hours / 1e3)]);
    }
    cells
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

fn plain(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.to_vec());
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}
