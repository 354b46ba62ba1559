//! Rates that are worked out once for all rounds in which nothing was learned.

use std::collections::BTreeMap;

use crate::job::Job;

/// Rates of a list of sizes, by job.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cache {
    known: BTreeMap<usize, (u64, Vec<Option<f64>>)>,
}

impl Cache {
    /// The rates of a job, by `work_out` where it has learned something since.
    pub(crate) fn rates(&mut self, job: &Job, work_out: impl FnOnce() -> Vec<Option<f64>>) -> &[Option<f64>] {
        let entry = self.known.entry(job.id).or_insert_with(|| (u64::MAX, Vec::new()));
        if entry.0 != job.version {
            *entry = (job.version, work_out());
        }
        &entry.1
    }

    /// Forgets who is not in the list.
    pub(crate) fn keep(&mut self, jobs: &[&Job]) {
        self.known.retain(|id, _| jobs.iter().any(|job| job.id == *id));
    }
}
