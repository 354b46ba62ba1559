//! What the time model cannot know from shapes and data sheets.

use serde::{Deserialize, Serialize};

/// Constants of the time model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeConstants {
    /// Share of peak that wide products reach at the reference ridge.
    pub efficiency: f64,
    /// The least that share may become.
    pub efficiency_least: f64,
    /// The most.
    pub efficiency_most: f64,
    /// FLOP per byte at which `efficiency` holds.
    pub reference_ridge: f64,
    /// How efficiency falls with the ridge.
    pub ridge_exponent: f64,
    /// Width of the residual stream at which products reach half.
    pub half_width: f64,
    /// Tokens at which a transformer's kernels fill half the device at the reference width.
    pub half_tokens: f64,
    /// Width at which `half_tokens` holds.
    pub reference_width: f64,
    /// Seconds at peak that fill half the device for a model of unknown kernels.
    pub half_seconds: f64,
    /// Seconds of kernel launches per layer and micro-batch.
    pub launch_seconds_per_layer: f64,
    /// The same for a model of unknown layers.
    pub launch_seconds_custom: f64,
    /// Share of a backward pass that hides gradient communication.
    pub overlap: f64,
    /// Times that a kept activation of a custom model crosses the memory bus.
    pub activation_passes: f64,
}

impl TimeConstants {
    /// Where a fit starts.
    pub const STARTING: Self = Self {
        efficiency: 0.78,
        efficiency_least: 0.30,
        efficiency_most: 0.80,
        reference_ridge: 153.0,
        ridge_exponent: 0.6,
        half_width: 400.0,
        half_tokens: 400.0,
        reference_width: 4096.0,
        half_seconds: 0.5e-3,
        launch_seconds_per_layer: 0.6e-3,
        launch_seconds_custom: 2e-3,
        overlap: 0.8,
        activation_passes: 10.0,
    };
}
