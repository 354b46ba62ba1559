//! Who decides: Plimsoll's planner and its peers' policies.

mod gavel;
mod gavel_packed;
mod lucid;
mod named;
mod optimus;
mod plimsoll;
mod pollux;
mod rigid;
mod sia;
mod tiresias;

use crate::cluster::{Allocation, Cluster};
use crate::job::Job;
use crate::profile::{Application, Catalogue};
use crate::rules::Rules;

pub use gavel::Gavel;
pub use gavel_packed::GavelPacked;
pub use lucid::Lucid;
pub use named::{NAMES, by_name};
pub use optimus::Optimus;
pub use plimsoll::{Information, Plimsoll, dollars};
pub use pollux::Pollux;
pub use rigid::{Order, Rigid};
pub use sia::Sia;
pub use tiresias::Tiresias;

/// What a policy may look at.
pub struct View<'a> {
    /// Virtual time, in seconds.
    pub now: f64,
    /// The cluster.
    pub cluster: &'a Cluster,
    /// What applications truly do: for policies with an oracle, and for what a policy may know of an application.
    pub catalogue: &'a Catalogue,
    /// The rules.
    pub rules: &'a Rules,
    /// Jobs that were submitted and have not ended, in the order of the workload.
    pub jobs: Vec<&'a Job>,
}

impl View<'_> {
    /// The application of a job.
    pub fn application(&self, job: &Job) -> &Application {
        &self.catalogue.applications()[job.application]
    }
}

/// Decides, at every round, who holds what.
pub trait Policy {
    /// Its name.
    fn name(&self) -> &str;

    /// Seconds of a round.
    fn round_seconds(&self) -> f64 {
        60.0
    }

    /// Whether jobs choose their own batch under it, or keep the one that was asked for.
    fn elastic(&self) -> bool;

    /// Who stands on whose GPUs by the last plan: pairs of jobs, as [`Job::id`], that the plan gives the same allocation.
    fn packed(&self) -> Vec<[usize; 2]> {
        Vec::new()
    }

    /// What each job of the view, in its order, holds until the next round.
    fn plan(&mut self, view: &View<'_>) -> Vec<Option<Allocation>>;
}
