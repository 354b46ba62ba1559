//! What goes wrong in a real cluster, by seed.

use crate::random::Random;
use crate::workload::Submission;

/// Disturbances of a simulation. [`World::CALM`] has none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct World {
    /// Seed of everything below.
    pub seed: u64,
    /// Seconds that a start on any node takes beyond restoring: pulling the image, joining the ring.
    pub startup_seconds: f64,
    /// Hours between two failures of one GPU, on average; each throws its job back to its last checkpoint. Infinite for none.
    pub gpu_hours_between_failures: f64,
    /// Seconds of running between two checkpoints; a planned stop takes one first.
    pub checkpoint_seconds: f64,
    /// Spread of the logarithm of a measured step time around the truth.
    pub noise: f64,
    /// Share of jobs that their users cancel, somewhere evenly between start and end.
    pub cancelled: f64,
    /// Share of jobs that ask for half or for twice the GPUs that they should.
    pub wrong_requests: f64,
}

impl World {
    /// Nothing goes wrong.
    pub const CALM: Self = Self {
        seed: 0,
        startup_seconds: 0.0,
        gpu_hours_between_failures: f64::INFINITY,
        checkpoint_seconds: 0.0,
        noise: 0.0,
        cancelled: 0.0,
        wrong_requests: 0.0,
    };

    /// A real cluster: three in ten jobs do not end by themselves (Philly, Jeon et al., ATC 2019, and Acme, Hu et al., NSDI 2024,
    /// have 30 to 43 %), a GPU fails once in 2000 hours, an image takes 20 s, a checkpoint is ten minutes old at most.
    pub const fn real(seed: u64) -> Self {
        Self {
            seed,
            startup_seconds: 20.0,
            gpu_hours_between_failures: 2000.0,
            checkpoint_seconds: 600.0,
            noise: 0.05,
            cancelled: 0.3,
            wrong_requests: 0.3,
        }
    }

    /// The workload as its users would have submitted it.
    pub fn distort(&self, workload: &[Submission]) -> Vec<Submission> {
        let asked = |(at, submission): (usize, &Submission)| {
            let mut random = Random::new(&[self.seed, 1, at as u64]);
            let wrong = random.unit() < self.wrong_requests;
            let gpus = match (wrong, random.unit() < 0.5) {
                (false, _) => submission.gpus,
                (true, true) => (submission.gpus / 2).max(1),
                (true, false) => (submission.gpus * 2).min(64),
            };
            // What has a fixed size has no other.
            let gpus = if submission.steps.is_some() { submission.gpus } else { gpus };
            Submission { gpus, ..submission.clone() }
        };
        workload.iter().enumerate().map(asked).collect()
    }

    /// The share of its work after which a job is cancelled; 1 for one that is not.
    pub(crate) fn cancelled_after(&self, job: usize) -> f64 {
        let mut random = Random::new(&[self.seed, 2, job as u64]);
        if random.unit() < self.cancelled { random.unit() } else { 1.0 }
    }

    /// Whether one of a job's GPUs fails in some seconds from `now`.
    pub(crate) fn fails(&self, job: usize, gpus: u32, now: f64, seconds: f64) -> bool {
        if self.gpu_hours_between_failures.is_infinite() {
            return false;
        }
        let expected = f64::from(gpus) * seconds / 3600.0 / self.gpu_hours_between_failures;
        Random::new(&[self.seed, 3, job as u64, now.to_bits()]).unit() < 1.0 - (-expected).exp()
    }

    /// The factor of a measurement: log-normal.
    pub(crate) fn measured(&self, job: usize, at: u64) -> f64 {
        if self.noise <= 0.0 {
            return 1.0;
        }
        (self.noise * Random::new(&[self.seed, 4, job as u64, at]).normal()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_distorts_in_the_same_way_and_a_calm_world_not_at_all() {
        let job =
            |gpus| Submission { name: "a".to_owned(), application: "b".to_owned(), gpus, ..Submission::default() };
        let workload: Vec<Submission> = (1..40).map(job).collect();
        assert_eq!(World::CALM.distort(&workload), workload);
        assert_eq!(World::real(3).distort(&workload), World::real(3).distort(&workload));
        assert_ne!(World::real(3).distort(&workload), workload);
    }

    #[test]
    fn noise_is_around_one() {
        let world = World::real(1);
        let mean = (0..4000).map(|at| world.measured(0, at).ln()).sum::<f64>() / 4000.0;
        assert!(mean.abs() < 0.005, "{mean}");
    }
}
