//! What GPU-seconds went into: each in exactly one of seven states.

use crate::cluster::Cluster;
use crate::outcome::Outcome;

/// The line below which a held GPU is under-used: the share of its time that it is busy.
pub(crate) const LINE: f64 = 0.6;

/// GPU-seconds by state, as Plimsoll's agents report them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GpuSeconds {
    /// Of GPUs that nobody could have had. No GPU of a simulation is ever away for longer than the restart of its job.
    pub unavailable: f64,
    /// Held by nobody.
    pub free: f64,
    /// Held without a step: starts, restarts, and what is left of a round after a job's end.
    pub held_idle: f64,
    /// Held by a job that is busy for less than 60 % of its time.
    pub held_under: f64,
    /// Held and used well.
    pub held_in_band: f64,
    /// Held by two jobs that slow each other down.
    pub held_over: f64,
    /// Held by a job of which nobody knows how busy it is: its profile has one batch alone.
    pub held_unknown: f64,
}

impl GpuSeconds {
    /// Names of the states, in the order of [`GpuSeconds::values`].
    pub const NAMES: [&str; 7] =
        ["unavailable", "free", "held_idle", "held_under", "held_in_band", "held_over", "held_unknown"];

    /// The seconds, by state.
    pub fn values(&self) -> [f64; 7] {
        let Self { unavailable, free, held_idle, held_under, held_in_band, held_over, held_unknown } = *self;
        [unavailable, free, held_idle, held_under, held_in_band, held_over, held_unknown]
    }

    /// Adds seconds of a job that makes progress: busy for a share of its time where that is known, slowed down by a partner or not.
    pub(crate) fn run(&mut self, gpu_seconds: f64, busy: Option<f64>, slowed: bool) {
        let state = match busy {
            _ if slowed => &mut self.held_over,
            None => &mut self.held_unknown,
            Some(busy) if busy < LINE => &mut self.held_under,
            Some(_) => &mut self.held_in_band,
        };
        *state += gpu_seconds;
    }

    fn add(&mut self, other: &Self) {
        self.unavailable += other.unavailable;
        self.free += other.free;
        self.held_idle += other.held_idle;
        self.held_under += other.held_under;
        self.held_in_band += other.held_in_band;
        self.held_over += other.held_over;
        self.held_unknown += other.held_unknown;
    }

    /// Of all jobs and of the GPUs that none of them held, from the first round to the last.
    pub fn of(outcome: &Outcome, cluster: &Cluster) -> Self {
        let mut all = Self::default();
        outcome.jobs.iter().for_each(|job| all.add(&job.gpu_seconds));
        let capacity = f64::from(cluster.gpus());
        for round in &outcome.rounds {
            all.free += round.seconds * (capacity - f64::from(round.held.iter().sum::<u32>()));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::by_name;
    use crate::profile::Catalogue;
    use crate::workload::Submission;
    use crate::{Rules, builtin, simulate, workload};

    #[test]
    fn every_gpu_second_is_in_one_state_under_every_kind_of_policy() {
        let cluster: Cluster = "t4=4x4".parse().unwrap();
        let catalogue = Catalogue::read(&builtin::profiles(), &["t4".to_owned()]).unwrap();
        let (name, text) = builtin::WORKLOADS[1];
        let jobs = workload::read_csv(name, text).unwrap().into_iter().take(12);
        let jobs: Vec<_> = jobs.map(|job| Submission { gpus: job.gpus.min(16), ..job }).collect();
        for policy in ["plimsoll-b", "tiresias", "lucid", "gavel-packed"] {
            let mut policy = by_name(policy, 0.0, 1).unwrap();
            let outcome = simulate(&jobs, &cluster, &catalogue, policy.as_mut(), &Rules::real(1)).unwrap();
            let states = GpuSeconds::of(&outcome, &cluster);
            let seconds: f64 = outcome.rounds.iter().map(|round| round.seconds).sum();
            let sum: f64 = states.values().iter().sum();
            assert!((sum - 16.0 * seconds).abs() < 1e-6 * sum, "{}: {states:?} of {seconds} s", outcome.policy);
            assert!(states.held_in_band > 0.0 && states.held_idle > 0.0, "{states:?}");
        }
    }
}
