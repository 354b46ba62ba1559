//! What went wrong: jobs that were cancelled or failed, GPUs that failed, requests that were wrong.

use plimsoll_simulator::workload::{Fate, Submission};

use super::Run;

/// Names of the columns.
pub(super) const HEADER: [&str; 7] =
    ["POLICY", "COMPLETED", "CANCELLED", "FAILED", "GPU FAILURES", "ASKED FOR TOO MUCH", "ASKED FOR TOO LITTLE"];

/// Jobs whose users asked for more GPUs than they should have, and for fewer, as indices.
pub(super) struct Requests {
    much: Vec<usize>,
    little: Vec<usize>,
}

impl Requests {
    /// Of jobs as they should have been submitted, and as they were.
    pub(super) fn between(right: &[Submission], asked: &[Submission]) -> Self {
        let all = || right.iter().zip(asked).enumerate();
        let which = |test: fn(u32, u32) -> bool| {
            all().filter(|(_, (right, asked))| test(asked.gpus, right.gpus)).map(|(at, _)| at).collect()
        };
        Self { much: which(|asked, right| asked > right), little: which(|asked, right| asked < right) }
    }
}

/// Counts of a run, and the mean completion time of those with wrong requests.
pub(super) fn cells(run: &Run, requests: &Requests) -> [String; 7] {
    let jobs = &run.simulated.jobs;
    let ended = |fate: Fate| jobs.iter().filter(|job| job.fate == fate).count().to_string();
    let failures: u32 = jobs.iter().map(|job| job.failures).sum();
    let wrong = |which: &[usize]| {
        let times: Vec<f64> =
            which.iter().filter_map(|at| Some(jobs.get(*at)?.completion_seconds() / 3600.0)).collect();
        match times.len() {
            0 => "-".to_owned(),
            count => format!("{count}, {:.2} h", times.iter().sum::<f64>() / count as f64),
        }
    };
    [
        run.simulated.policy.clone(),
        ended(Fate::Completed),
        ended(Fate::Cancelled),
        ended(Fate::Failed),
        failures.to_string(),
        wrong(&requests.much),
        wrong(&requests.little),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_wrong_in_two_ways() {
        let job = |gpus| Submission { gpus, ..Submission::default() };
        let requests = Requests::between(&[job(2), job(2), job(2)], &[job(4), job(2), job(1)]);
        assert_eq!((requests.much, requests.little), (vec![0], vec![2]));
    }
}
