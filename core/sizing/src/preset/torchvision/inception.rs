//! GoogLeNet and Inception v3 (arXiv 1409.4842, 1512.00567).

use super::pieces::{Then, classifier, maximum, mean, normed};
use crate::model::{Convolution, Layer};

fn convolution(outputs: u32, window: (u32, u32), stride: u32, padding: (u32, u32)) -> Vec<Layer> {
    normed(Convolution { window, padding, ..Convolution::square(outputs, 1, stride) }, Then::Rectifier)
}

fn square(outputs: u32, window: u32, padding: u32) -> Vec<Layer> {
    convolution(outputs, (window, window), 1, (padding, padding))
}

fn reducing(outputs: u32) -> Vec<Layer> {
    convolution(outputs, (3, 3), 2, (0, 0))
}

fn wide(outputs: u32, length: u32) -> Vec<Layer> {
    convolution(outputs, (1, length), 1, (0, length / 2))
}

fn tall(outputs: u32, length: u32) -> Vec<Layer> {
    convolution(outputs, (length, 1), 1, (length / 2, 0))
}

fn block(branches: Vec<Vec<Layer>>) -> Layer {
    Layer::Block(vec![Layer::Concatenate(branches)])
}

/// GoogLeNet as distributed: batch normalisation, 3×3 in place of 5×5, no auxiliary losses.
pub(super) fn googlenet() -> Vec<Layer> {
    let inception = |one, three_in, three, five_in, five, pooled| {
        block(vec![
            square(one, 1, 0),
            [square(three_in, 1, 0), square(three, 3, 1)].concat(),
            [square(five_in, 1, 0), square(five, 3, 1)].concat(),
            [vec![maximum(3, 1, 1, true)], square(pooled, 1, 0)].concat(),
        ])
    };
    let mut layers = convolution(64, (7, 7), 2, (3, 3));
    layers.push(maximum(3, 2, 0, true));
    layers.extend(square(64, 1, 0));
    layers.extend(square(192, 3, 1));
    layers.push(maximum(3, 2, 0, true));
    layers.extend([inception(64, 96, 128, 16, 32, 32), inception(128, 128, 192, 32, 96, 64), maximum(3, 2, 0, true)]);
    layers.extend([inception(192, 96, 208, 16, 48, 64), inception(160, 112, 224, 24, 64, 64)]);
    layers.extend([inception(128, 128, 256, 24, 64, 64), inception(112, 144, 288, 32, 64, 64)]);
    layers.extend([inception(256, 160, 320, 32, 128, 128), maximum(2, 2, 0, true)]);
    layers.extend([inception(256, 160, 320, 32, 128, 128), inception(384, 192, 384, 48, 128, 128)]);
    layers.extend(classifier());
    layers
}

/// Inception v3 with its auxiliary loss.
pub(super) fn inception_v3() -> Vec<Layer> {
    let small = |pooled| {
        block(vec![
            square(64, 1, 0),
            [square(48, 1, 0), square(64, 5, 2)].concat(),
            [square(64, 1, 0), square(96, 3, 1), square(96, 3, 1)].concat(),
            [vec![mean(3, 1, 1)], square(pooled, 1, 0)].concat(),
        ])
    };
    let long = |inner| {
        block(vec![
            square(192, 1, 0),
            [square(inner, 1, 0), wide(inner, 7), tall(192, 7)].concat(),
            [square(inner, 1, 0), tall(inner, 7), wide(inner, 7), tall(inner, 7), wide(192, 7)].concat(),
            [vec![mean(3, 1, 1)], square(192, 1, 0)].concat(),
        ])
    };
    let crossed = || Layer::Concatenate(vec![wide(384, 3), tall(384, 3)]);
    let last = || {
        block(vec![
            square(320, 1, 0),
            [square(384, 1, 0), vec![crossed()]].concat(),
            [square(448, 1, 0), square(384, 3, 1), vec![crossed()]].concat(),
            [vec![mean(3, 1, 1)], square(192, 1, 0)].concat(),
        ])
    };
    let mut layers = reducing(32);
    layers.extend(square(32, 3, 0));
    layers.extend(square(64, 3, 1));
    layers.push(maximum(3, 2, 0, false));
    layers.extend(square(80, 1, 0));
    layers.extend(square(192, 3, 0));
    layers.extend([maximum(3, 2, 0, false), small(32), small(64), small(64)]);
    layers.push(block(vec![
        reducing(384),
        [square(64, 1, 0), square(96, 3, 1), reducing(96)].concat(),
        vec![maximum(3, 2, 0, false)],
    ]));
    layers.extend([long(128), long(160), long(160), long(192)]);
    let auxiliary = [vec![mean(5, 3, 0)], square(128, 1, 0), square(768, 5, 0), classifier()].concat();
    layers.push(Layer::Aside(auxiliary));
    layers.push(block(vec![
        [square(192, 1, 0), reducing(320)].concat(),
        [square(192, 1, 0), wide(192, 7), tall(192, 7), reducing(192)].concat(),
        vec![maximum(3, 2, 0, false)],
    ]));
    layers.extend([last(), last()]);
    layers.extend([Layer::Mean { to: 1 }, Layer::Flatten, Layer::Dropout, Layer::Linear { outputs: 1000, bias: true }]);
    layers
}
