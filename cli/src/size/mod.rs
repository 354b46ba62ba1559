//! `plimsoll size`: on how much a job fits, without a cluster.

mod ask;
mod classes;
mod document;
mod manifest;
mod plot;
mod table;

use std::io::Write;

use plimsoll_observe::size::{SpecError, job_spec};
use plimsoll_sizing::optimum::{Data, NotApplicable, Verdict, judge};
use plimsoll_sizing::{ClassSpec, Estimate, Evidence, JobSpec, Menu, estimate, menu};
use thiserror::Error;

pub(crate) use ask::Gpus;
pub(crate) use classes::ClassArgument;

use crate::args::{Output, SizeArgs};
use crate::{CommandError, Outcome};

/// Why a job cannot be sized.
#[derive(Debug, Error)]
pub(crate) enum SizeError {
    #[error(transparent)]
    Manifest(#[from] manifest::ManifestError),
    #[error(transparent)]
    Ask(#[from] ask::AskError),
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
    #[error("failed to print YAML")]
    Yaml(#[source] serde_yaml::ser::Error),
    #[error(transparent)]
    Plot(#[from] plot::PlotError),
}

/// A job with everything that was found out about it.
struct Sized {
    name: String,
    job: JobSpec,
    classes: Vec<ClassSpec>,
    menu: Menu,
    explained: Option<Estimate>,
    /// Samples of one pass over the data, where the manifest says so.
    epoch_samples: Option<f64>,
    /// Whether model and data fit each other, where the manifest says how many tokens there are.
    optimality: Option<Result<Verdict, NotApplicable>>,
}

impl Sized {
    /// Tokens per second of a job with sequences, else samples per second.
    fn rate(&self, step_seconds: f64) -> f64 {
        f64::from(self.job.global_batch) * f64::from(self.job.sequence_length) / step_seconds
    }
}

/// Sizes every TrainingJob of a file.
pub(crate) fn run(args: &SizeArgs, stdout: &mut dyn Write, stderr: &mut dyn Write) -> Result<Outcome, CommandError> {
    let jobs = match (&args.file, &args.hugging_face) {
        (_, Some(config)) => vec![ask::job(config, args).map_err(SizeError::from)?],
        (Some(file), None) => manifest::read(file).map_err(SizeError::from)?,
        // The command line lets one of the two be given.
        (None, None) => Vec::new(),
    };
    let mut sized = Vec::new();
    for job in jobs {
        sized.push(size(args, job, stderr)?);
    }
    match args.output {
        Output::Table | Output::Wide => {
            for (at, one) in sized.iter().enumerate() {
                if at > 0 {
                    writeln!(stdout)?;
                }
                write!(stdout, "{}", table::render(one, args.output == Output::Wide))?;
            }
        }
        Output::Json => writeln!(stdout, "{}", document::json(&sized).map_err(SizeError::Json)?)?,
        Output::Yaml => write!(stdout, "{}", document::yaml(&sized).map_err(SizeError::Yaml)?)?,
    }
    if let Some(path) = &args.plot {
        plot::draw(&sized, path).map_err(SizeError::from)?;
    }
    let all_fit = sized.iter().all(|one| !one.menu.candidates.is_empty());
    Ok(if all_fit { Outcome::Done } else { Outcome::DoesNotFit })
}

fn size(args: &SizeArgs, manifest: manifest::Job, stderr: &mut dyn Write) -> Result<Sized, CommandError> {
    let manifest::Job { name, spec } = manifest;
    let job = job_spec(&spec).map_err(|source| SizeError::Spec { name: name.clone(), source })?;
    let classes = classes::resolve(&job, &args.classes, &args.gpus)?;
    for class in classes.iter().filter(|class| !job.allows(&class.name)) {
        writeln!(stderr, "note: {name} does not name class {} in accelerators.classes", class.name)?;
    }
    let menu = menu(&job, &classes, &Evidence::default(), None);
    let explained = menu.candidates.first().filter(|_| args.explain).and_then(|first| {
        let class = classes.iter().find(|class| class.name == first.shape.class)?;
        Some(estimate(&job, class, &first.shape, &first.layout, &first.batch))
    });
    let data = spec.data.tokens.map(|tokens| Data::fresh(tokens as f64));
    let optimality = data.map(|data| judge(&job.model, job.method, data));
    let samples = spec.data.samples.map(|samples| samples as f64);
    let tokens = spec.data.tokens.map(|tokens| tokens as f64 / f64::from(job.sequence_length));
    let epoch_samples = samples.or(tokens).filter(|_| args.file.is_some());
    Ok(Sized { name, job, classes, menu, explained, epoch_samples, optimality })
}
