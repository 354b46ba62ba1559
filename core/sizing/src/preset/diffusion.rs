//! Diffusion models by their layers: U-Nets and transformers.

use crate::model::{Attention, Convolution, Grid, Layer, Network, Source};

fn linear(outputs: u32) -> Layer {
    Layer::Linear { outputs, bias: true }
}

fn square(outputs: u32, window: u32, stride: u32) -> Layer {
    Layer::Convolution(Convolution { bias: true, ..Convolution::square(outputs, window, stride) })
}

fn residual(body: Vec<Layer>) -> Layer {
    Layer::Residual { body, shortcut: Vec::new() }
}

/// A diffusion transformer over latents with adaptive normalisation (arXiv 2212.09748).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiffusionTransformer {
    /// Rows and columns of the latent image.
    pub size: u32,
    /// Channels of the latent image; twice as many leave, with their variance.
    pub channels: u32,
    /// Rows and columns of a patch.
    pub patch: u32,
    /// Blocks.
    pub depth: u32,
    /// Width of the residual stream.
    pub width: u32,
    /// Heads.
    pub heads: u32,
    /// Classes to condition on; one more stands for none.
    pub classes: u32,
}

impl DiffusionTransformer {
    /// Its layers.
    pub fn network(&self) -> Network {
        let Self { size, channels, patch, depth, width, heads, classes } = *self;
        let side = size / patch.max(1);
        let tokens = side.saturating_mul(side);
        let stem = Convolution { padding: (0, 0), bias: true, ..Convolution::square(width, patch, patch) };
        // Positions are a fixed table; times and classes are embedded once per sample.
        let learned = u64::from(width) * (u64::from(tokens) + u64::from(classes) + 1);
        let mut layers = vec![
            Layer::Convolution(stem),
            Layer::View(Grid { channels: width, height: tokens, width: 1 }),
            Layer::Learned(learned),
            Layer::Condition { inputs: 256, outputs: width },
            Layer::Condition { inputs: width, outputs: width },
        ];
        for _ in 0..depth {
            layers.push(Layer::Block(vec![
                // Shift, scale and gate of both sublayers.
                Layer::Condition { inputs: width, outputs: 6 * width },
                residual(vec![Layer::Normalise, Layer::Attention(Attention::over(width, heads))]),
                residual(vec![Layer::Normalise, linear(4 * width), Layer::Smooth, linear(width)]),
            ]));
        }
        layers.extend([Layer::Condition { inputs: width, outputs: 2 * width }, Layer::Normalise]);
        layers.push(linear(patch * patch * 2 * channels));
        Network::of_image(channels, size, layers)
    }
}

/// A U-Net with attention to encoded text (arXiv 2112.10752).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UNet {
    /// Rows and columns of the latent image.
    pub size: u32,
    /// Its channels.
    pub channels: u32,
    /// Widths of the levels.
    pub widths: Vec<u32>,
    /// Transformer blocks after each residual block of a level; 0 for none.
    pub transformers: Vec<u32>,
    /// Transformer blocks in the middle.
    pub middle: u32,
    /// Residual blocks of a level on the way down; one more on the way up.
    pub depth: u32,
    /// Width of a head; `None`: eight heads at every level.
    pub head_dim: Option<u32>,
    /// Width of the encoded text.
    pub text: u32,
    /// Width of the pooled text and image sizes that join the time; 0 for none.
    pub pooled_text: u32,
}

/// Tokens of an encoded prompt.
const PROMPT: u32 = 77;

impl UNet {
    /// The U-Net of Stable Diffusion 1.
    pub fn stable_diffusion_1() -> Self {
        Self {
            size: 64,
            channels: 4,
            widths: vec![320, 640, 1280, 1280],
            transformers: vec![1, 1, 1, 0],
            middle: 1,
            depth: 2,
            head_dim: None,
            text: 768,
            pooled_text: 0,
        }
    }

