//! Networks described layer by layer: convolutional networks, vision transformers, diffusion U-Nets.
//!
//! A network is a tree of [`Layer`]s over a grid of `channels × height × width`; tokens are a grid of width 1. One walk over
//! it yields the [`Profile`]: parameters, FLOPs and what is kept for the backward pass.

mod attention;
mod convolution;
mod walk;

use serde::{Deserialize, Serialize};

pub use attention::{Attention, Source};
pub use convolution::{Convolution, Pool};
pub use walk::NetworkError;

use crate::profile::Profile;

/// A grid of values: one sample between two layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grid {
    /// Values at each position.
    pub channels: u32,
    /// Rows; 1 for vectors.
    pub height: u32,
    /// Columns; 1 for vectors and tokens.
    pub width: u32,
}

impl Grid {
    /// Positions.
    pub(crate) fn positions(self) -> f64 {
        f64::from(self.height) * f64::from(self.width)
    }

    /// Values in all.
    pub(crate) fn elements(self) -> f64 {
        f64::from(self.channels) * self.positions()
    }
}

/// One layer, or several under one rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Layer {
    /// A convolution.
    Convolution(Convolution),
    /// A normalisation with a weight and a bias per channel: batch, layer or group.
    Norm,
    /// A normalisation without parameters.
    Normalise,
    /// A nonlinearity that works in place and is undone from its output (ReLU, sigmoid, tanh).
    Rectifier,
    /// A nonlinearity whose backward pass needs its input (SiLU, GELU, hard swish).
    Smooth,
    /// Pooling with a window.
    Pool(Pool),
    /// The mean over a grid of `to × to` cells.
    Mean {
        /// Rows and columns left.
        to: u32,
    },
    /// Each position repeated `factor × factor` times.
    Upsample {
        /// Along each axis.
        factor: u32,
    },
    /// All values as one vector.
    Flatten,
    /// Another view of the values, or values added or dropped, at no cost.
    View(Grid),
    /// The first channels alone.
    Take(
        /// How many.
        u32,
    ),
    /// A matrix at every position.
    Linear {
        /// Channels that leave it.
        outputs: u32,
        /// Whether it has a bias.
        bias: bool,
    },
    /// Attention over positions, with its projections.
    Attention(Attention),
    /// A learned factor per channel.
    Scale,
    /// Learned values that are added or prepended.
    Learned(
        /// How many.
        u64,
    ),
    /// A vector of `inputs`, through a matrix with a bias, added to every position or scaling it; or, with nothing to
    /// add it to, a matrix over a vector.
    Condition {
        /// Width of the vector.
        inputs: u32,
        /// Values that leave the matrix.
        outputs: u32,
    },
    /// Dropout, with a mask of a byte per value.
    Dropout,
    /// The product of two halves of the channels, one through a nonlinearity.
    GatedHalves,
    /// `body(x) + shortcut(x)`; an empty shortcut is `x` itself.
    Residual {
        /// The long way.
        body: Vec<Layer>,
        /// The short way.
        shortcut: Vec<Layer>,
    },
    /// `x · f(x)`, `f` of one value per channel: squeeze and excitation.
    Gate(
        /// `f`.
        Vec<Layer>,
    ),
    /// Branches side by side, their channels put together; an empty branch is `x` itself.
    Concatenate(
        /// The branches.
        Vec<Vec<Layer>>,
    ),
    /// A branch whose end goes nowhere but to a loss of its own.
    Aside(
        /// The branch.
        Vec<Layer>,
    ),
    /// Layers that are sharded, recomputed and placed as one.
    Block(
        /// The layers.
        Vec<Layer>,
    ),
}

/// A network by its layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// One sample as it enters.
    pub input: Grid,
    /// From the input to what the loss sees.
    pub layers: Vec<Layer>,
}

impl Network {
    /// A network over square images.
    pub fn of_image(channels: u32, size: u32, layers: Vec<Layer>) -> Self {
        Self { input: Grid { channels, height: size, width: size }, layers }
    }

    /// What one sample does to a device.
    ///
    /// # Errors
    /// When a layer does not fit what reaches it.
    pub fn try_profile(&self) -> Result<Profile, NetworkError> {
        walk::profile(self)
    }
}
