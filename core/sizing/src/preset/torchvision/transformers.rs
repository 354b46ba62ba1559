//! Vision transformers, Swin, MaxViT, and ConvNeXt, which borrows their block (arXiv 2010.11929, 2103.14030, 2111.09883,
//! 2204.01697, 2201.03545).

use super::pieces::{Then, depthwise, mean, residual, square, squeeze_excite};
use crate::model::{Attention, Convolution, Grid, Layer};

fn linear(outputs: u32) -> Layer {
    Layer::Linear { outputs, bias: true }
}

/// Normalisation, widen, GELU, narrow.
fn feed_forward(width: u32, inner: u32) -> Vec<Layer> {
    vec![Layer::Norm, linear(inner), Layer::Smooth, linear(width)]
}

/// A vision transformer over square images.
pub(crate) struct VisionTransformer {
    /// Rows and columns of the image.
    pub(crate) size: u32,
    /// Rows and columns of a patch.
    pub(crate) patch: u32,
    /// Blocks.
    pub(crate) depth: u32,
    /// Heads.
    pub(crate) heads: u32,
    /// Width of the residual stream.
    pub(crate) width: u32,
    /// Width of the feed-forward layer.
    pub(crate) inner: u32,
    /// Classes; 0 for a pooler in place of a classifier.
    pub(crate) classes: u32,
}

impl VisionTransformer {
    /// Its layers.
    pub(crate) fn layers(&self) -> Vec<Layer> {
        let Self { size, patch, depth, heads, width, inner, classes } = *self;
        let side = size / patch.max(1);
        let tokens = side.saturating_mul(side).saturating_add(1);
        let stem = Convolution { padding: (0, 0), bias: true, ..Convolution::square(width, patch, patch) };
        // Positions and the class token.
        let learned = u64::from(width) * (u64::from(tokens) + 1);
        let mut layers = vec![
            Layer::Convolution(stem),
            Layer::View(Grid { channels: width, height: tokens, width: 1 }),
            Layer::Learned(learned),
        ];
        for _ in 0..depth {
            layers.push(Layer::Block(vec![
                residual(vec![Layer::Norm, Layer::Attention(Attention::over(width, heads))]),
                residual(feed_forward(width, inner)),
            ]));
        }
        layers.extend([Layer::Norm, Layer::View(Grid { channels: width, height: 1, width: 1 })]);
        layers.extend(if classes > 0 { vec![linear(classes)] } else { vec![linear(width), Layer::Rectifier] });
        layers
    }
}

/// ViT with 1000 classes.
pub(super) fn vit(size: u32, patch: u32, depth: u32, heads: u32, width: u32, inner: u32) -> Vec<Layer> {
    VisionTransformer { size, patch, depth, heads, width, inner, classes: 1000 }.layers()
}

/// Swin of version 1 or 2 over an image of `size` with windows of `window`.
pub(super) fn swin(size: u32, width: u32, depths: [u32; 4], heads: [u32; 4], window: u32, second: bool) -> Vec<Layer> {
    let stem = Convolution { padding: (0, 0), bias: true, ..Convolution::square(width, 4, 4) };
    let mut layers = vec![Layer::Convolution(stem), Layer::Norm];
    let (mut channels, mut side) = (width, size / 4);
    let bias_rows = u64::from(2 * window - 1).pow(2);
    for (index, (depth, heads)) in depths.into_iter().zip(heads).enumerate() {
        if index > 0 {
            side /= 2;
            let merged = Layer::View(Grid { channels: 4 * channels, height: side, width: side });
            channels *= 2;
            let reduced = Layer::Linear { outputs: channels, bias: false };
            layers.push(merged);
            layers.extend(if second { [reduced, Layer::Norm] } else { [Layer::Norm, reduced] });
        }
        // A table of positions, or a temperature per head and a small network that makes the table.
        let extra = if second { u64::from(heads) * 513 + 3 * 512 } else { bias_rows * u64::from(heads) };
        let attention = Layer::Attention(Attention { window, extra, ..Attention::over(channels, heads) });
        let inner = vec![linear(4 * channels), Layer::Smooth, linear(channels)];
        for _ in 0..depth {
            // The second version normalises what leaves a sublayer.
            let (attend, feed) = if second {
                (vec![attention.clone(), Layer::Norm], [inner.clone(), vec![Layer::Norm]].concat())
            } else {
                (vec![Layer::Norm, attention.clone()], [vec![Layer::Norm], inner.clone()].concat())
            };
            layers.push(Layer::Block(vec![residual(attend), residual(feed)]));
        }
    }
    layers.extend([Layer::Norm, Layer::Mean { to: 1 }, Layer::Flatten, linear(1000)]);
    layers
}

/// The tiny MaxViT at 224.
pub(super) fn maxvit_tiny() -> Vec<Layer> {
    let mut layers = square(64, 3, 2, Then::Smooth);
    layers.push(Layer::Convolution(Convolution { bias: true, ..Convolution::square(64, 3, 1) }));
    let mut inputs = 64;
    for (width, depth) in [(64_u32, 2), (128, 2), (256, 5), (512, 2)] {
        for index in 0..depth {
            let stride = if index == 0 { 2 } else { 1 };
            let inner = 4 * width;
            let one = Layer::Convolution(Convolution { bias: true, ..Convolution::square(width, 1, 1) });
            let mut body = vec![Layer::Norm];
            body.extend(square(inner, 1, 1, Then::Smooth));
            body.extend(depthwise(inner, 3, stride, Then::Smooth));
            body.extend([squeeze_excite(inner, width / 4, Then::Smooth), one.clone()]);
            let shortcut = match (stride, inputs == width) {
                (2, _) => vec![mean(3, 2, 1), one],
                (_, false) => vec![one],
                (_, true) => Vec::new(),
            };
            let mut block = vec![Layer::Residual { body, shortcut }];
            // Once over windows, once over a grid of as many positions.
            for _ in 0..2 {
                let extra = 13 * 13 * u64::from(width / 32);
                let attention = Layer::Attention(Attention { window: 7, extra, ..Attention::over(width, width / 32) });
                block.push(residual(vec![Layer::Norm, attention]));
                block.push(residual(feed_forward(width, 4 * width)));
            }
            layers.push(Layer::Block(block));
            inputs = width;
        }
    }
    layers.extend([Layer::Mean { to: 1 }, Layer::Flatten, Layer::Norm, linear(512), Layer::Rectifier]);
    layers.push(Layer::Linear { outputs: 1000, bias: false });
    layers
}

/// ConvNeXt with stages of these widths and depths.
pub(crate) fn convnext(widths: &[u32], depths: &[u32], classes: u32) -> Vec<Layer> {
    let patch = |outputs, window| {
        Layer::Convolution(Convolution { padding: (0, 0), bias: true, ..Convolution::square(outputs, window, window) })
    };
    let mut layers = Vec::new();
    for (index, (&width, &depth)) in widths.iter().zip(depths).enumerate() {
        layers.extend(if index == 0 { [patch(width, 4), Layer::Norm] } else { [Layer::Norm, patch(width, 2)] });
        let window = Convolution { groups: width, bias: true, ..Convolution::square(width, 7, 1) };
        for _ in 0..depth {
            let mut body = vec![Layer::Convolution(window)];
            body.extend(feed_forward(width, 4 * width));
            body.push(Layer::Scale);
            layers.push(Layer::Block(vec![residual(body)]));
        }
    }
    layers.extend([Layer::Mean { to: 1 }, Layer::Norm, Layer::Flatten]);
    if classes > 0 {
        layers.push(linear(classes));
    }
    layers
}
