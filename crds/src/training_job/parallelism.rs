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
    validation = Rule::new("!has(self.declared) || !has(self.declared.pipeline) || !('Pipeline' in self.accepts)").message("parallelism.declared.pipeline is given although parallelism.accepts has Pipeline"),
    validation = Rule::new("!has(self.declared) || !has(self.declared.context) || !('Context' in self.accepts)").message("parallelism.declared.context is given although parallelism.accepts has Context"),
    validation = Rule::new("!has(self.declared) || !has(self.declared.expert) || !('Expert' in self.accepts)").message("parallelism.declared.expert is given although parallelism.accepts has Expert"),
    validation = Rule::new("!has(self.declared) || !has(self.declared.sharding) || !('Sharding' in self.accepts)").message("parallelism.declared.sharding is given although parallelism.accepts has Sharding"),
    validation = Rule::new("!has(self.declared) || !has(self.declared.recompute) || !('Recompute' in self.accepts)").message("parallelism.declared.recompute is given although parallelism.accepts has Recompute"),
    validation = Rule::new("!has(self.declared) || !has(self.declared.offload) || !('Offload' in self.accepts)").message("parallelism.declared.offload is given although parallelism.accepts has Offload"),
    validation = Rule::new("!has(self.declared) || !has(self.declared.sequenceParallel) || !self.declared.sequenceParallel || 'Tensor' in self.accepts || (has(self.declared.tensor) && self.declared.tensor > 1)").message("parallelism.declared.sequenceParallel needs tensor-parallel ranks: accept Tensor, or declare tensor above 1"),
    validation = Rule::new("!has(self.declared) || !(has(self.declared.schedule) || has(self.declared.virtualStages)) || 'Pipeline' in self.accepts || (has(self.declared.pipeline) && self.declared.pipeline > 1)").message("parallelism.declared.schedule and virtualStages need pipeline stages: accept Pipeline, or declare pipeline above 1"),
    validation = Rule::new("!has(self.declared) || !has(self.declared.shardsInPod) || !self.declared.shardsInPod || 'Sharding' in self.accepts || (has(self.declared.sharding) && self.declared.sharding != 'None')").message("parallelism.declared.shardsInPod needs something to share out: accept Sharding, or declare sharding other than None")
)]
pub struct Parallelism {
    /// Words that the program takes from its environment; what is not listed keeps its declared value.
    #[serde(default = "default_words")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "set"))]
    pub accepts: Vec<ParallelismWord>,
    /// Values of what the program cannot be told, and traits that it has whatever it is told.
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
    /// Pipeline stages.
    Pipeline,
    /// Context-parallel ranks, which share out the sequence.
    Context,
    /// Expert-parallel ranks, which share out the experts.
    Expert,
    /// What is computed again in the backward pass.
    Recompute,
    /// What waits in host memory.
    Offload,
}

/// Values of what the program cannot be told, and traits that it has whatever it is told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.virtualStages) || self.virtualStages == 1 || !has(self.schedule) || self.schedule == 'OneForwardOneBackward'").message("parallelism.declared.virtualStages above 1 needs schedule OneForwardOneBackward, the one whose stages interleave")
)]
pub struct Declared {
    /// Micro-batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub micro_batch: Option<i32>,
    /// Gradient accumulation steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub gradient_accumulation: Option<i32>,
    /// Tensor-parallel ranks, all of them in one pod; 1 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub tensor: Option<i32>,
    /// Tensor-parallel ranks share out the sequence between their products too (Megatron's sequence parallelism). A trait
    /// of the program, whatever the count of ranks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence_parallel: Option<bool>,
    /// Pipeline stages; 1 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub pipeline: Option<i32>,
    /// Order of a pipeline's work, a trait of the program; OneForwardOneBackward unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// Pieces of the model on each pipeline stage, which interleave; a trait of the program, 1 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub virtual_stages: Option<i32>,
    /// Context-parallel ranks; 1 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub context: Option<i32>,
    /// Expert-parallel ranks, which are data-parallel ranks too; 1 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub expert: Option<i32>,
    /// What the data-parallel ranks share out; None unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharding: Option<Sharding>,
    /// States are shared out within a pod alone, and every pod holds all of them (HSDP). A trait of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shards_in_pod: Option<bool>,
    /// What is computed again in the backward pass; None unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recompute: Option<Recompute>,
    /// What waits in host memory while the device does not need it; None unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offload: Option<Offload>,
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

/// In which order pipeline stages work through the micro-batches of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Schedule {
    /// One forward, one backward (1F1B); interleaved where there are virtual stages.
    #[default]
    OneForwardOneBackward,
    /// All forward passes, then all backward passes.
    GPipe,
    /// One forward, one backward, with weight gradients moved into the bubble.
    ZeroBubble,
}

/// What waits in host memory while the device does not need it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Offload {
    /// Nothing.
    #[default]
    None,
    /// Optimizer states; the host takes the step.
    Optimizer,
    /// Optimizer states and weights.
    All,
}

/// Degrees and options of a layout beyond data and tensor parallelism. Each is absent where it is 1 or nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Degrees {
    /// Pipeline stages; absent: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_parallel: Option<i32>,
    /// Context-parallel ranks; absent: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_parallel: Option<i32>,
    /// Expert-parallel ranks, which are data-parallel ranks too; absent: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expert_parallel: Option<i32>,
    /// Data-parallel ranks that share states out among themselves, each group holding all of them (HSDP); absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard_group: Option<i32>,
    /// Tensor-parallel ranks share out the sequence between their products too; absent: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence_parallel: Option<bool>,
    /// Order of the pipeline's work; absent: OneForwardOneBackward.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// Pieces of the model on each pipeline stage; absent: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_stages: Option<i32>,
    /// What waits in host memory; absent: None.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offload: Option<Offload>,
}
