//! What `--trace` and `--profiles` name: jobs, and what is known of their applications.

use std::path::Path;

use plimsoll_simulator::profile::{Catalogue, Throughputs};
use plimsoll_simulator::workload::{Submission, acme, read};
use plimsoll_simulator::{Cluster, builtin};

use super::{SimulateError, files};

/// Jobs drawn from a summary, and the hours they come in: as many as the workloads of Pollux have.
const DRAWN: (usize, f64) = (160, 8.0 * 3600.0);

/// The jobs of a trace, and the profiles to run them with.
pub(super) fn load(
    trace: &str,
    profiles: Option<&Path>,
    cluster: &Cluster,
    seed: u64,
) -> Result<(Vec<Submission>, Catalogue), SimulateError> {
    let jobs = jobs(trace, seed)?;
    let gavel = jobs.iter().any(|job| job.steps.is_some());
    if gavel {
        let table = profiles.ok_or_else(|| SimulateError::Table { trace: trace.to_owned() })?;
        let throughputs = Throughputs::read(&table.display().to_string(), &files::text(table)?)?;
        let catalogue = throughputs.catalogue(&jobs, cluster)?;
        return Ok((jobs, catalogue));
    }
    let kinds: Vec<String> = cluster.kinds.iter().map(|kind| kind.name.clone()).collect();
    let texts = match profiles {
        Some(folder) => files::profiles(folder)?,
        None => builtin::profiles(),
    };
    Ok((jobs, Catalogue::read(&texts, &kinds)?))
}

fn jobs(trace: &str, seed: u64) -> Result<Vec<Submission>, SimulateError> {
    if let Some((_, text)) = builtin::WORKLOADS.iter().find(|(name, _)| *name == trace) {
        return Ok(read(trace, text)?);
    }
    if trace.starts_with("pollux-") {
        return Err(SimulateError::Workload { name: trace.to_owned() });
    }
    // A file may have a `#` in its name, so the whole is looked for first.
    let (path, row) = match trace.rsplit_once('#') {
        Some((path, row)) if !Path::new(trace).exists() => (path, Some(row)),
        _ => (trace, None),
    };
    let text = files::text(path.as_ref())?;
    if !acme::is_summary(&text) {
        return Ok(read(path, &text)?);
    }
    let summaries = acme::read(path, &text)?;
    let chosen = summaries.iter().find(|summary| Some(summary.name.as_str()) == row).ok_or_else(|| {
        let names = summaries.iter().map(|summary| format!("{path}#{}", summary.name)).collect();
        SimulateError::Cluster { path: path.to_owned(), names }
    })?;
    Ok(chosen.draw(DRAWN.0, DRAWN.1, seed))
}
