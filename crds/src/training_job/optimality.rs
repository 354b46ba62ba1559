//! Whether a job's parameters and data fit each other.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a model is to be used once it is trained.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Inference {
    /// Tokens that it is expected to read and write over its life. The more they are, the smaller the model that is
    /// cheapest to train and serve.
    #[schemars(range(min = 1))]
    pub tokens: i64,
}

/// Whether a job's parameters and data fit each other, by a law of the loss. Numbers have three digits that count.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComputeOptimality {
    /// The verdict.
    pub verdict: OptimalityVerdict,
    /// Why no law applies; absent where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub reason: Option<String>,
    /// The law, and where it is from; absent where none applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub law: Option<String>,
    /// Tokens seen in training for each parameter, in thousandths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_parameter_milli: Option<i64>,
    /// Tokens per parameter, repeated ones by their worth, over those of the optimum, in thousandths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio_permille: Option<i64>,
    /// Parameters of the optimum: of the same training FLOPs, or, with inference.tokens, of the same loss at the least
    /// FLOPs of training and serving.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optimal_parameters: Option<i64>,
    /// Tokens of that optimum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optimal_tokens: Option<i64>,
    /// The variant that reaches the lowest loss with the same training FLOPs on the data at hand; absent where none of
    /// them, as far as a law applies to it, reaches a lower one than model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub nearest_variant: Option<String>,
    /// Loss above that of the optimum of the same training FLOPs, in thousandths of a nat per token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excess_loss_millinats: Option<i64>,
    /// FLOPs over the fewest that reach the same loss, in thousandths; those of serving count where inference.tokens is
    /// given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute_multiplier_permille: Option<i64>,
}

/// A verdict on a job's parameters and data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OptimalityVerdict {
    /// Under half of the optimum's tokens per parameter: a smaller model on more data would be better.
    DataStarved,
    /// From half of them to twice.
    Optimal,
    /// Over twice: a larger model on less data would be cheaper.
    OverTrained,
    /// No law applies.
    #[default]
    NotApplicable,
}
