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

/// What depends on how long a message is: how many flows a network gives it, and how well it fills them.
const OF_MESSAGES: [usize; 3] = [at::NETWORK, at::NETWORK_GROWTH, at::TWO_NODES];

/// How much these may change with each factor of e in gradient bytes, and their spread around that: a few jobs draw no
/// steep line.
const SLOPE: f64 = 0.03;
const AROUND_LINE: f64 = 0.1;

/// Fewest jobs whose spread says anything.
const JOBS: usize = 3;

/// What jobs on a class of one cluster have in common: mean and spread of each part of the parameter vector. The network
/// is stated in logarithms of seconds per gradient byte.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassHabits {
    /// Of a job whose gradients have the bytes of `log_bytes`.
    mean: [f64; COUNT],
    spread: [f64; COUNT],
    /// Change of the mean with the logarithm of gradient bytes.
    slope: [f64; COUNT],
    log_bytes: f64,
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
        set(at::STRAGGLING, -4.0, 0.5);
        Self { mean, spread, slope: [0.0; COUNT], log_bytes: 0.0 }
    }

    /// The same, with what other jobs on the class have shown: their fitted parameters and the bytes of their gradients.
    ///
    /// Fewer than three jobs change nothing. Means and variances of jobs; what depends on the length of messages is a line in
    /// the logarithm of gradient bytes (ridge regression).
    #[must_use]
    pub fn with_jobs(mut self, jobs: &[(Parameters, f64)]) -> Self {
        if jobs.len() < JOBS {
            return self;
        }
        let count = jobs.len() as f64;
        let log_bytes: Vec<f64> = jobs.iter().map(|(_, bytes)| bytes.max(1.0).ln()).collect();
        let middle = log_bytes.iter().sum::<f64>() / count;
        let sizes: Vec<f64> = log_bytes.iter().map(|size| size - middle).collect();
        let vectors: Vec<[f64; COUNT]> = jobs.iter().map(|(parameters, _)| parameters.to_vector()).collect();
        for at in 0..COUNT {
            if matches!(at, at::FLOOR | at::SAMPLE) {
                continue;
            }
            let per_byte = if at == at::NETWORK { 1.0 } else { 0.0 };
            let values: Vec<f64> = vectors.iter().zip(&log_bytes).map(|(v, size)| v[at] - per_byte * size).collect();
            let mean = values.iter().sum::<f64>() / count;
            let slope = if OF_MESSAGES.contains(&at) { slope(&sizes, &values, mean) } else { 0.0 };
            let off = |(size, value): (&f64, &f64)| (value - mean - slope * size).powi(2);
            let squares: f64 = sizes.iter().zip(&values).map(off).sum();
            // Of one more job, given so few: the variance between jobs, and that of their own middle.
            let variance = squares / (count - 1.0) * (1.0 + 1.0 / count);
            self.spread[at] = variance.sqrt().clamp(LEAST, MOST);
            (self.mean[at], self.slope[at]) = (mean, slope);
        }
        self.log_bytes = middle;
        self
    }
}

/// The slope of a line through the middle of few points, drawn to none.
fn slope(sizes: &[f64], values: &[f64], mean: f64) -> f64 {
    let along: f64 = sizes.iter().map(|size| size * size).sum();
    let across: f64 = sizes.iter().zip(values).map(|(size, value)| size * (value - mean)).sum();
    across / (along + (AROUND_LINE / SLOPE).powi(2))
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
        match gradient_bytes.map(|bytes| bytes.max(1.0).ln()) {
            Some(log_bytes) => {
                for (mean, slope) in mean.iter_mut().zip(habits.slope) {
                    *mean += slope * (log_bytes - habits.log_bytes);
                }
                mean[at::NETWORK] += log_bytes;
            }
            None => spread[at::NETWORK] = UNKNOWN,
        }
        Self { mean, spread, compute_unknown: compute.is_none(), network_unknown: gradient_bytes.is_none() }
    }
}
