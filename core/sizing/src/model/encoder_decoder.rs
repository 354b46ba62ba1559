//! Transformers of two stacks: an encoder, and a decoder that attends to it.

use serde::{Deserialize, Serialize};

use super::block::cross_parameters;
use super::transformer::Transformer;
use crate::profile::{Divides, Kernel, KernelKind, Matrix, Place, Profile, Role, Unit};

/// How a sample enters the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// Tokens of the decoder's vocabulary, through the same embedding; as many as the decoder's (T5).
    SharedTokens,
    /// Frames of a spectrogram through two convolutions of three frames, the second with a stride of two (Whisper).
    Spectrogram {
        /// Bands of a frame.
        bands: u32,
        /// Positions that the encoder sees, half as many as frames.
        positions: u32,
    },
}

/// The dimensions of an encoder and a decoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EncoderDecoder {
    /// The encoder; its vocabulary is 0 and its head bare.
    pub encoder: Transformer,
    /// The decoder; every block has a second attention, over the encoder's output.
    pub decoder: Transformer,
    /// How a sample enters the encoder.
    pub input: Input,
}

impl EncoderDecoder {
    /// Parameters of the two convolutions before the encoder.
    fn front_parameters(&self) -> f64 {
        let hidden = f64::from(self.encoder.hidden);
        match self.input {
            Input::SharedTokens => 0.0,
            Input::Spectrogram { bands, .. } => 3.0 * hidden * (f64::from(bands) + hidden) + 2.0 * hidden,
        }
    }

    /// Parameters in all.
    pub fn parameters(&self) -> u64 {
        let cross = f64::from(self.decoder.layers) * cross_parameters(&self.decoder) as f64;
        self.encoder
            .parameters()
            .saturating_add(self.decoder.parameters())
            .saturating_add((self.front_parameters() + cross) as u64)
    }

    /// What one sample does to a device. `sequence_length` is the length of the decoder's text, and of the encoder's where
    /// it reads text.
    pub fn profile(&self, sequence_length: u32) -> Profile {
        let tokens = f64::from(sequence_length.max(1));
        let source = match self.input {
            Input::SharedTokens => tokens,
            Input::Spectrogram { positions, .. } => f64::from(positions),
        };
        let mut embedding = self.encoder.embedding_unit(source);
        if let Input::Spectrogram { bands, .. } = self.input {
            embedding.parameters = embedding.parameters.saturating_add(self.front_parameters() as u64);
            embedding.kernels = self.front(bands, source);
        }
        let mut units = vec![embedding];
        units.extend(self.encoder.blocks(source, None));
        units.extend(self.encoder.head_unit(source).map(|unit| Unit { role: Role::Body, ..unit }));
        units.push(self.decoder.embedding_unit(tokens));
        units.extend(self.decoder.blocks(tokens, Some(source)));
        units.extend(self.decoder.head_unit(tokens));
        Profile { units }
    }

    fn front(&self, bands: u32, positions: f64) -> Vec<Kernel> {
        let (bands, width) = (u64::from(bands), u64::from(self.encoder.hidden));
        let convolution = |inputs: u64, before: f64, after: f64| Kernel {
            flops: 2.0 * after * (3 * inputs) as f64 * width as f64,
            weights: (3 * inputs).saturating_mul(width),
            matrix: Some(Matrix { rows: 3 * inputs, columns: width, count: 1, place: Place::Other }),
            saved_elements: before * inputs as f64,
            width: u32::try_from((3 * inputs).min(width)).unwrap_or(u32::MAX),
            divides: Divides::No,
            ..Kernel::new(KernelKind::Convolution, before * inputs as f64, after * width as f64)
        };
        let frames = 2.0 * positions;
        let (first, second) = (frames * width as f64, positions * width as f64);
        vec![
            convolution(bands, frames, frames),
            Kernel::pointwise(first, first),
            convolution(width, frames, positions),
            Kernel::pointwise(second, second),
        ]
    }
}
