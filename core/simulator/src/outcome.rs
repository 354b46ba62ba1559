//! What a simulation came to, and the figures drawn from it (rule 13).

use crate::job::Job;
use crate::states::GpuSeconds;
use crate::workload::Fate;

/// One job at its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// Its name.
    pub name: String,
    /// Its application.
    pub application: String,
    /// GPUs that its user asked for.
    pub gpus: u32,
    /// Steps that it was submitted with, where its size is fixed.
    pub steps: Option<f64>,
    /// How it ended: as its trace says, or cancelled by the world.
    pub fate: Fate,
    /// Failures of its GPUs.
    pub failures: u32,
    /// When it was submitted, in seconds.
    pub submitted_at: f64,
    /// When it was done, in seconds.
    pub completed_at: f64,
    /// Restarts; the first start is none.
    pub restarts: u32,
    /// GPU-seconds held.
    pub held_gpu_seconds: f64,
    /// Of those, what went into starts and restarts.
    pub restoring_gpu_seconds: f64,
    /// The same GPU-seconds held, by state.
    pub gpu_seconds: GpuSeconds,
}

impl Ended {
    pub(crate) fn of(job: Job) -> Self {
        Self {
            completed_at: job.completed_at.unwrap_or(f64::INFINITY),
            fate: if job.cancelled { Fate::Cancelled } else { job.submission.fate },
            failures: job.failures,
            gpus: job.submission.gpus,
            steps: job.submission.steps,
            name: job.submission.name,
            application: job.submission.application,
            submitted_at: job.submission.at_seconds,
            restarts: job.restarts,
            held_gpu_seconds: job.held_gpu_seconds,
            restoring_gpu_seconds: job.restoring_gpu_seconds,
            gpu_seconds: job.gpu_seconds,
        }
    }

    /// Seconds from submission to completion, queueing included.
    pub fn completion_seconds(&self) -> f64 {
        self.completed_at - self.submitted_at
    }
}

/// One round.
#[derive(Clone, Debug, PartialEq)]
pub struct Round {
    /// The boundary that it starts at, in seconds.
    pub at_seconds: f64,
    /// How long it is.
    pub seconds: f64,
    /// Jobs that were submitted and have not ended.
    pub active: usize,
    /// Of those, jobs without GPUs.
    pub waiting: usize,
    /// GPUs held, by kind.
    pub held: Vec<u32>,
    /// GPUs whose jobs are still restoring.
    pub restoring: u32,
}

/// What a simulation came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The policy.
    pub policy: String,
    /// The jobs, in the order of the workload.
    pub jobs: Vec<Ended>,
    /// The rounds in which there was any job.
    pub rounds: Vec<Round>,
}

/// The figures of an outcome. Times are in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Mean time from submission to completion.
    pub average_seconds: f64,
    /// The 99th percentile of the same: `sorted[⌊0.99 n⌋]`.
    pub p99_seconds: f64,
    /// From the first submission to the last completion.
    pub makespan_seconds: f64,
    /// GPU-hours held per job, counted at the boundaries.
    pub gpu_hours_per_job: f64,
    /// Restarts per job.
    pub restarts_per_job: f64,
    /// Active jobs, mean over the rounds.
    pub contention: f64,
    /// Active jobs at most.
    pub most_contention: f64,
    /// Share of GPU-seconds held that went into starts and restarts.
    pub restoring_share: f64,
}

impl Outcome {
    /// The figures.
    pub fn figures(&self) -> Figures {
        let count = self.jobs.len().max(1) as f64;
        let mut times: Vec<f64> = self.jobs.iter().map(Ended::completion_seconds).collect();
        times.sort_by(f64::total_cmp);
        let p99_at = ((0.99 * times.len() as f64) as usize).min(times.len().saturating_sub(1));
        let first = self.jobs.iter().map(|job| job.submitted_at).fold(f64::INFINITY, f64::min);
        let last = self.jobs.iter().map(|job| job.completed_at).fold(0.0, f64::max);
        let held = |round: &Round| f64::from(round.held.iter().sum::<u32>()) * round.seconds;
        let all_held: f64 = self.jobs.iter().map(|job| job.held_gpu_seconds).sum();
        let restoring: f64 = self.jobs.iter().map(|job| job.restoring_gpu_seconds).sum();
        Figures {
            average_seconds: times.iter().sum::<f64>() / count,
            p99_seconds: times.get(p99_at).copied().unwrap_or(0.0),
            makespan_seconds: (last - first).max(0.0),
            gpu_hours_per_job: self.rounds.iter().map(held).sum::<f64>() / 3600.0 / count,
            restarts_per_job: self.jobs.iter().map(|job| f64::from(job.restarts)).sum::<f64>() / count,
            contention: self.rounds.iter().map(|round| round.active as f64).sum::<f64>()
                / self.rounds.len().max(1) as f64,
            most_contention: self.rounds.iter().map(|round| round.active as f64).fold(0.0, f64::max),
            restoring_share: if all_held > 0.0 { restoring / all_held } else { 0.0 },
        }
    }
}
