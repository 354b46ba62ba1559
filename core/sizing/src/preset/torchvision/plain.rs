//! AlexNet, VGG and SqueezeNet (arXiv 1404.5997, 1409.1556, 1602.07360).

use super::pieces::{Then, maximum, normed};
use crate::model::{Convolution, Layer};

/// The one-tower AlexNet.
pub(super) fn alexnet() -> Vec<Layer> {
    let convolution = |outputs, window, stride, padding| {
        [
            Layer::Convolution(Convolution {
                padding: (padding, padding),
                bias: true,
                ..Convolution::square(outputs, window, stride)
            }),
            Layer::Rectifier,
        ]
    };
    let mut layers = Vec::new();
    layers.extend(convolution(64, 11, 4, 2));
    layers.push(maximum(3, 2, 0, false));
    layers.extend(convolution(192, 5, 1, 2));
    layers.push(maximum(3, 2, 0, false));
    layers.extend(convolution(384, 3, 1, 1));
    layers.extend(convolution(256, 3, 1, 1));
    layers.extend(convolution(256, 3, 1, 1));
    layers.push(maximum(3, 2, 0, false));
    layers.extend([Layer::Mean { to: 6 }, Layer::Flatten]);
    layers.extend([Layer::Dropout, Layer::Linear { outputs: 4096, bias: true }, Layer::Rectifier]);
    layers.extend([Layer::Dropout, Layer::Linear { outputs: 4096, bias: true }, Layer::Rectifier]);
    layers.push(Layer::Linear { outputs: 1000, bias: true });
    layers
}

/// VGG with so many convolutions in each of its five stages.
pub(super) fn vgg(depths: [u32; 5], batch_norm: bool) -> Vec<Layer> {
    let mut layers = Vec::new();
    for (depth, width) in depths.into_iter().zip([64, 128, 256, 512, 512]) {
        let mut stage = Vec::new();
        for _ in 0..depth {
            let convolution = Convolution { bias: true, ..Convolution::square(width, 3, 1) };
            if batch_norm {
                stage.extend(normed(convolution, Then::Rectifier));
            } else {
                stage.extend([Layer::Convolution(convolution), Layer::Rectifier]);
            }
        }
        stage.push(maximum(2, 2, 0, false));
        layers.push(Layer::Block(stage));
    }
    layers.extend([Layer::Mean { to: 7 }, Layer::Flatten]);
    layers.extend([Layer::Linear { outputs: 4096, bias: true }, Layer::Rectifier, Layer::Dropout]);
    layers.extend([Layer::Linear { outputs: 4096, bias: true }, Layer::Rectifier, Layer::Dropout]);
    layers.push(Layer::Linear { outputs: 1000, bias: true });
    layers
}

/// SqueezeNet 1.0 or 1.1.
pub(super) fn squeezenet(second: bool) -> Vec<Layer> {
    let one = |outputs, window, padding: u32| {
        [
            Layer::Convolution(Convolution {
                padding: (padding, padding),
                bias: true,
                ..Convolution::square(outputs, window, 1)
            }),
            Layer::Rectifier,
        ]
    };
    let fire = |squeeze, expand| {
        let mut layers = one(squeeze, 1, 0).to_vec();
        layers.push(Layer::Concatenate(vec![one(expand, 1, 0).to_vec(), one(expand, 3, 1).to_vec()]));
        Layer::Block(layers)
    };
    let pool = || maximum(3, 2, 0, true);
    let (width, window) = if second { (64, 3) } else { (96, 7) };
    let stem = Convolution { padding: (0, 0), bias: true, ..Convolution::square(width, window, 2) };
    let mut layers = vec![Layer::Convolution(stem), Layer::Rectifier, pool(), fire(16, 64), fire(16, 64)];
    if second {
        layers.extend([pool(), fire(32, 128), fire(32, 128), pool()]);
        layers.extend([fire(48, 192), fire(48, 192), fire(64, 256), fire(64, 256)]);
    } else {
        layers.extend([fire(32, 128), pool(), fire(32, 128), fire(48, 192), fire(48, 192), fire(64, 256), pool()]);
        layers.push(fire(64, 256));
    }
    layers.push(Layer::Dropout);
    layers.extend(one(1000, 1, 0));
    layers.extend([Layer::Mean { to: 1 }, Layer::Flatten]);
    layers
}
