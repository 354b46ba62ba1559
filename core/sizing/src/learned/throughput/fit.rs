//! Fits a job's parameters to the steps that were seen of it.

use super::parameters::{BOUNDS, COUNT, Parameters, at};
use super::roughness::Roughness;
use super::{Placement, Prior};
use crate::learned::least_squares::{Bounds, Limits, cholesky, minimise};

/// Spread of the logarithm of a step or of its compute around the truth. Steps of equivalent placements in the profiles of the
/// Pollux paper differ by 2 % in the median.
const NOISE: f64 = 0.02;

/// Spread of the logarithm of a step that is yet to be seen: most are near the truth, some far (9 % at the 90th percentile of
/// the same steps).
const SCATTER: f64 = 0.06;

/// Differences, in units of their spread, from which on an observation pulls no harder: in the first of two passes far out, so
/// that a start far away slides down to the right valley, then near.
const KNEES: [f64; 2] = [30.0, 0.7];

/// A pass that only finds the valley, and one that goes down to where nothing changes that a prediction would show.
const ROUGHLY: Limits = Limits { iterations: 15, cost_tolerance: 0.01 };
const CLOSELY: Limits = Limits { iterations: 100, cost_tolerance: 1e-4 };

/// Bounds of a batch's deviation.
const DEVIATION: Bounds = Bounds { low: -1.0, high: 1.0 };

/// Newer observations after which one counts half.
const HALF_LIFE: f64 = 32.0;

/// One configuration whose step was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    /// Where it ran.
    pub placement: Placement,
    /// Samples that each device computed at once; above 0.
    pub local_batch: f64,
    /// Micro-batches of the step; at least 1.
    pub accumulation: u32,
    /// Seconds of the step; above 0.
    pub step_seconds: f64,
    /// Seconds of it that were spent waiting for gradients, where the program told.
    pub sync_seconds: Option<f64>,
    /// How much it counts, above 0 and at most 1: see [`Observation::weight_after`].
    pub weight: f64,
}

impl Observation {
    /// The weight of an observation after so many newer ones: half after 32, since programs and clusters change.
    pub fn weight_after(newer: usize) -> f64 {
        0.5_f64.powf(newer as f64 / HALF_LIFE)
    }

    fn is_sound(&self) -> bool {
        let above_zero = |value: f64| value.is_finite() && value > 0.0;
        above_zero(self.step_seconds) && above_zero(self.local_batch) && above_zero(self.weight)
    }

    /// Seconds of compute, where the program told how long it waited.
    fn compute_seconds(&self) -> Option<f64> {
        let rest = self.step_seconds - self.sync_seconds?;
        (rest > 0.0 && rest <= self.step_seconds).then_some(rest)
    }
}

/// A step as expected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExpectedStep {
    /// Wall time, in seconds: the middle of what is believed.
    pub seconds: f64,
    /// Standard deviation of its logarithm, that of one observed step included: two of three observed steps lie between
    /// `seconds / e^spread` and `seconds · e^spread`.
    pub spread: f64,
}

/// A job's step time on one class, fitted: smooth curves, and how compute deviates from them at the batches that were seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Throughput {
    parameters: Parameters,
    roughness: Roughness,
    /// The parameters' vector, and after it the deviations of `roughness`, in logarithms.
    vector: Vec<f64>,
    /// Lower factor of the information matrix: the inverse covariance of `vector`.
    factor: Vec<f64>,
}

impl Throughput {
    /// The most credible parameters given a prior and observations, in any order; without observations the prior's.
    ///
    /// Minimises squared differences of logarithms in units of their spread, to the prior and to each observation. A
    /// large difference to an observation counts linearly (pseudo-Huber), so that a bad one pulls with bounded force; what
    /// no observation depends on stays at the prior. Observations that make no sense (no time, no samples) are left out.
    pub fn fit(observations: &[Observation], prior: &Prior) -> Self {
        let sound: Vec<&Observation> = observations.iter().filter(|seen| seen.is_sound()).collect();
        let roughness = Roughness::of(&sound);
        let mean = center(&sound, prior);
        let size = COUNT + roughness.len();
        let bounds: Vec<Bounds> = BOUNDS.into_iter().chain((COUNT..size).map(|_| DEVIATION)).collect();
        let weights: Vec<_> = sound.iter().map(|seen| roughness.weights(seen.local_batch)).collect();
        let residuals = |knee: f64, vector: &[f64], out: &mut [f64]| {
            let (smooth, deviations) = vector.split_at(COUNT);
            let parameters = Parameters::of_slice(smooth);
            for at in 0..COUNT {
                out[at] = (smooth[at] - mean[at]) / prior.spread[at];
            }
            roughness.independent(deviations, &mut out[COUNT..size]);
            for (row, (seen, weights)) in sound.iter().zip(&weights).enumerate() {
                let weight = seen.weight.min(1.0).sqrt();
                let rough: f64 = weights.iter().map(|(at, share)| share * deviations[*at]).sum();
                let compute = rough.exp() * parameters.compute_seconds(seen.placement, seen.local_batch);
                let step = parameters.step_of_compute(seen.placement, compute, seen.accumulation);
                out[size + 2 * row] = weight * soft((step / seen.step_seconds).ln() / NOISE, knee);
                out[size + 2 * row + 1] = seen.compute_seconds().map_or(0.0, |told| {
                    let passes = f64::from(seen.accumulation.max(1));
                    weight * soft((passes * compute / told).ln() / NOISE, knee)
                });
            }
        };
        let rows = size + 2 * sound.len();
        let descend = |knee: f64, start: &[f64], limits: Limits| {
            let mut start = start.to_vec();
            start.resize(size, 0.0);
            minimise(|vector, out| residuals(knee, vector, out), rows, &start, &bounds, limits)
        };
        // Three ways down, since there are several valleys: past one bad observation from the prior, straight from the
        // prior, and from what the observations say at first sight where the prior is far off.
        let [far, near] = KNEES;
        let mut found = descend(near, &descend(far, &mean, ROUGHLY).parameters, CLOSELY);
        for start in [mean.to_vec(), descend(far, &read_off(&sound, mean), ROUGHLY).parameters] {
            let way = descend(near, &start, CLOSELY);
            if way.cost < found.cost {
                found = way;
            }
        }
        let mut factor = found.information;
        if !cholesky(&mut factor, size) {
            factor = (0..size * size).map(|at| if at % (size + 1) == 0 { 1.0 } else { 0.0 }).collect();
        }
        let parameters = Parameters::of_slice(&found.parameters[..COUNT]);
        Self { parameters, roughness, vector: found.parameters, factor }
    }

