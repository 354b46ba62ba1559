//! ResNet, ResNeXt and Wide ResNet (arXiv 1512.03385, 1611.05431, 1605.07146).

use super::pieces::{Then, maximum, normed, square};
use crate::model::{Convolution, Layer};

/// Blocks of two 3×3 convolutions.
pub(super) fn basic(depths: [u32; 4]) -> Vec<Layer> {
    general(64, &[64, 128, 256, 512], &depths, &|outputs, stride| double(outputs, stride), 1000)
}

/// Blocks of 1×1, 3×3 and 1×1; `groups` of `group_width` channels at a width of 64.
pub(super) fn bottleneck(depths: [u32; 4], groups: u32, group_width: u32) -> Vec<Layer> {
    let body = |outputs: u32, stride| narrow(outputs / 4 * group_width / 64 * groups, groups, outputs, stride);
    general(64, &[256, 512, 1024, 2048], &depths, &body, 1000)
}

/// ResNet with stages of these widths and depths; no classifier for 0 classes.
pub(crate) fn resnet(stem: u32, widths: &[u32], depths: &[u32], bottleneck: bool, classes: u32) -> Vec<Layer> {
    if bottleneck {
        general(stem, widths, depths, &|outputs, stride| narrow(outputs / 4, 1, outputs, stride), classes)
    } else {
        general(stem, widths, depths, &|outputs, stride| double(outputs, stride), classes)
    }
}

fn double(width: u32, stride: u32) -> Vec<Layer> {
    [square(width, 3, stride, Then::Rectifier), square(width, 3, 1, Then::Nothing)].concat()
}

fn narrow(inner: u32, groups: u32, outputs: u32, stride: u32) -> Vec<Layer> {
    let grouped = Convolution { groups, ..Convolution::square(inner, 3, stride) };
    [square(inner, 1, 1, Then::Rectifier), normed(grouped, Then::Rectifier), square(outputs, 1, 1, Then::Nothing)]
        .concat()
}

type Body<'a> = &'a dyn Fn(u32, u32) -> Vec<Layer>;

fn general(stem: u32, widths: &[u32], depths: &[u32], body: Body<'_>, classes: u32) -> Vec<Layer> {
    let mut layers = square(stem, 7, 2, Then::Rectifier);
    layers.push(maximum(3, 2, 1, false));
    let mut channels = stem;
    for (stage, (&outputs, &depth)) in widths.iter().zip(depths).enumerate() {
        for index in 0..depth {
            let stride = if index == 0 && stage > 0 { 2 } else { 1 };
            let changes = stride != 1 || channels != outputs;
            let shortcut = if changes { square(outputs, 1, stride, Then::Nothing) } else { Vec::new() };
            layers
                .push(Layer::Block(vec![Layer::Residual { body: body(outputs, stride), shortcut }, Layer::Rectifier]));
            channels = outputs;
        }
    }
    layers.extend([Layer::Mean { to: 1 }, Layer::Flatten]);
    if classes > 0 {
        layers.push(Layer::Linear { outputs: classes, bias: true });
    }
    layers
}
