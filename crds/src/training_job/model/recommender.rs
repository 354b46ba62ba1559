//! Recommenders and multi-layer perceptrons by their dimensions.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Embedding tables and dense layers; without tables, a plain multi-layer perceptron.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.dense) || (has(self.tables) && self.tables.size() > 0)").message("model.recommender must have dense or tables: otherwise nothing enters its layers"))]
pub struct Recommender {
    /// Dense features of a sample; none unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16_777_216))]
    pub dense: Option<i32>,
    /// Widths of the layers over the dense features.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(range(min = 1, max = 1_048_576)))]
    pub bottom: Vec<i32>,
    /// Embedding tables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024))]
    pub tables: Vec<Table>,
    /// How their vectors come together; Concatenate unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interaction: Option<Interaction>,
    /// Tables whose two vectors are multiplied and join the last layer's input (neural collaborative filtering).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2))]
    pub factors: Vec<Table>,
    /// Widths of the layers above, the output last.
    #[schemars(length(min = 1, max = 64), inner(range(min = 1, max = 1_048_576)))]
    pub top: Vec<i32>,
}

/// An embedding table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Table {
    /// Rows.
    #[schemars(range(min = 1))]
    pub rows: i64,
    /// Values of a row.
    #[schemars(range(min = 1, max = 262_144))]
    pub width: i32,
    /// Rows that one sample reads, summed into one vector; 1 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub lookups: Option<i32>,
}

/// How the vectors of a sample come together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Interaction {
    /// Side by side.
    #[default]
    Concatenate,
    /// Products of all pairs beside the dense vector (DLRM).
    Dot,
}
