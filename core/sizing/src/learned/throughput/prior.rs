//! What is believed of a job's step time before a step of it was seen.

use super::parameters::{COUNT, Parameters, at};

/// Spread of the logarithm of what nothing is known of: a factor of 20 either way is nothing strange.
const UNKNOWN: f64 = 3.0;

/// The same for compute that the size model predicted: a class of GPU or a framework that it was not fitted to is off by
/// up to 45 % in nine of ten cases.
const PREDICTED: f64 = 0.3;

/// Spread of the logarithm of seconds per gradient byte between jobs, where the class has not shown less.
const BANDWIDTH: f64 = 1.0;

/// Least spread taken from a few jobs: they may agree by chance.
const LEAST: f64 = 0.05;

/// Most spread taken from a few jobs.
const MOST: f64 = 1.5;

/// Fewest jobs whose spread says anything.
const JOBS: usize = 3;

/// What jobs on a class of one cluster have in common: mean and spread of each part of the parameter vector. The network
/// is stated in logarithms of seconds per gradient byte.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassHabits {
    mean: [f64; COUNT],
    spread: [f64; COUNT],
}

impl ClassHabits {
    /// What is known of a class when no job on it has been fitted: its network, in bytes per second and device, one
    /// direction.
    ///
    /// The shape of the curves is that of six training programs on 4-GPU nodes of T4 (petuum/adaptdl, branch
    /// osdi21-artifact, the profiles of the Pollux paper), rounded, with spreads that also cover the four other clusters
    /// of the Sia paper (SOSP 2023).
    pub fn of_network(network_bytes_per_second: f64) -> Self {
        let (mut mean, mut spread) = ([0.0; COUNT], [0.0; COUNT]);
        let mut set = |at: usize, value: f64, width: f64| (mean[at], spread[at]) = (value, width);
        set(at::FLOOR, 0.0, UNKNOWN);
        set(at::SAMPLE, 0.0, UNKNOWN);
        set(at::SHARPNESS, 0.0, 1.0);
        set(at::CROWDING, -3.0, 1.0);
        set(at::NODE, -1.5, 1.5);
        set(at::NODE_GROWTH, 0.5, 0.5);
        set(at::NETWORK, -network_bytes_per_second.max(1.0).ln(), BANDWIDTH);
        set(at::NETWORK_GROWTH, 0.2, 0.25);
        set(at::TWO_NODES, 0.3, 0.3);
        set(at::OVERLAP, 0.0, 1.0);
        Self { mean, spread }
    }

    /// The same, with what other jobs on the class have shown: their fitted parameters and the bytes of their gradients.
    ///
    /// Fewer than three jobs change nothing. Medians, so that one strange job does not move the others' prior.
    #[must_use]
    pub fn with_jobs(mut self, jobs: &[(Parameters, f64)]) -> Self {
        if jobs.len() < JOBS {
            return self;
        }
        for at in 0..COUNT {
            if matches!(at, at::FLOOR | at::SAMPLE) {
                continue;
            }
            let value = |(parameters, bytes): &(Parameters, f64)| {
                parameters.to_vector()[at] - if at == at::NETWORK { bytes.max(1.0).ln() } else { 0.0 }
            };
            let mut values: Vec<f64> = jobs.iter().map(value).collect();
            values.sort_by(f64::total_cmp);
            let median = values[values.len() / 2];
            // Of one more job, given so few: the variance between jobs, and that of their own middle.
            let jobs = values.len() as f64;
            let between = values.iter().map(|v| (v - median).powi(2)).sum::<f64>() / (jobs - 1.0);
            let variance = between * (1.0 + 1.0 / jobs);
            self.mean[at] = median;
            self.spread[at] = variance.sqrt().clamp(LEAST, MOST);
        }
        self
    }
}

/// Compute as the size model predicts it for one micro-batch on one device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PredictedCompute {
    /// Seconds that do not depend on samples: launches, optimizer.
    pub floor_seconds: f64,
    /// Seconds of each sample.
    pub sample_seconds: f64,
}

/// What is believed of one job's step time on one class before a step of it was seen there.
#[derive(Clone, Debug, PartialEq)]
pub struct Prior {
    pub(super) mean: [f64; COUNT],
    pub(super) spread: [f64; COUNT],
    /// Whether compute starts from the observations since nothing predicted it.
    pub(super) compute_unknown: bool,
    /// The same for the network.
    pub(super) network_unknown: bool,
}

impl Prior {
    /// The prior of a job from what its class has in common, its gradients' size in bytes and the size model's compute.
    ///
    /// What is `None` is taken from the first observations instead, with a spread that lets them have their way.
    pub fn new(habits: &ClassHabits, gradient_bytes: Option<f64>, compute: Option<PredictedCompute>) -> Self {
        let (mut mean, mut spread) = (habits.mean, habits.spread);
        if let Some(PredictedCompute { floor_seconds, sample_seconds }) = compute {
            for (at, seconds) in [(at::FLOOR, floor_seconds), (at::SAMPLE, sample_seconds)] {
                mean[at] = seconds.max(f64::MIN_POSITIVE).ln();
                spread[at] = PREDICTED;
            }
        }
        match gradient_bytes {
            Some(bytes) => mean[at::NETWORK] += bytes.max(1.0).ln(),
            None => spread[at::NETWORK] = UNKNOWN,
        }
        Self { mean, spread, compute_unknown: compute.is_none(), network_unknown: gradient_bytes.is_none() }
    }
}