    /// The U-Net of Stable Diffusion XL (arXiv 2307.01952).
    pub fn stable_diffusion_xl() -> Self {
        Self {
            size: 128,
            channels: 4,
            widths: vec![320, 640, 1280],
            transformers: vec![0, 2, 10],
            middle: 10,
            depth: 2,
            head_dim: Some(64),
            text: 2048,
            pooled_text: 2816,
        }
    }

    fn time(&self) -> u32 {
        4 * self.widths.first().copied().unwrap_or(0)
    }

    /// A residual block, conditioned on time.
    fn block(&self, inputs: u32, outputs: u32) -> Layer {
        let body = vec![
            Layer::Norm,
            Layer::Smooth,
            square(outputs, 3, 1),
            Layer::Condition { inputs: self.time(), outputs },
            Layer::Norm,
            Layer::Smooth,
            square(outputs, 3, 1),
        ];
        let shortcut = if inputs == outputs { Vec::new() } else { vec![square(outputs, 1, 1)] };
        Layer::Residual { body, shortcut }
    }

    /// Transformer blocks over the grid: attention to itself, to the text, and a gated feed-forward layer.
    fn attention(&self, width: u32, depth: u32) -> Vec<Layer> {
        if depth == 0 {
            return Vec::new();
        }
        let heads = self.head_dim.map_or(8, |dim| width / dim.max(1));
        let own = Attention { bias: false, ..Attention::over(width, heads) };
        let text = Attention { source: Source::Other { tokens: PROMPT, width: self.text }, ..own };
        let mut body = vec![Layer::Norm, square(width, 1, 1)];
        for _ in 0..depth {
            body.extend([
                residual(vec![Layer::Norm, Layer::Attention(own)]),
                residual(vec![Layer::Norm, Layer::Attention(text)]),
                residual(vec![Layer::Norm, linear(8 * width), Layer::GatedHalves, linear(width)]),
            ]);
        }
        body.push(square(width, 1, 1));
        vec![residual(body)]
    }

    /// Its layers.
    pub fn network(&self) -> Network {
        let first = self.widths.first().copied().unwrap_or(0);
        // What each step of the way down leaves, the last on top: every block of the way up takes one.
        let mut down: Vec<(Vec<Layer>, u32)> = vec![(vec![square(first, 3, 1)], first)];
        let mut inputs = first;
        for (level, (&width, &transformers)) in self.widths.iter().zip(&self.transformers).enumerate() {
            for _ in 0..self.depth {
                let mut layers = vec![self.block(inputs, width)];
                layers.extend(self.attention(width, transformers));
                down.push((vec![Layer::Block(layers)], width));
                inputs = width;
            }
            if level + 1 < self.widths.len() {
                down.push((vec![square(width, 3, 2)], width));
            }
        }
        let mut middle = vec![self.block(inputs, inputs)];
        middle.extend(self.attention(inputs, self.middle));
        middle.push(self.block(inputs, inputs));
        let mut inside = vec![Layer::Block(middle)];
        let mut width_below = inputs;
        for (level, (&width, &transformers)) in self.widths.iter().zip(&self.transformers).enumerate().rev() {
            for index in 0..=self.depth {
                let Some((step, skipped)) = down.pop() else { break };
                let mut up = vec![self.block(width_below + skipped, width)];
                up.extend(self.attention(width, transformers));
                let joined = Layer::Concatenate(vec![inside, Vec::new()]);
                let mut layers = step;
                layers.extend([joined, Layer::Block(up)]);
                inside = layers;
                width_below = width;
                if index == self.depth && level > 0 {
                    inside.extend([Layer::Upsample { factor: 2 }, square(width, 3, 1)]);
                }
            }
        }
        let time = self.time();
        let mut layers =
            vec![Layer::Condition { inputs: first, outputs: time }, Layer::Condition { inputs: time, outputs: time }];
        if self.pooled_text > 0 {
            layers.push(Layer::Condition { inputs: self.pooled_text, outputs: time });
            layers.push(Layer::Condition { inputs: time, outputs: time });
        }
        layers.extend(inside);
        layers.extend([Layer::Norm, Layer::Smooth, square(self.channels, 3, 1)]);
        Network::of_image(self.channels, self.size, layers)
    }
}
