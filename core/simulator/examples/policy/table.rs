//! The table of ratios.

use std::fmt::Write as _;

use crate::Run;

/// One line a policy, over the first `traces` traces; ratios are to the first row, trace by trace.
pub(crate) fn text(rows: &[(String, Vec<Option<Run>>)], traces: usize) -> String {
    let mut text = format!(
        "{:<22} {:>6} {:>6} {:>11} {:>13} {:>13} {:>8} {:>13} {:>9} {:>9} {:>11} {:>11} {:>11} {:>11}\n",
        "policy",
        "avg h",
        "ratio",
        "range",
        "p99 h",
        "makespan h",
        "GPU-h",
        "restarts",
        "restoring",
        "worst rho",
        "rho > 1",
        "kWh",
        "dollars",
        "ms/round"
    );
    let Some((_, first)) = rows.first() else { return text };
    for (name, runs) in rows {
        let pairs: Vec<(&Run, &Run)> =
            runs.iter().zip(first).take(traces).filter_map(|pair| Some((pair.0.as_ref()?, pair.1.as_ref()?))).collect();
        if pairs.is_empty() {
            continue;
        }
        let mean = |of: &dyn Fn(&Run) -> f64| pairs.iter().map(|pair| of(pair.0)).sum::<f64>() / pairs.len() as f64;
        let ratios =
            |of: &dyn Fn(&Run) -> f64| -> Vec<f64> { pairs.iter().map(|pair| of(pair.0) / of(pair.1)).collect() };
        let ratio = |of: &dyn Fn(&Run) -> f64| ratios(of).iter().sum::<f64>() / pairs.len() as f64;
        let average = ratios(&|run| run.figures.average_seconds);
        let (low, high) =
            average.iter().fold((f64::INFINITY, 0.0_f64), |range, one| (range.0.min(*one), range.1.max(*one)));
        let with_ratio = |of: &dyn Fn(&Run) -> f64, unit: f64| format!("{:.2} ({:.3})", mean(of) / unit, ratio(of));
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{name:<22} {:>6.3} {:>6.3} {:>11} {:>13} {:>13} {:>8.2} {:>13} {:>8.1}% {:>9.2} {:>10.1}% {:>11} {:>11} {:>11}",
            mean(&|run| run.figures.average_seconds) / 3600.0,
            ratio(&|run| run.figures.average_seconds),
            format!("{low:.2}-{high:.2}"),
            with_ratio(&|run| run.figures.p99_seconds, 3600.0),
            with_ratio(&|run| run.figures.makespan_seconds, 3600.0),
            mean(&|run| run.figures.gpu_hours_per_job),
            with_ratio(&|run| run.figures.restarts_per_job, 1.0),
            100.0 * mean(&|run| run.figures.restoring_share),
            mean(&|run| run.worst_rho),
            100.0 * mean(&|run| run.unfair),
            with_ratio(&|run| run.kwh, 1.0),
            with_ratio(&|run| run.dollars, 1.0),
            format!("{:.2} / {:.2}", mean(&|run| run.milliseconds[0]), mean(&|run| run.milliseconds[1])),
        );
    }
    text
}
