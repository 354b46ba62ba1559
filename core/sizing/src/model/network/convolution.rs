//! Convolutions and pooling.

use serde::{Deserialize, Serialize};

use super::{Grid, NetworkError};
use crate::profile::{Divides, Kernel, KernelKind, Matrix, Place};

/// A two-dimensional convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Convolution {
    /// Channels that leave it.
    pub outputs: u32,
    /// Rows and columns of its window.
    pub window: (u32, u32),
    /// Positions from one window to the next.
    pub stride: u32,
    /// Rows and columns added on each side.
    pub padding: (u32, u32),
    /// Groups of channels that do not see each other; as many as channels for a depthwise one.
    pub groups: u32,
    /// Whether it has a bias.
    pub bias: bool,
}

/// Pooling with a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Rows and columns of its window.
    pub window: u32,
    /// Positions from one window to the next.
    pub stride: u32,
    /// Rows and columns added on each side.
    pub padding: u32,
    /// Whether a window that reaches over the edge counts.
    pub ceiling: bool,
    /// The mean rather than the maximum.
    pub mean: bool,
}

/// Windows that fit along an axis.
fn fits(length: u32, window: u32, stride: u32, padding: u32, ceiling: bool) -> Option<u32> {
    let padded = u64::from(length) + 2 * u64::from(padding);
    let free = padded.checked_sub(u64::from(window))?;
    let stride = u64::from(stride).max(1);
    let mut count = if ceiling { free.div_ceil(stride) + 1 } else { free / stride + 1 };
    // The last window must begin inside the padded input on its left.
    if ceiling && (count - 1) * stride >= u64::from(length) + u64::from(padding) {
        count -= 1;
    }
    u32::try_from(count).ok()
}

impl Convolution {
    /// A square window whose output is as large as its input (divided by the stride), without bias.
    pub fn square(outputs: u32, window: u32, stride: u32) -> Self {
        let padding = window.saturating_sub(1) / 2;
        Self { outputs, window: (window, window), stride, padding: (padding, padding), groups: 1, bias: false }
    }

    /// What leaves it.
    pub(super) fn output(&self, input: Grid) -> Result<Grid, NetworkError> {
        let groups = self.groups;
        if groups == 0 || !input.channels.is_multiple_of(groups) || !self.outputs.is_multiple_of(groups) {
            return Err(NetworkError::Groups { groups, inputs: input.channels, outputs: self.outputs });
        }
        let too_small = NetworkError::TooSmall { grid: input, window: self.window.0.max(self.window.1) };
        let height = fits(input.height, self.window.0, self.stride, self.padding.0, false).ok_or(too_small)?;
        let width = fits(input.width, self.window.1, self.stride, self.padding.1, false).ok_or(too_small)?;
        Ok(Grid { channels: self.outputs, height, width })
    }

    /// Its kernel: `2·H_o·W_o·C_o·(C_i/g)·k_h·k_w` FLOPs.
    pub(super) fn kernel(&self, input: Grid, output: Grid) -> Kernel {
        let groups = u64::from(self.groups.max(1));
        let inputs = u64::from(input.channels) / groups;
        let rows = inputs.saturating_mul(u64::from(self.window.0)).saturating_mul(u64::from(self.window.1));
        let columns = u64::from(self.outputs) / groups;
        let depthwise = inputs == 1 && groups > 1;
        Kernel {
            flops: 2.0 * output.elements() * rows as f64,
            weights: rows.saturating_mul(u64::from(self.outputs)),
            matrix: Some(Matrix { rows, columns, count: groups, place: Place::Other }),
            width: u32::try_from(rows.min(columns)).unwrap_or(u32::MAX),
            ..Kernel::new(
                if depthwise { KernelKind::DepthwiseConvolution } else { KernelKind::Convolution },
                input.elements(),
                output.elements(),
            )
        }
    }

    /// Its biases.
    pub(super) fn biases(&self) -> u64 {
        if self.bias { u64::from(self.outputs) } else { 0 }
    }
}

impl Pool {
    /// What leaves it.
    pub(super) fn output(&self, input: Grid) -> Result<Grid, NetworkError> {
        let along = |length| fits(length, self.window, self.stride, self.padding, self.ceiling);
        let too_small = NetworkError::TooSmall { grid: input, window: self.window };
        Ok(Grid {
            channels: input.channels,
            height: along(input.height).ok_or(too_small)?,
            width: along(input.width).ok_or(too_small)?,
        })
    }

    /// Its kernel; a maximum keeps where it was, eight bytes each.
    pub(super) fn kernel(&self, input: Grid, output: Grid) -> Kernel {
        let indices = if self.mean { 0.0 } else { 8.0 * output.elements() };
        Kernel {
            saved_bytes_fixed: indices,
            saved_divides: Divides::No,
            ..Kernel::new(KernelKind::Pointwise, input.elements(), output.elements())
        }
    }
}
