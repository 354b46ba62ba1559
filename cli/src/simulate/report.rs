//! The report: one HTML file that needs nothing else.

use std::error::Error;
use std::fmt::Write as _;

use plimsoll_simulator::Cluster;

use super::{HEADER, Run, cells, charts};

/// The figures as a table, and four charts.
pub(super) fn html(trace: &str, cluster: &Cluster, runs: &[Run]) -> Result<String, Box<dyn Error + Send + Sync>> {
    let trace = escaped(trace);
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{trace}</title><style>\n\
         body {{ font-family: sans-serif; margin: 2em; max-width: 1240px }}\n\
         td, th {{ padding: .3em .8em; text-align: right; border-bottom: 1px solid #ddd }}\n\
         td:first-child, th:first-child {{ text-align: left }}\n</style></head><body>\n\
         <h1>{trace} on {cluster}</h1>\n<table><tr>"
    );
    // Writing to a string cannot fail.
    for name in HEADER {
        let _ = write!(text, "<th>{}</th>", escaped(name));
    }
    for run in runs {
        text.push_str("</tr>\n<tr>");
        for cell in cells(run) {
            let _ = write!(text, "<td>{}</td>", escaped(&cell));
        }
    }
    text.push_str("</tr></table>\n");
    text.push_str(&charts::svg(cluster, runs)?);
    text.push_str("\n</body></html>\n");
    Ok(text)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
