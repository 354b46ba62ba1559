//! Networks of inverted residuals: MobileNet v2 and v3, MNASNet, EfficientNet v1 and v2 (arXiv 1801.04381, 1905.02244,
//! 1807.11626, 1905.11946, 2104.00298).

use super::pieces::{Then, classifier, depthwise, divisible, residual, square, squeeze_excite};
use crate::model::Layer;

/// An inverted residual: widen by 1×1, depthwise, squeeze and excite, narrow by 1×1.
struct Inverted {
    inputs: u32,
    inner: u32,
    outputs: u32,
    window: u32,
    stride: u32,
    squeezed: u32,
    always_widens: bool,
    then: Then,
    squeeze_then: Then,
}

impl Inverted {
    fn layer(&self) -> Layer {
        let mut body = Vec::new();
        if self.always_widens || self.inner != self.inputs {
            body.extend(square(self.inner, 1, 1, self.then));
        }
        body.extend(depthwise(self.inner, self.window, self.stride, self.then));
        if self.squeezed > 0 {
            body.push(squeeze_excite(self.inner, self.squeezed, self.squeeze_then));
        }
        body.extend(square(self.outputs, 1, 1, Then::Nothing));
        let same = self.stride == 1 && self.inputs == self.outputs;
        Layer::Block(if same { vec![residual(body)] } else { body })
    }
}

/// MobileNet v2 at width 1.
pub(super) fn mobilenet_v2() -> Vec<Layer> {
    let mut layers = square(32, 3, 2, Then::Rectifier);
    let mut inputs = 32;
    let stages =
        [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)];
    for (factor, outputs, depth, first) in stages {
        for index in 0..depth {
            let stride = if index == 0 { first } else { 1 };
            layers.push(plain(inputs, factor, outputs, 3, stride, false));
            inputs = outputs;
        }
    }
    layers.extend(square(1280, 1, 1, Then::Rectifier));
    layers.extend(classifier());
    layers
}

fn plain(inputs: u32, factor: u32, outputs: u32, window: u32, stride: u32, always_widens: bool) -> Layer {
    Inverted {
        inputs,
        inner: inputs * factor,
        outputs,
        window,
        stride,
        squeezed: 0,
        always_widens,
        then: Then::Rectifier,
        squeeze_then: Then::Nothing,
    }
    .layer()
}

/// MNASNet at a width.
pub(super) fn mnasnet(width: f64) -> Vec<Layer> {
    let scaled = [32, 16, 24, 40, 80, 96, 192, 320].map(|channels: u32| divisible(f64::from(channels) * width, 8));
    let [stem, first, widths @ ..] = scaled;
    let mut layers = square(stem, 3, 2, Then::Rectifier);
    layers.extend(depthwise(stem, 3, 1, Then::Rectifier));
    layers.extend(square(first, 1, 1, Then::Nothing));
    let mut inputs = first;
    let stages = [(3, 2, 3, 3), (5, 2, 3, 3), (5, 2, 6, 3), (3, 1, 6, 2), (5, 2, 6, 4), (3, 1, 6, 1)];
    for (outputs, (window, stride, factor, depth)) in widths.into_iter().zip(stages) {
        for index in 0..depth {
            layers.push(plain(inputs, factor, outputs, window, if index == 0 { stride } else { 1 }, true));
            inputs = outputs;
        }
    }
    layers.extend(square(1280, 1, 1, Then::Rectifier));
    layers.extend(classifier());
    layers
}

/// One block of MobileNet v3: window, inner width, outputs, squeeze and excite, hard swish, stride.
type V3 = (u32, u32, u32, bool, bool, u32);

const V3_LARGE: &[V3] = &[
    (3, 16, 16, false, false, 1),
    (3, 64, 24, false, false, 2),
    (3, 72, 24, false, false, 1),
    (5, 72, 40, true, false, 2),
    (5, 120, 40, true, false, 1),
    (5, 120, 40, true, false, 1),
    (3, 240, 80, false, true, 2),
    (3, 200, 80, false, true, 1),
    (3, 184, 80, false, true, 1),
    (3, 184, 80, false, true, 1),
    (3, 480, 112, true, true, 1),
    (3, 672, 112, true, true, 1),
    (5, 672, 160, true, true, 2),
    (5, 960, 160, true, true, 1),
    (5, 960, 160, true, true, 1),
];

const V3_SMALL: &[V3] = &[
    (3, 16, 16, true, false, 2),
    (3, 72, 24, false, false, 2),
    (3, 88, 24, false, false, 1),
    (5, 96, 40, true, true, 2),
    (5, 240, 40, true, true, 1),
    (5, 240, 40, true, true, 1),
    (5, 120, 48, true, true, 1),
    (5, 144, 48, true, true, 1),
    (5, 288, 96, true, true, 2),
    (5, 576, 96, true, true, 1),
    (5, 576, 96, true, true, 1),
];

