//! What was written a moment ago and the watch has not shown yet. Pure.
//!
//! Without it a cycle could see devices as free that the cycle before gave away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::ResourceExt as _;
use plimsoll_crds::TrainingJob;

/// Jobs as they were written, by UID, until the watch shows them or something newer.
#[derive(Clone, Debug, Default)]
pub struct Assumed(BTreeMap<String, Written>);

#[derive(Clone, Debug)]
struct Written {
    job: Arc<TrainingJob>,
    /// Versions that this one came after.
    older: BTreeSet<String>,
}

impl Assumed {
    /// The newest of what the watch shows and what was written.
    pub fn newest(&mut self, shown: &Arc<TrainingJob>) -> Arc<TrainingJob> {
        let uid = shown.uid().unwrap_or_default();
        let version = shown.resource_version().unwrap_or_default();
        match self.0.get(&uid) {
            Some(written) if written.older.contains(&version) => written.job.clone(),
            Some(_) => {
                self.0.remove(&uid);
                shown.clone()
            }
            None => shown.clone(),
        }
    }

    /// Remembers that `new` was written over `old`.
    pub fn write(&mut self, old: &TrainingJob, new: Arc<TrainingJob>) {
        let version = old.resource_version().unwrap_or_default();
        // A write that changed nothing leaves the version as it was; the watch will show nothing newer.
        if new.resource_version().as_deref() == Some(&version) {
            return;
        }
        let uid = new.uid().unwrap_or_default();
        let mut older = self.0.remove(&uid).map(|written| written.older).unwrap_or_default();
        older.insert(version);
        self.0.insert(uid, Written { job: new, older });
    }

    /// Forgets jobs that `keep` does not name.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|uid, _| keep(uid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(version: &str) -> Arc<TrainingJob> {
        let mut job = TrainingJob::default();
        job.metadata.uid = Some("u".into());
        job.metadata.resource_version = Some(version.into());
        Arc::new(job)
    }

    fn seen(assumed: &mut Assumed, version: &str) -> String {
        assumed.newest(&job(version)).resource_version().unwrap()
    }

    #[test]
    fn what_was_written_holds_until_the_watch_shows_it_or_something_newer() {
        let mut assumed = Assumed::default();
        assumed.write(&job("1"), job("2"));
        assumed.write(&job("2"), job("3"));
        assert_eq!(seen(&mut assumed, "1"), "3");
        assert_eq!(seen(&mut assumed, "2"), "3");
        assert_eq!(seen(&mut assumed, "3"), "3");
        assert_eq!(seen(&mut assumed, "4"), "4");
    }

    #[test]
    fn somebody_else_s_write_goes_over_ours() {
        let mut assumed = Assumed::default();
        assumed.write(&job("1"), job("2"));
        assert_eq!(seen(&mut assumed, "5"), "5");
    }

    #[test]
    fn a_write_that_changed_nothing_is_not_waited_for() {
        let mut assumed = Assumed::default();
        assumed.write(&job("1"), job("1"));
        assert_eq!(seen(&mut assumed, "1"), "1");
    }
}
