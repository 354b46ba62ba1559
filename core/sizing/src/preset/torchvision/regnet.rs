//! RegNet (arXiv 2003.13678): widths that grow along a quantised line.

use super::pieces::{Then, classifier, divisible, normed, square, squeeze_excite};
use crate::model::{Convolution, Layer};

/// Depth, first width, slope, step and group width of a family member, and whether it squeezes and excites (Y).
pub(super) struct RegNet {
    pub(super) depth: u32,
    pub(super) first: u32,
    pub(super) slope: f64,
    pub(super) step: f64,
    pub(super) group: u32,
    pub(super) excites: bool,
}

/// Rounds half to even, as the reference does.
fn even(value: f64) -> f64 {
    value.round_ties_even()
}

impl RegNet {
    /// Width of each block: the line `first + slope·i` in whole powers of `step`, in multiples of 8 (section 3.3).
    fn widths(&self) -> Vec<u32> {
        let first = f64::from(self.first);
        (0..self.depth)
            .map(|index| {
                let line = first + self.slope * f64::from(index);
                let power = even((line / first).ln() / self.step.ln());
                (even(first * self.step.powf(power) / 8.0) * 8.0) as u32
            })
            .collect()
    }

    /// Its layers.
    pub(super) fn layers(&self) -> Vec<Layer> {
        let mut layers = square(32, 3, 2, Then::Rectifier);
        let (mut inputs, mut stage) = (32, 0);
        for raw in self.widths() {
            let group = self.group.min(raw);
            let outputs = divisible(f64::from(raw), group);
            let stride = if raw == stage { 1 } else { 2 };
            stage = raw;
            let mut body = square(outputs, 1, 1, Then::Rectifier);
            let grouped = Convolution { groups: outputs / group, ..Convolution::square(outputs, 3, stride) };
            body.extend(normed(grouped, Then::Rectifier));
            if self.excites {
                body.push(squeeze_excite(outputs, even(0.25 * f64::from(inputs)) as u32, Then::Rectifier));
            }
            body.extend(square(outputs, 1, 1, Then::Nothing));
            let changes = stride != 1 || inputs != outputs;
            let shortcut = if changes { square(outputs, 1, stride, Then::Nothing) } else { Vec::new() };
            layers.push(Layer::Block(vec![Layer::Residual { body, shortcut }, Layer::Rectifier]));
            inputs = outputs;
        }
        layers.extend(classifier());
        layers
    }
}