/// MobileNet v3, large or small.
pub(super) fn mobilenet_v3(large: bool) -> Vec<Layer> {
    let (blocks, last, head) = if large { (V3_LARGE, 960, 1280) } else { (V3_SMALL, 576, 1024) };
    let mut layers = square(16, 3, 2, Then::Smooth);
    let mut inputs = 16;
    for &(window, inner, outputs, squeezes, swish, stride) in blocks {
        let block = Inverted {
            inputs,
            inner,
            outputs,
            window,
            stride,
            squeezed: if squeezes { divisible(f64::from(inner / 4), 8) } else { 0 },
            always_widens: false,
            then: if swish { Then::Smooth } else { Then::Rectifier },
            squeeze_then: Then::Rectifier,
        };
        layers.push(block.layer());
        inputs = outputs;
    }
    layers.extend(square(last, 1, 1, Then::Smooth));
    layers.extend([Layer::Mean { to: 1 }, Layer::Flatten, Layer::Linear { outputs: head, bias: true }]);
    layers.extend([Layer::Smooth, Layer::Dropout, Layer::Linear { outputs: 1000, bias: true }]);
    layers
}

/// One stage of EfficientNet: fused, factor, window, stride, inputs, outputs, depth.
type Stage = (bool, u32, u32, u32, u32, u32, u32);

fn efficientnet(stages: &[Stage], last: u32) -> Vec<Layer> {
    let stem = stages.first().map_or(32, |stage| stage.4);
    let mut layers = square(stem, 3, 2, Then::Smooth);
    for &(fused, factor, window, first, from, outputs, depth) in stages {
        let mut inputs = from;
        for index in 0..depth {
            let stride = if index == 0 { first } else { 1 };
            let inner = divisible(f64::from(inputs * factor), 8);
            layers.push(if fused {
                fused_block(inputs, inner, outputs, window, stride)
            } else {
                let squeezed = (inputs / 4).max(1);
                let always_widens = false;
                let (then, squeeze_then) = (Then::Smooth, Then::Smooth);
                Inverted { inputs, inner, outputs, window, stride, squeezed, always_widens, then, squeeze_then }.layer()
            });
            inputs = outputs;
        }
    }
    layers.extend(square(last, 1, 1, Then::Smooth));
    layers.extend([Layer::Mean { to: 1 }, Layer::Flatten, Layer::Dropout, Layer::Linear { outputs: 1000, bias: true }]);
    layers
}

fn fused_block(inputs: u32, inner: u32, outputs: u32, window: u32, stride: u32) -> Layer {
    let body = if inner == inputs {
        square(outputs, window, stride, Then::Smooth)
    } else {
        let mut body = square(inner, window, stride, Then::Smooth);
        body.extend(square(outputs, 1, 1, Then::Nothing));
        body
    };
    Layer::Block(if stride == 1 && inputs == outputs { vec![residual(body)] } else { body })
}

/// EfficientNet v1 scaled in width and depth.
pub(super) fn efficientnet_v1(width: f64, depth: f64) -> Vec<Layer> {
    let scaled = |channels: u32| divisible(f64::from(channels) * width, 8);
    let stages: Vec<Stage> = [
        (1, 3, 1, 32, 16, 1),
        (6, 3, 2, 16, 24, 2),
        (6, 5, 2, 24, 40, 2),
        (6, 3, 2, 40, 80, 3),
        (6, 5, 1, 80, 112, 3),
        (6, 5, 2, 112, 192, 4),
        (6, 3, 1, 192, 320, 1),
    ]
    .into_iter()
    .map(|(factor, window, stride, inputs, outputs, layers)| {
        let layers = (f64::from(layers) * depth).ceil() as u32;
        (false, factor, window, stride, scaled(inputs), scaled(outputs), layers)
    })
    .collect();
    let last = stages.last().map_or(0, |stage| 4 * stage.5);
    efficientnet(&stages, last)
}

const V2_SMALL: &[Stage] = &[
    (true, 1, 3, 1, 24, 24, 2),
    (true, 4, 3, 2, 24, 48, 4),
    (true, 4, 3, 2, 48, 64, 4),
    (false, 4, 3, 2, 64, 128, 6),
    (false, 6, 3, 1, 128, 160, 9),
    (false, 6, 3, 2, 160, 256, 15),
];

const V2_MEDIUM: &[Stage] = &[
    (true, 1, 3, 1, 24, 24, 3),
    (true, 4, 3, 2, 24, 48, 5),
    (true, 4, 3, 2, 48, 80, 5),
    (false, 4, 3, 2, 80, 160, 7),
    (false, 6, 3, 1, 160, 176, 14),
    (false, 6, 3, 2, 176, 304, 18),
    (false, 6, 3, 1, 304, 512, 5),
];

const V2_LARGE: &[Stage] = &[
    (true, 1, 3, 1, 32, 32, 4),
    (true, 4, 3, 2, 32, 64, 7),
    (true, 4, 3, 2, 64, 96, 7),
    (false, 4, 3, 2, 96, 192, 10),
    (false, 6, 3, 1, 192, 224, 19),
    (false, 6, 3, 2, 224, 384, 25),
    (false, 6, 3, 1, 384, 640, 7),
];

/// EfficientNet v2: 0 small, 1 medium, 2 large.
pub(super) fn efficientnet_v2(size: usize) -> Vec<Layer> {
    efficientnet([V2_SMALL, V2_MEDIUM, V2_LARGE].get(size).copied().unwrap_or(V2_SMALL), 1280)
}
