//! Attention over the positions of a grid.

use serde::{Deserialize, Serialize};

use super::Grid;
use crate::model::block::core;
use crate::profile::{Divides, Kernel, Place};

/// Attention with its four projections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attention {
    /// Heads.
    pub heads: u32,
    /// Width of a head.
    pub head_dim: u32,
    /// Positions along each axis of the window that a query sees; 0 for all.
    pub window: u32,
    /// Whether query, key and value have biases.
    pub bias: bool,
    /// Whether the output has one.
    pub output_bias: bool,
    /// Learned values beside the projections: tables of relative positions, temperatures.
    pub extra: u64,
    /// Where keys and values come from.
    pub source: Source,
}

/// Where keys and values come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// The same positions.
    #[default]
    Itself,
    /// Tokens from outside, such as an encoded prompt.
    Other {
        /// How many.
        tokens: u32,
        /// How wide.
        width: u32,
    },
}

impl Attention {
    /// Attention whose heads fill the channels, over all positions, with biases everywhere.
    pub fn over(channels: u32, heads: u32) -> Self {
        Self {
            heads,
            head_dim: channels / heads.max(1),
            window: 0,
            bias: true,
            output_bias: true,
            extra: 0,
            source: Source::Itself,
        }
    }

    /// Its parameters.
    pub(super) fn parameters(&self, grid: Grid) -> f64 {
        let (inner, channels) = (self.inner() as f64, f64::from(grid.channels));
        let from = match self.source {
            Source::Itself => channels,
            Source::Other { width, .. } => f64::from(width),
        };
        let biases = if self.bias { 3.0 * inner } else { 0.0 } + if self.output_bias { channels } else { 0.0 };
        2.0 * inner * channels + 2.0 * inner * from + biases + self.extra as f64
    }

    fn inner(&self) -> u64 {
        u64::from(self.heads) * u64::from(self.head_dim)
    }

    /// Its kernels; `read` is what it keeps of its input.
    pub(super) fn kernels(&self, grid: Grid, read: f64) -> Vec<Kernel> {
        // Windows cover the grid whole: what sticks out is padding, and computed.
        let padded = |length: u32| f64::from(length.div_ceil(self.window.max(1)) * self.window.max(1));
        let queries = padded(grid.height) * padded(grid.width);
        let (keys, from, sources) = match self.source {
            Source::Other { tokens, width } => (f64::from(tokens), u64::from(width), f64::from(tokens)),
            Source::Itself if self.window > 0 => {
                (f64::from(self.window) * f64::from(self.window), u64::from(grid.channels), queries)
            }
            Source::Itself => (queries, u64::from(grid.channels), queries),
        };
        let (channels, inner) = (u64::from(grid.channels), self.inner());
        let (heads, dim) = (f64::from(self.heads), f64::from(self.head_dim));
        let saved = inner as f64 * (queries + 2.0 * sources);
        vec![
            Kernel::product(queries, channels, inner, Place::Query).saving(read, Divides::Sequence),
            Kernel::product(sources, from, inner, Place::Key),
            Kernel::product(sources, from, inner, Place::Value),
            core(heads, queries, keys, dim, dim, saved),
            Kernel::product(queries, inner, channels, Place::Output).saving(queries * inner as f64, Divides::Tensor),
        ]
    }
}
