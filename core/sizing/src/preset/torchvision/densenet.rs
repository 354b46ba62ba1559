//! DenseNet (arXiv 1608.06993).

use super::pieces::{Then, maximum, mean, square};
use crate::model::{Convolution, Layer};

/// Dense blocks of so many layers, each of which adds `growth` channels to all before it.
pub(super) fn densenet(stem: u32, growth: u32, depths: [u32; 4]) -> Vec<Layer> {
    let mut layers = square(stem, 7, 2, Then::Rectifier);
    layers.push(maximum(3, 2, 1, false));
    let mut channels = stem;
    for (index, depth) in depths.into_iter().enumerate() {
        for _ in 0..depth {
            let new = vec![
                Layer::Norm,
                Layer::Rectifier,
                Layer::Convolution(Convolution::square(4 * growth, 1, 1)),
                Layer::Norm,
                Layer::Rectifier,
                Layer::Convolution(Convolution::square(growth, 3, 1)),
            ];
            layers.push(Layer::Block(vec![Layer::Concatenate(vec![Vec::new(), new])]));
            channels += growth;
        }
        layers.extend([Layer::Norm, Layer::Rectifier]);
        if index + 1 < 4 {
            channels /= 2;
            layers.extend([Layer::Convolution(Convolution::square(channels, 1, 1)), mean(2, 2, 0)]);
        }
    }
    layers.extend(super::pieces::classifier());
    layers
}
