//! A plan for people.

use comfy_table::{CellAlignment, Table, presets};
use plimsoll_menu::Candidate;
use plimsoll_scheduling::{Action, Decision, Plan, Snapshot, Standing};

const HEADER: [&str; 6] = ["JOB", "QUEUE", "HOLDS", "DECISION", "GPUS", "WHY"];
/// The column with numbers.
const GPUS: usize = 4;

/// One row for each job, what is kept for those who wait, and how good the sizes are. `wide` names nodes.
pub(super) fn render(snapshot: &Snapshot, plan: &Plan, wide: bool) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(HEADER.iter().copied().chain(wide.then_some("NODES")).collect::<Vec<_>>());
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    if let Some(column) = table.column_mut(GPUS) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for decision in &plan.decisions {
        let mut row = row(snapshot, decision).to_vec();
        if wide {
            row.push(nodes(&decision.action).join(","));
        }
        table.add_row(row);
    }
    let mut text = table.trim_fmt();
    for kept in &plan.reservations {
        let from = kept.starts_at.map_or_else(|| "once it is given back".to_owned(), |at| format!("from {at}"));
        let (gpus, class) = (kept.shape.gpus(), &kept.shape.class);
        text.push_str(&format!("\nkept for {}: {gpus} x {class} on {} {from}", kept.job, kept.nodes.join(", ")));
    }
    if let Some(worth) = plan.sizes.as_ref().map(|sizes| sizes.worth) {
        let (value, bound, gap) = (worth.value, worth.bound, worth.gap() * 100.0);
        text.push_str(&format!("\nworth {value:.4} of at most {bound:.4}: a gap of {gap:.2} %"));
    }
    text
}

fn row(snapshot: &Snapshot, decision: &Decision) -> [String; 6] {
    let job = snapshot.jobs.get(&decision.job);
    let queue = job.map_or_else(String::new, |job| job.queue.clone());
    let holds = job.map_or_else(String::new, |job| holds(&job.standing));
    let (what, gpus, why) = match &decision.action {
        Action::Keep => ("keep".to_owned(), String::new(), String::new()),
        Action::Start { candidate, .. } => ("start".to_owned(), devices(candidate), String::new()),
        Action::Move { candidate, cause, message, .. } => {
            (format!("move ({cause:?})"), devices(candidate), message.clone())
        }
        Action::LiveBatch { batch, message, .. } => {
            let cut = format!("live batch {} x {}", batch.micro, batch.accumulation);
            (cut, String::new(), message.clone())
        }
        Action::Preempt { for_job, message } => (format!("preempt for {for_job}"), "0".to_owned(), message.clone()),
        Action::Wait { reason, message, numbers } => {
            let mut why = format!("{reason}: {message}");
            if let Some(would) = &numbers.would_run {
                why.push_str("; ");
                why.push_str(would);
            }
            ("wait".to_owned(), String::new(), why)
        }
    };
    [decision.job.to_string(), queue, holds, what, gpus, why]
}

fn holds(standing: &Standing) -> String {
    match standing {
        Standing::Held { .. } | Standing::Waiting => String::new(),
        Standing::Placed(held) | Standing::Leaving(held) | Standing::Moving { from: held, .. } => {
            format!("{} x {}", held.shape.gpus(), held.shape.class)
        }
    }
}

fn devices(candidate: &Candidate) -> String {
    format!("{} x {}", candidate.shape.gpus(), candidate.shape.class)
}

fn nodes(action: &Action) -> &[String] {
    match action {
        Action::Start { nodes, .. } | Action::Move { nodes, .. } => nodes,
        Action::Keep | Action::LiveBatch { .. } | Action::Preempt { .. } | Action::Wait { .. } => &[],
    }
}
