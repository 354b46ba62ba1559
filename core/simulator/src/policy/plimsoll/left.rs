//! How much work a job has left whose total nobody declared.

use std::collections::BTreeMap;

/// Share of the work done, and seconds, that a running job is believed to have left at least, where the work of others is drawn from
/// it.
const LEFT_SHARE: f64 = 1.0;
const LEFT_SECONDS: f64 = 600.0;

/// The work that was seen so far, in seconds on one GPU of the kind that the job is fastest on.
#[derive(Clone, Debug, Default)]
pub(super) struct Works {
    ended: Vec<f64>,
    running: BTreeMap<usize, f64>,
}

impl Works {
    /// Those that are not among the active ones have ended.
    pub(super) fn keep(&mut self, active: &[usize]) {
        let gone: Vec<usize> = self.running.keys().copied().filter(|id| !active.contains(id)).collect();
        let gone: Vec<f64> = gone.iter().filter_map(|id| self.running.remove(id)).collect();
        self.ended.extend(gone);
    }

    /// What a job has left that has done so much: the mean of what others went on to do from there (mean residual life), with those
    /// that still run believed to go on for as long again.
    pub(super) fn left(&mut self, job: usize, done: f64) -> f64 {
        self.running.insert(job, done);
        let believed = self.running.values().map(|done| done + (LEFT_SHARE * done).max(LEFT_SECONDS));
        let beyond = self.ended.iter().copied().chain(believed).filter(|total| *total > done).map(|total| total - done);
        let (sum, count) = beyond.fold((0.0, 0.0), |(sum, count), left| (sum + left, count + 1.0));
        // The job itself is always one of them.
        sum / count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_outlived_the_short_ones_is_believed_to_be_a_long_one() {
        let mut works = Works::default();
        for id in 0..9 {
            works.left(id, 1000.0);
        }
        works.left(9, 50_000.0);
        works.keep(&[]);
        let early = works.left(10, 500.0);
        assert!((4500.0..5500.0).contains(&early), "{early}");
        works.keep(&[10]);
        assert!(works.left(10, 1001.0) > 4.0 * early);
    }
}
