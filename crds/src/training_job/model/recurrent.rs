//! Recurrent networks by their dimensions.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A recurrent network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.projection) || self.cell == 'Lstm'").message("model.recurrent.projection is given but cell is not Lstm"))]
pub struct Recurrent {
    /// Its cell.
    pub cell: Cell,
    /// Entries of the vocabulary; absent where inputs are features.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4_194_304))]
    pub vocabulary: Option<i32>,
    /// Width of the embedding, or of the features.
    #[schemars(range(min = 1, max = 262_144))]
    pub inputs: i32,
    /// Width of the state.
    #[schemars(range(min = 1, max = 262_144))]
    pub hidden: i32,
    /// Layers.
    #[schemars(range(min = 1, max = 1024))]
    pub layers: i32,
    /// A second set of layers reads backwards.
    #[serde(default)]
    pub bidirectional: bool,
    /// Width that the state of an LSTM is projected to; absent for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 262_144))]
    pub projection: Option<i32>,
    /// Classes or words of the output; absent for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4_194_304))]
    pub outputs: Option<i32>,
    /// The output layer shares the input embedding.
    #[serde(default)]
    pub tied_embeddings: bool,
    /// There is an output at every step, rather than one at the end.
    #[serde(default)]
    pub every_step: bool,
}

/// The cell of a recurrent layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Cell {
    /// One gate.
    Rnn,
    /// Four gates and a memory.
    #[default]
    Lstm,
    /// Three gates.
    Gru,
}
