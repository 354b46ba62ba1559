//! Layers that every family is put together from.

use crate::model::{Convolution, Layer, Pool};

/// What follows a convolution.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// Nothing.
    Nothing,
    /// ReLU and its like.
    Rectifier,
    /// SiLU, GELU, hard swish.
    Smooth,
}

impl Then {
    /// As a layer.
    pub(super) fn layer(self) -> Option<Layer> {
        match self {
            Self::Nothing => None,
            Self::Rectifier => Some(Layer::Rectifier),
            Self::Smooth => Some(Layer::Smooth),
        }
    }
}

/// Convolution, batch normalisation, nonlinearity.
pub(super) fn normed(convolution: Convolution, then: Then) -> Vec<Layer> {
    let mut layers = vec![Layer::Convolution(convolution), Layer::Norm];
    layers.extend(then.layer());
    layers
}

/// The same with a square window.
pub(super) fn square(outputs: u32, window: u32, stride: u32, then: Then) -> Vec<Layer> {
    normed(Convolution::square(outputs, window, stride), then)
}

/// The same, depthwise over `channels`.
pub(super) fn depthwise(channels: u32, window: u32, stride: u32, then: Then) -> Vec<Layer> {
    normed(Convolution { groups: channels, ..Convolution::square(channels, window, stride) }, then)
}

/// Squeeze and excitation of `channels` over `squeezed`.
pub(super) fn squeeze_excite(channels: u32, squeezed: u32, then: Then) -> Layer {
    let one = |outputs| Layer::Convolution(Convolution { bias: true, ..Convolution::square(outputs, 1, 1) });
    let mut gate = vec![Layer::Mean { to: 1 }, one(squeezed)];
    gate.extend(then.layer());
    gate.extend([one(channels), Layer::Rectifier]);
    Layer::Gate(gate)
}

/// The largest value of every window.
pub(super) fn maximum(window: u32, stride: u32, padding: u32, ceiling: bool) -> Layer {
    Layer::Pool(Pool { window, stride, padding, ceiling, mean: false })
}

/// The mean of every window.
pub(super) fn mean(window: u32, stride: u32, padding: u32) -> Layer {
    Layer::Pool(Pool { window, stride, padding, ceiling: false, mean: true })
}

/// The mean of the grid and a classifier of 1000 classes.
pub(super) fn classifier() -> Vec<Layer> {
    vec![Layer::Mean { to: 1 }, Layer::Flatten, Layer::Linear { outputs: 1000, bias: true }]
}

/// `x + body(x)`.
pub(super) fn residual(body: Vec<Layer>) -> Layer {
    Layer::Residual { body, shortcut: Vec::new() }
}

/// The multiple of `divisor` nearest to a width, but not below nine tenths of it (the rule of every mobile network).
pub(super) fn divisible(width: f64, divisor: u32) -> u32 {
    let step = f64::from(divisor);
    let near = ((width + step / 2.0) / step).floor() * step;
    let near = near.max(step);
    (if near < 0.9 * width { near + step } else { near }) as u32
}
