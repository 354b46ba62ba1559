//! What a program can be told about its parallel layout, and the fixed values of the rest.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the program can be told about its parallel layout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.declared) || !has(self.declared.microBatch) || !('MicroBatch' in self.accepts)").message("parallelism.declared.microBatch is given although parallelism.accepts has MicroBatch"),
    validation = Rule::new("!has(self.declared) || !has(self.declared.gradientAccumulation) || !('GradientAccumulation' in self.accepts)").message("parallelism.declared.gradientAccumulation is given although parallelism.accepts has GradientAccumulation"),
    validation = Rule::new("!has(self.declared) || !has(self.declared.tensor) || !('Tensor' in self.accepts)").message("parallelism.declared.tensor is given although parallelism.accepts has Tensor"),
    validation = Rule::new("!has(self.declared) || !has(self.declared.sharding) || !('Sharding' in self.accepts)").message("parallelism.declared.sharding is given although parallelism.accepts has Sharding"),
    validation = Rule::new("!has(self.declared) || !has(self.declared.recompute) || !('Recompute' in self.accepts)").message("parallelism.declared.recompute is given although parallelism.accepts has Recompute")
)]
pub struct Parallelism {
    /// Words that the program takes from its environment; what is not listed keeps its declared value.
    #[serde(default = "default_words")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "set"))]
    pub accepts: Vec<ParallelismWord>,
    /// Values of what the program cannot be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<Declared>,
}

fn default_words() -> Vec<ParallelismWord> {
    vec![ParallelismWord::MicroBatch, ParallelismWord::GradientAccumulation, ParallelismWord::Data]
}

impl Default for Parallelism {
    fn default() -> Self {
        Self { accepts: default_words(), declared: None }
    }
}

/// Something that a program can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum ParallelismWord {
    /// Samples that a rank computes at once.
    MicroBatch,
    /// Micro-batches per optimizer step.
    GradientAccumulation,
    /// Data-parallel ranks.
    Data,
    /// What the data-parallel ranks share out (ZeRO, FSDP).
    Sharding,
    /// Tensor-parallel ranks.
    Tensor,
    /// What is computed again in the backward pass.
    Recompute,
}

/// Values of what the program cannot be told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Declared {
    /// Micro-batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub micro_batch: Option<i32>,
    /// Gradient accumulation steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub gradient_accumulation: Option<i32>,
    /// Tensor-parallel ranks; 1 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub tensor: Option<i32>,
    /// What the data-parallel ranks share out; None unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharding: Option<Sharding>,
    /// What is computed again in the backward pass; None unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recompute: Option<Recompute>,
}

/// What the data-parallel ranks share out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Sharding {
    /// Nothing.
    #[default]
    None,
    /// Optimizer states (ZeRO-1).
    Optimizer,
    /// Optimizer states and gradients (ZeRO-2).
    Gradients,
    /// Weights, gradients and optimizer states (ZeRO-3, FSDP).
    Full,
}

/// What is computed again in the backward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Recompute {
    /// Nothing.
    #[default]
    None,
    /// Attention scores.
    Selective,
    /// All but each layer's input.
    Full,
}
