//! The report: one HTML file that needs nothing else.

use std::error::Error;
use std::fmt::Write as _;

use plimsoll_simulator::{Cluster, GpuSeconds};

use super::{HEADER, Run, cells, charts, ends};

/// What all runs share.
pub(super) struct About<'a> {
    pub(super) trace: &'a str,
    pub(super) cluster: &'a Cluster,
    pub(super) jobs: usize,
    /// The rules, in words.
    pub(super) rules: String,
    pub(super) requests: ends::Requests,
}

/// The figures as tables, and the charts.
pub(super) fn html(about: &About<'_>, runs: &[Run]) -> Result<String, Box<dyn Error + Send + Sync>> {
    let About { trace, cluster, jobs, rules, requests } = about;
    let trace = escaped(trace);
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{trace}</title><style>\n\
         body {{ font-family: sans-serif; margin: 2em; max-width: 1240px }}\n\
         td, th {{ padding: .3em .8em; text-align: right; border-bottom: 1px solid #ddd }}\n\
         td:first-child, th:first-child {{ text-align: left }}\n</style></head><body>\n\
         <h1>{trace}</h1>\n<p>{jobs} jobs on {cluster}, {} GPUs. {}</p>\n",
        cluster.gpus(),
        escaped(rules)
    );
    table(&mut text, &HEADER, runs.iter().map(cells));
    text.push_str("<p>rho is the completion time over that alone on an equal share of the cluster.</p>\n");
    text.push_str(&charts::svg(cluster, runs)?);
    text.push_str("\n<h2>GPU-hours by state</h2>\n");
    let mut header = vec!["POLICY"];
    header.extend(GpuSeconds::NAMES);
    header.extend(["IN BAND OF WHAT IS HELD", "ENERGY"]);
    table(&mut text, &header, runs.iter().map(|run| states(run, cluster)));
    text.push_str(
        "<p>A GPU is idle while its job starts, restarts or has ended within a round; under where less than 60 % of a step grows with \
         its samples; over where two jobs on it slow each other down; unknown where a profile has one batch alone.</p>\n\
         <h2>What went wrong</h2>\n",
    );
    table(&mut text, &ends::HEADER, runs.iter().map(|run| ends::cells(run, requests)));
    text.push_str(
        "<p>Cancelled and failed as the trace or the rules have it. For wrong requests: how many jobs, and their mean completion time; \
         policies that size jobs themselves do not look at them.</p>\n</body></html>\n",
    );
    Ok(text)
}

fn states(run: &Run, cluster: &Cluster) -> Vec<String> {
    let states = GpuSeconds::of(&run.simulated, cluster);
    let known = states.held_idle + states.held_under + states.held_in_band + states.held_over;
    let mut cells = vec![run.simulated.policy.clone()];
    cells.extend(states.values().map(|seconds| format!("{:.1}", seconds / 3600.0)));
    cells.push(if known > 0.0 { format!("{:.0} %", 100.0 * states.held_in_band / known) } else { "-".to_owned() });
    cells.push(format!("{:.0} kWh", run.energy_kwh));
    cells
}

fn table<Row: AsRef<[String]>>(text: &mut String, header: &[&str], rows: impl Iterator<Item = Row>) {
    text.push_str("<table><tr>");
    // Writing to a string cannot fail.
    for name in header {
        let _ = write!(text, "<th>{}</th>", escaped(name));
    }
    for row in rows {
        text.push_str("</tr>\n<tr>");
        for cell in row.as_ref() {
            let _ = write!(text, "<td>{}</td>", escaped(cell));
        }
    }
    text.push_str("</tr></table>\n");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