    /// The fitted parameters.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// A step of `accumulation` micro-batches of `local_batch` samples on each device of `placement`.
    pub fn expect(&self, placement: Placement, local_batch: f64, accumulation: u32) -> ExpectedStep {
        let seconds_at = |vector: &[f64]| self.seconds_at(vector, placement, local_batch, accumulation);
        let seconds = seconds_at(&self.vector);
        // The variance of the logarithm is gᵀ·H⁻¹·g = |L⁻¹·g|², with H = L·Lᵀ and g the gradient of the logarithm.
        let size = self.vector.len();
        let (mut solved, mut shifted) = (vec![0.0; size], self.vector.clone());
        for i in 0..size {
            shifted[i] += 1e-5;
            let slope = (seconds_at(&shifted) / seconds).ln() / 1e-5;
            shifted[i] = self.vector[i];
            let known: f64 = (0..i).map(|j| self.factor[i * size + j] * solved[j]).sum();
            solved[i] = (slope - known) / self.factor[i * size + i];
        }
        let variance: f64 = solved.iter().map(|value| value * value).sum();
        ExpectedStep { seconds, spread: (variance + SCATTER * SCATTER).sqrt() }
    }

    /// Samples per second at a placement and batch.
    pub fn samples_per_second(&self, placement: Placement, local_batch: f64, accumulation: u32) -> f64 {
        let samples = f64::from(placement.gpus()) * local_batch * f64::from(accumulation.max(1));
        samples / self.seconds_at(&self.vector, placement, local_batch, accumulation)
    }

    fn seconds_at(&self, vector: &[f64], placement: Placement, local_batch: f64, accumulation: u32) -> f64 {
        let (smooth, deviations) = vector.split_at(COUNT);
        let parameters = Parameters::of_slice(smooth);
        let weights = self.roughness.weights(local_batch);
        let rough: f64 = weights.iter().filter_map(|(at, share)| Some(share * deviations.get(*at)?)).sum();
        let compute = rough.exp() * parameters.compute_seconds(placement, local_batch);
        parameters.step_of_compute(placement, compute, accumulation)
    }
}

/// Pseudo-Huber: about `x` below the knee, and a square that grows like `2·knee·|x|` above it.
fn soft(x: f64, knee: f64) -> f64 {
    let z = x / knee;
    // √(1 + z²) − 1, written so that small values keep their digits.
    x.signum() * knee * (2.0 * z * z / (1.0 + (1.0 + z * z).sqrt())).sqrt()
}

/// The prior's mean, with what it does not know read off the observations.
fn center(sound: &[&Observation], prior: &Prior) -> [f64; COUNT] {
    let read = read_off(sound, prior.mean);
    let mut mean = prior.mean;
    if prior.compute_unknown {
        (mean[at::FLOOR], mean[at::SAMPLE]) = (read[at::FLOOR], read[at::SAMPLE]);
    }
    if prior.network_unknown {
        mean[at::NETWORK] = read[at::NETWORK];
    }
    for (value, bounds) in mean.iter_mut().zip(BOUNDS) {
        *value = bounds.clamp(*value);
    }
    mean
}

/// Times as the observations have them at first sight: half of the shortest step is floor, most of the one with the
/// largest batch is samples, and half of the shortest step is what an exchange takes.
fn read_off(sound: &[&Observation], mut mean: [f64; COUNT]) -> [f64; COUNT] {
    let per_pass = |seen: &&Observation| seen.step_seconds / f64::from(seen.accumulation.max(1));
    let shortest = sound.iter().map(per_pass).fold(f64::INFINITY, f64::min);
    let most = sound.iter().map(|seen| seen.local_batch).fold(0.0, f64::max);
    if shortest.is_finite() {
        let largest = sound.iter().filter(|seen| seen.local_batch >= most).map(per_pass).fold(f64::INFINITY, f64::min);
        mean[at::FLOOR] = (0.5 * shortest).ln();
        mean[at::SAMPLE] = (0.8 * largest / most).ln();
        mean[at::NETWORK] = (0.5 * shortest).ln();
    }
    mean
}
