//! `plimsoll plan`: what the operator's planner decides about a saved snapshot.

mod table;

use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use plimsoll_scheduling::check::check;
use plimsoll_scheduling::{Saved, Snapshot, plan};
use thiserror::Error;

use crate::args::{Output, PlanArgs};
use crate::{CommandError, Outcome};

/// Why there is no plan.
#[derive(Debug, Error)]
pub(crate) enum PlanError {
    #[error("failed to read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("failed to understand {}", path.display())]
    Parse {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("{} has no field at, the time that it was planned at; give --at", path.display())]
    NoTime { path: PathBuf },
    #[error("failed to write the plan")]
    Write(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Plans; an unlawful plan is a failure, and every law that it breaks is told.
pub(crate) fn run(args: &PlanArgs, stdout: &mut dyn Write, stderr: &mut dyn Write) -> Result<Outcome, CommandError> {
    let (snapshot, now) = read(args)?;
    let plan = plan(&snapshot, now);
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| PlanError::Write(error);
    match args.output {
        Output::Table => writeln!(stdout, "{}", table::render(&snapshot, &plan, false))?,
        Output::Wide => writeln!(stdout, "{}", table::render(&snapshot, &plan, true))?,
        Output::Json => {
            writeln!(stdout, "{}", serde_json::to_string_pretty(&plan).map_err(|error| failed(error.into()))?)?;
        }
        Output::Yaml => write!(stdout, "{}", serde_yaml::to_string(&plan).map_err(|error| failed(error.into()))?)?,
    }
    let violations = check(&snapshot, &plan, now);
    for violation in &violations {
        writeln!(stderr, "unlawful: {violation}")?;
    }
    Ok(if violations.is_empty() { Outcome::Done } else { Outcome::Failed })
}

/// The snapshot of a file and when it is to be planned: as the operator keeps it, or alone.
fn read(args: &PlanArgs) -> Result<(Snapshot, Timestamp), PlanError> {
    let path = args.file.as_path();
    let text = text(path).map_err(|source| PlanError::Read { path: path.to_owned(), source })?;
    let failed = |source| PlanError::Parse { path: path.to_owned(), source };
    let value: serde_json::Value = serde_json::from_str(&text).map_err(failed)?;
    let (snapshot, at) = if value.get("snapshot").is_some() {
        let Saved { at, snapshot, violations: _ } = serde_json::from_value(value).map_err(failed)?;
        (snapshot, Some(at))
    } else {
        (serde_json::from_value(value).map_err(failed)?, None)
    };
    let at = args.at.or(at).ok_or_else(|| PlanError::NoTime { path: path.to_owned() })?;
    Ok((snapshot, at))
}

fn text(path: &Path) -> io::Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(path)
}
