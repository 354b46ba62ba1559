//! Whether a shape can be: every number in its range, every division without remainder.

use thiserror::Error;

use super::{Cell, Custom, EncoderDecoder, Head, Input, Model, NetworkError, Recommender, Recurrent, Transformer};

/// Parameters beyond which a shape is taken for a mistake: a hundred times the largest ever trained.
const MOST_PARAMETERS: f64 = 1e14;

/// Why a shape cannot be.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ShapeError {
    /// A number that must be positive is 0.
    #[error("failed to read the model: {field} must be a positive number")]
    Zero {
        /// The field.
        field: &'static str,
    },
    /// A number that another must divide.
    #[error("failed to read the model: {field} ({value}) must be a multiple of {divisor_field} ({divisor})")]
    Divide {
        /// The field that is divided.
        field: &'static str,
        /// Its value.
        value: u64,
        /// The field that divides.
        divisor_field: &'static str,
        /// Its value.
        divisor: u64,
    },
    /// A number outside its range.
    #[error("failed to read the model: {field} ({value}) must be between {least} and {most}")]
    Range {
        /// The field.
        field: &'static str,
        /// Its value.
        value: f64,
        /// Least.
        least: f64,
        /// Most.
        most: f64,
    },
    /// More parameters than any model has.
    #[error("failed to read the model: {field} make {parameters:.3e} parameters, more than any model has (10^14)")]
    TooLarge {
        /// The fields.
        field: &'static str,
        /// What they come to.
        parameters: f64,
    },
    /// Layers that do not fit each other.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

fn positive(fields: &[(&'static str, u64)]) -> Result<(), ShapeError> {
    match fields.iter().find(|(_, value)| *value == 0) {
        Some((field, _)) => Err(ShapeError::Zero { field }),
        None => Ok(()),
    }
}

fn range(field: &'static str, value: f64, least: f64, most: f64) -> Result<(), ShapeError> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(ShapeError::Range { field, value, least, most }) }
}

fn size(field: &'static str, parameters: f64) -> Result<(), ShapeError> {
    if parameters <= MOST_PARAMETERS { Ok(()) } else { Err(ShapeError::TooLarge { field, parameters }) }
}

impl Model {
    /// Checks that the shape can be.
    ///
    /// # Errors
    /// One sentence that names the field, when a number is 0, does not divide, or is larger than anything there is.
    pub fn check(&self) -> Result<(), ShapeError> {
        match self {
            Self::Transformer(transformer) => transformer.check(),
            Self::EncoderDecoder(both) => both.check(),
            Self::Network(network) => {
                let profile = network.try_profile()?;
                size("layers", profile.parameters() as f64)
            }
            Self::Recurrent(recurrent) => recurrent.check(),
            Self::Recommender(recommender) => recommender.check(),
            Self::Custom(custom) => custom.check(),
        }
    }
}

impl Transformer {
    /// Checks that the shape can be.
    ///
    /// # Errors
    /// See [`Model::check`].
    pub fn check(&self) -> Result<(), ShapeError> {
        let number = u64::from;
        positive(&[("layers", number(self.layers)), ("hidden", number(self.hidden)), ("heads", number(self.heads))])?;
        match &self.latent {
            None => {
                positive(&[("kvHeads", number(self.kv_heads)), ("headDim", number(self.head_dim))])?;
                if !self.heads.is_multiple_of(self.kv_heads) {
                    return Err(ShapeError::Divide {
                        field: "heads",
                        value: number(self.heads),
                        divisor_field: "kvHeads",
                        divisor: number(self.kv_heads),
                    });
                }
            }
            Some(latent) => positive(&[
                ("latent.kvRank", number(latent.kv_rank)),
                ("latent.plainDim", number(latent.plain_dim)),
                ("latent.valueDim", number(latent.value_dim)),
                ("latent.queryRank", number(latent.query_rank.unwrap_or(1))),
            ])?,
        }
        range("layers", f64::from(self.layers), 1.0, 65_536.0)?;
        range("normsPerLayer", f64::from(self.norms_per_layer), 0.0, 8.0)?;
        match &self.experts {
            None => positive(&[("ffn", number(self.ffn))])?,
            Some(experts) => {
                positive(&[
                    ("experts.count", number(experts.count)),
                    ("experts.topK", number(experts.top_k)),
                    ("experts.ffn", number(experts.ffn)),
                    ("experts.every", number(experts.every)),
                ])?;
                range("experts.topK", f64::from(experts.top_k), 1.0, f64::from(experts.count))?;
                range("experts.capacityFactor", experts.capacity_factor, 0.01, 1000.0)?;
                if self.expert_layers() < self.layers {
                    positive(&[("ffn", number(self.ffn))])?;
                }
            }
        }
        if let Some(window) = &self.window {
            positive(&[("window.size", number(window.size))])?;
        }
        if self.head == Head::LanguageModel {
            positive(&[("vocabulary", number(self.vocabulary))])?;
        }
        size("layers, hidden, heads, ffn and vocabulary", self.parameters() as f64)
    }
}

impl EncoderDecoder {
    fn check(&self) -> Result<(), ShapeError> {
        self.encoder.check()?;
        self.decoder.check()?;
        if let Input::Spectrogram { bands, positions } = self.input {
            positive(&[("input.bands", u64::from(bands)), ("input.positions", u64::from(positions))])?;
        }
        size("encoder and decoder", self.parameters() as f64)
    }
}

impl Recurrent {
    fn check(&self) -> Result<(), ShapeError> {
        let number = u64::from;
        positive(&[
            ("inputs", number(self.inputs)),
            ("hidden", number(self.hidden)),
            ("layers", number(self.layers)),
            ("projection", number(self.projection.unwrap_or(1))),
        ])?;
        if self.projection.is_some() && self.cell != Cell::Lstm {
            return Err(ShapeError::Range { field: "projection", value: 1.0, least: 0.0, most: 0.0 });
        }
        size("layers, hidden and vocabulary", self.parameters() as f64)
    }
}

impl Recommender {
    fn check(&self) -> Result<(), ShapeError> {
        let widths = self.bottom.iter().chain(&self.top).map(|width| ("layer widths", u64::from(*width)));
        let tables = self.tables.iter().chain(&self.factors);
        let rows = tables.flat_map(|table| [("table rows", table.rows), ("table widths", u64::from(table.width))]);
        positive(&widths.chain(rows).collect::<Vec<_>>())?;
        positive(&[("top", self.top.len() as u64)])?;
        positive(&[("dense features and tables", u64::from(self.dense) + self.tables.len() as u64)])?;
        size("tables and layers", self.parameters() as f64)
    }
}

impl Custom {
    fn check(&self) -> Result<(), ShapeError> {
        positive(&[("parameters", self.parameters)])?;
        range("forwardFlopsPerSample", self.flops_per_sample, 1.0, 1e30)?;
        range("activationBytesPerSample", self.activation_bytes_per_sample as f64, 0.0, 1e15)?;
        size("parameters", self.parameters as f64)
    }
}
