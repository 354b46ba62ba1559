//! `plimsoll size`: on how much a job fits, without a cluster.

mod ask;
mod batch;
mod classes;
mod cost;
mod document;
mod manifest;
mod plot;
mod table;

use std::io::Write;

use plimsoll_observe::optimality::{self, Optimality};
use plimsoll_observe::size::{SpecError, job_spec};
use plimsoll_sizing::economy::Bill;
use plimsoll_sizing::optimum::NotApplicable;
use plimsoll_sizing::{Candidate, ClassSpec, Estimate, Evidence, JobSpec, Menu, estimate, menu};
use thiserror::Error;

pub(crate) use ask::Gpus;
pub(crate) use classes::ClassArgument;
pub(crate) use cost::{Price, overhead, positive};

use self::cost::Terms;
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
    #[error("failed to read --price: the job is sized for no class {name}")]
    Price { name: String },
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
    /// What the whole run takes with each candidate, where it is known how much data there is.
    bills: Option<Vec<Bill>>,
    /// Whether bills count carbon.
    counts_carbon: bool,
    /// Whether model and data fit each other, where it is known how much data there is.
    optimality: Option<Result<Optimality, NotApplicable>>,
    /// What else there is to say of the job, in sentences.
    notes: Vec<String>,
}

impl Sized {
    /// Tokens per second of a job with sequences, else samples per second.
    fn rate(&self, step_seconds: f64) -> f64 {
        f64::from(self.job.global_batch) * f64::from(self.job.sequence_length) / step_seconds
    }

    /// The class of a candidate.
    fn class(&self, candidate: &Candidate) -> Option<&ClassSpec> {
        class_of(&self.classes, candidate)
    }
}

fn class_of<'a>(classes: &'a [ClassSpec], candidate: &Candidate) -> Option<&'a ClassSpec> {
    classes.iter().find(|class| class.name == candidate.shape.class)
}

/// Sizes every TrainingJob of a file.
pub(crate) fn run(args: &SizeArgs, stdout: &mut dyn Write, stderr: &mut dyn Write) -> Result<Outcome, CommandError> {
    let jobs = match (&args.file, &args.hugging_face, &args.preset) {
        (Some(file), ..) => manifest::read(file).map_err(SizeError::from)?,
        (_, Some(config), _) => vec![ask::about_config(config, args).map_err(SizeError::from)?],
        (_, _, Some(name)) => vec![ask::about_preset(name, args).map_err(SizeError::from)?],
        // The command line lets one of the three be given.
        (None, None, None) => Vec::new(),
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
    let mut classes = classes::resolve(&job, &args.classes, &args.gpus)?;
    cost::price(&mut classes, &args.site.prices)?;
    for class in classes.iter().filter(|class| !job.allows(&class.name)) {
        writeln!(stderr, "note: {name} does not name class {} in accelerators.classes", class.name)?;
    }
    let menu = menu(&job, &classes, &Evidence::default(), None);
    let first = menu.candidates.first();
    let explained = first.filter(|_| args.explain).and_then(|first| {
        let class = class_of(&classes, first)?;
        Some(estimate(&job, class, &first.shape, &first.layout, &first.batch))
    });
    let terms = Terms::new(&args.site, spec.checkpoint.as_ref().map(|checkpoint| checkpoint.seconds));
    let knows_data = args.file.is_some() || args.training.tokens.is_some() || args.training.samples.is_some();
    let data = Some(optimality::data(&spec, &job)).filter(|_| knows_data);
    let samples = data.map(|data| data.tokens() / f64::from(job.sequence_length));
    let bill = |candidate, samples| Some(terms.bill(candidate, class_of(&classes, candidate)?, samples));
    let bills = samples.and_then(|samples| menu.candidates.iter().map(|one| bill(one, samples)).collect());
    let optimality = data.map(|_| optimality::optimality(&spec, &job));
    let mut notes: Vec<String> = first.and_then(|first| terms.checkpoints(first)).into_iter().collect();
    if let Some(Ok(optimality)) = &optimality {
        notes.extend(batch::notes(&job, optimality));
    }
    let counts_carbon = terms.counts_carbon();
    Ok(Sized { name, job, classes, menu, explained, bills, counts_carbon, optimality, notes })
}
