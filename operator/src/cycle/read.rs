//! Jobs as the watch shows them, each copied once: one that has not changed stays the same object. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use kube::core::DeserializeGuard;
use plimsoll_crds::TrainingJob;

/// What a watch shows of a job, or why it cannot be read.
type Guarded = DeserializeGuard<TrainingJob>;

/// Jobs by the address of what they were read from, which is kept so that nothing else can be put there.
#[derive(Debug, Default)]
pub(super) struct Read(HashMap<usize, (Arc<Guarded>, Option<Arc<TrainingJob>>)>);

impl Read {
    /// Those of the jobs that can be read. One that cannot is told once.
    pub(super) fn jobs(&mut self, shown: &[Arc<Guarded>]) -> Vec<Arc<TrainingJob>> {
        let mut before = std::mem::take(&mut self.0);
        self.0 = shown
            .iter()
            .map(|guarded| {
                let address = Arc::as_ptr(guarded).addr();
                (address, before.remove(&address).unwrap_or_else(|| (guarded.clone(), read(guarded))))
            })
            .collect();
        shown.iter().filter_map(|guarded| self.0.get(&Arc::as_ptr(guarded).addr())?.1.clone()).collect()
    }
}

fn read(guarded: &Guarded) -> Option<Arc<TrainingJob>> {
    match &guarded.0 {
        Ok(job) => Some(Arc::new(job.clone())),
        Err(invalid) => {
            let name = invalid.metadata.name.as_deref().unwrap_or_default();
            tracing::warn!(name, error = invalid.error, "a TrainingJob cannot be read and is left alone");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_has_not_changed_is_the_same_object() {
        let shown = || Arc::new(DeserializeGuard(Ok(TrainingJob::default())));
        let (mut read, one) = (Read::default(), shown());
        let first = read.jobs(std::slice::from_ref(&one));
        assert!(Arc::ptr_eq(&first[0], &read.jobs(&[shown(), one.clone()])[1]));
        assert_eq!(read.jobs(&[]), []);
    }
}
