//! TrainingJobs out of a YAML or JSON file.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use plimsoll_crds::{GROUP, TrainingJob, TrainingJobSpec};
use serde_json::Value;
use thiserror::Error;

/// Why a file holds no job.
#[derive(Debug, Error)]
pub(crate) enum ManifestError {
    #[error("failed to read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("failed to parse {}", path.display())]
    Parse {
        path: PathBuf,
        #[source]
        source: Box<serde_yaml::Error>,
    },
    #[error("failed to read TrainingJob {name} of {}", path.display())]
    Job {
        path: PathBuf,
        name: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("failed to find a TrainingJob of {GROUP} in {}", path.display())]
    Empty { path: PathBuf },
}

/// A job as it was written.
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) spec: TrainingJobSpec,
}

/// Every TrainingJob of a file, in its order; other objects are passed over.
pub(crate) fn read(path: &Path) -> Result<Vec<Job>, ManifestError> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    let path = path.to_owned();
    let text = text.map_err(|source| ManifestError::Read { path: path.clone(), source })?;
    // kubectl reads YAML 1.1, where 0777 is octal.
    let options = serde_yaml::options! { legacy_octal_numbers: true };
    let documents: Vec<Value> = serde_yaml::from_multiple_with_options(&text, options)
        .map_err(|source| ManifestError::Parse { path: path.clone(), source: Box::new(source) })?;
    let jobs: Vec<Job> =
        documents.into_iter().filter(is_training_job).map(|document| job(&path, document)).collect::<Result<_, _>>()?;
    if jobs.is_empty() { Err(ManifestError::Empty { path }) } else { Ok(jobs) }
}

fn is_training_job(document: &Value) -> bool {
    let text = |field| document.get(field).and_then(Value::as_str).unwrap_or_default();
    let ours = text("apiVersion").split_once('/').is_some_and(|(group, _)| group == GROUP);
    ours && text("kind") == "TrainingJob"
}

fn job(path: &Path, document: Value) -> Result<Job, ManifestError> {
    let metadata = |field| document.pointer(&format!("/metadata/{field}")).and_then(Value::as_str).map(str::to_owned);
    let name = metadata("name").or_else(|| metadata("generateName")).unwrap_or_else(|| "(unnamed)".to_owned());
    match serde_json::from_value::<TrainingJob>(document) {
        Ok(job) => Ok(Job { name, spec: job.spec }),
        Err(source) => Err(ManifestError::Job { path: path.to_owned(), name, source }),
    }
}
