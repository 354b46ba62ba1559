//! The live table.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use plimsoll_e2e::story::{Act, Record, Sighting};

/// Draws the table in place on a terminal; elsewhere prints a line for each change.
#[derive(Debug, Default)]
pub(super) struct Screen {
    lines: usize,
    said: BTreeMap<&'static str, [String; 8]>,
}

const GIB: f64 = (1u64 << 30) as f64;

impl Screen {
    /// Shows where every job stands.
    pub(super) fn draw(&mut self, acts: &[Act], record: &Record) {
        let mut out = std::io::stdout().lock();
        if !out.is_terminal() {
            return;
        }
        let text = rows(acts, record).to_string();
        if self.lines > 0 {
            // Back to the first line of the last table, and everything below it away.
            let _ = write!(out, "\x1b[{}A\x1b[J", self.lines);
        }
        self.lines = text.lines().count();
        let _ = writeln!(out, "{text}");
        let _ = out.flush();
    }

    /// Says what changed, where there is no terminal to draw on. That only training went on is not said.
    pub(super) fn changed(&mut self, act: &Act, now: &Sighting, since_start: f64) {
        if std::io::stdout().is_terminal() {
            return;
        }
        let [job, class, gpus, batch, state, reason, sm, memory, percent] = cells(act, now);
        let said = [job, class, gpus, batch, state, reason, sm, memory];
        if self.said.get(act.job) == Some(&said) {
            return;
        }
        let [job, class, gpus, batch, state, reason, sm, memory] = &said;
        println!(
            "{since_start:6.1}s  {job:<20} {state:<10} {gpus:>3} {class:<16} {batch:>9} {sm:>5} {memory:>9} {percent:>5}  {reason}"
        );
        self.said.insert(act.job, said);
    }

    /// A remark between tables.
    pub(super) fn say(&mut self, line: &str) {
        println!("{line}");
        self.lines = 0;
    }
}

/// All jobs as a table.
pub(super) fn rows(acts: &[Act], record: &Record) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["JOB", "CLASS", "GPUS", "BATCH", "STATE", "REASON", "SM", "MEMORY", "DONE"]);
    for act in acts {
        let now = record.job(act.job).last().cloned().unwrap_or_default();
        table.add_row(cells(act, &now));
    }
    for column in [2, 3, 6, 7, 8] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn cells(act: &Act, now: &Sighting) -> [String; 9] {
    let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let batch =
        if now.micro_batch > 0 { format!("{} x {}", now.micro_batch, now.accumulation) } else { "-".to_owned() };
    [
        format!("({}) {}", act.letter, act.job),
        or_dash(&now.class),
        if now.gpus > 0 { now.gpus.to_string() } else { "-".to_owned() },
        batch,
        or_dash(&now.state),
        or_dash(&now.reason),
        now.sm_activity_percent.map_or("-".to_owned(), |p| format!("{p}%")),
        now.device_memory_bytes.map_or("-".to_owned(), |b| format!("{:.1} GiB", b as f64 / GIB)),
        now.percent.map_or("-".to_owned(), |p| format!("{p}%")),
    ]
}
