//! `plimsoll size`: on how much a job fits, without a cluster.

mod classes;
mod json;
mod manifest;
mod table;

use std::io::Write;

use plimsoll_observe::size::{SpecError, job_spec};
use plimsoll_sizing::{ClassSpec, Estimate, Evidence, JobSpec, Menu, estimate, menu};
use thiserror::Error;

pub(crate) use classes::ClassArgument;

use crate::args::{Output, SizeArgs};
use crate::{CommandError, Outcome};

/// Why a job cannot be sized.
#[derive(Debug, Error)]
pub(crate) enum SizeError {
    #[error(transparent)]
    Manifest(#[from] manifest::ManifestError),
    #[error("failed to read TrainingJob {name}")]
    Spec {
        name: String,
        #[source]
        source: SpecError,
    },
    #[error("failed to find the class {name} in the catalogue; known: {}", classes::known())]
    UnknownClass { name: String },
    #[error("failed to print JSON")]
    Json(#[source] serde_json::Error),
}

/// A job with everything that was found out about it.
struct Sized {
    name: String,
    job: JobSpec,
    classes: Vec<ClassSpec>,
    menu: Menu,
    explained: Option<Estimate>,
}

/// Sizes every TrainingJob of a file.
pub(crate) fn run(args: &SizeArgs, stdout: &mut dyn Write, stderr: &mut dyn Write) -> Result<Outcome, CommandError> {
    let jobs = manifest::read(&args.file).map_err(SizeError::from)?;
    let mut sized = Vec::new();
    for job in jobs {
        sized.push(size(args, job, stderr)?);
    }
    match args.output {
        Output::Table => {
            for (at, one) in sized.iter().enumerate() {
                if at > 0 {
                    writeln!(stdout)?;
                }
                write!(stdout, "{}", table::render(one))?;
            }
        }
        Output::Json => writeln!(stdout, "{}", json::render(&sized).map_err(SizeError::Json)?)?,
    }
    let all_fit = sized.iter().all(|one| !one.menu.candidates.is_empty());
    Ok(if all_fit { Outcome::Done } else { Outcome::DoesNotFit })
}

fn size(args: &SizeArgs, manifest: manifest::Job, stderr: &mut dyn Write) -> Result<Sized, CommandError> {
    let manifest::Job { name, spec } = manifest;
    let job = job_spec(&spec).map_err(|source| SizeError::Spec { name: name.clone(), source })?;
    let classes = classes::resolve(&job, &args.classes)?;
    for class in classes.iter().filter(|class| !job.allows(&class.name)) {
        writeln!(stderr, "note: {name} does not name class {} in accelerators.classes", class.name)?;
    }
    let menu = menu(&job, &classes, &Evidence::default(), None);
    let explained = menu.candidates.first().filter(|_| args.explain).and_then(|first| {
        let class = classes.iter().find(|class| class.name == first.shape.class)?;
        Some(estimate(&job, class, &first.shape, &first.layout, &first.batch))
    });
    Ok(Sized { name, job, classes, menu, explained })
}
