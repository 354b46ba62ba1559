//! ShuffleNet v2 (arXiv 1807.11164).

use super::pieces::{Then, classifier, depthwise, maximum, square};
use crate::model::Layer;

/// ShuffleNet v2 with its three stages of these widths.
pub(super) fn shufflenet_v2(widths: [u32; 3], last: u32) -> Vec<Layer> {
    let mut layers = square(24, 3, 2, Then::Rectifier);
    layers.push(maximum(3, 2, 1, false));
    let mut inputs = 24;
    for (width, depth) in widths.into_iter().zip([4, 8, 4]) {
        let half = width / 2;
        for index in 0..depth {
            let stride = if index == 0 { 2 } else { 1 };
            let mut right = if index == 0 { Vec::new() } else { vec![Layer::Take(half)] };
            right.extend(square(half, 1, 1, Then::Rectifier));
            right.extend(depthwise(half, 3, stride, Then::Nothing));
            right.extend(square(half, 1, 1, Then::Rectifier));
            let left = if index == 0 {
                [depthwise(inputs, 3, 2, Then::Nothing), square(half, 1, 1, Then::Rectifier)].concat()
            } else {
                vec![Layer::Take(half)]
            };
            layers.push(Layer::Block(vec![Layer::Concatenate(vec![left, right])]));
        }
        inputs = width;
    }
    layers.extend(square(last, 1, 1, Then::Rectifier));
    layers.extend(classifier());
    layers
}
