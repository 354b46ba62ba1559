//! Step 6: from an allocation to pods. Pure: the user's template stays raw JSON and is patched, so that what a newer
//! Kubernetes knows survives.

pub mod env;
mod nodes;
mod patch;
pub mod pod;
mod resources;
#[cfg(test)]
mod tests;
pub mod volumes;

use plimsoll_crds::TrainingJob;
use plimsoll_crds::training_job::Allocation;

use super::validate::Validated;
use crate::config::Config;

/// Everything that the pods of a revision are built from.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The job.
    pub job: &'a TrainingJob,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its specification, checked.
    pub validated: &'a Validated,
    /// The revision.
    pub allocation: &'a Allocation,
    /// Extended resource of the class.
    pub resource: &'a str,
    /// Where the predecessor's last complete checkpoint lies; empty at the first start.
    pub resume_dir: String,
    /// Settings.
    pub config: &'a Config,
}

/// Why a pod could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A part of the template has a form that Kubernetes would refuse.
    #[error("failed to build a pod from spec.template: {0} has the wrong form")]
    Form(&'static str),
    /// An amount cannot be read.
    #[error("failed to build a pod from spec.template: {0}")]
    Quantity(#[from] plimsoll_observe::quantity::QuantityError),
    /// What each accelerator brings cannot be read.
    #[error(transparent)]
    PerGpu(#[from] plimsoll_observe::TemplateError),
}

impl Plan<'_> {
    /// Name of the revision, and of its subdomain.
    pub fn revision_name(&self) -> String {
        plimsoll_observe::revision_name(self.name, super::memory::natural(self.allocation.revision))
    }

    /// Name of the pod at `index`.
    pub fn pod_name(&self, index: usize) -> String {
        plimsoll_observe::pod_name(self.name, super::memory::natural(self.allocation.revision), index)
    }
}

/// Folder in which a revision writes its checkpoints; empty without any.
pub fn checkpoint_dir(job: &TrainingJob, name: &str, revision: i32) -> String {
    let Some(checkpoint) = &job.spec.checkpoint else { return String::new() };
    format!("{}/{name}/r{revision}", checkpoint.path.trim_end_matches('/'))
}

/// Folder that a revision resumes from: that of the last checkpoint which was reported complete. A program that never
/// reports is pointed to its predecessor's folder, whose contents only it can judge.
pub fn resume_dir(job: &TrainingJob, name: &str, revision: i32) -> String {
    let progress = job.status.as_ref().and_then(|status| status.progress.as_ref());
    let reported = progress.and_then(|progress| progress.checkpoint_revision);
    let reports = progress.is_some_and(|progress| progress.reported_at.is_some());
    match reported {
        Some(from) => checkpoint_dir(job, name, from),
        None if revision > 1 && !reports => checkpoint_dir(job, name, revision - 1),
        None => String::new(),
    }
}
