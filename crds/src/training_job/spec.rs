//! The specification of a TrainingJob: the user's; Plimsoll never writes it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Model, TrainingJobStatus};

/// What to train, within which limits, and the pod that trains it.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "plimsoll.dev",
    version = "v1alpha1",
    kind = "TrainingJob",
    plural = "trainingjobs",
    shortname = "tj",
    category = "plimsoll",
    namespaced,
    status = "TrainingJobStatus",
    doc = "A training job: what to train, within which limits. Plimsoll chooses on how much, places it as a gang, watches it and corrects itself.",
    derive = "PartialEq",
    derive = "Default",
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$')").message("metadata.name must begin with a letter, hold only lower-case letters, digits and '-', and be at most 40 characters long"),
    printcolumn = r#"{"name":"Queue","type":"string","jsonPath":".spec.queueName","description":"Queue of the job"}"#,
    printcolumn = r#"{"name":"State","type":"string","jsonPath":".status.summary","description":"Where the job stands"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.waiting.reason","description":"Why it does not run"}"#,
    printcolumn = r#"{"name":"GPUs","type":"integer","jsonPath":".status.allocation.gpus","description":"Accelerators that it holds"}"#,
    printcolumn = r#"{"name":"Class","type":"string","jsonPath":".status.allocation.class","description":"Their class"}"#,
    printcolumn = r#"{"name":"Batch","type":"string","jsonPath":".status.allocation.batch","description":"Micro-batch x accumulation x data-parallel ranks"}"#,
    printcolumn = r#"{"name":"Use","type":"string","jsonPath":".status.observed.use","description":"SM activity of its accelerators over the last window"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp","description":"Age of the job"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.accelerators.requested) || !has(self.elasticity) || self.elasticity != 'Fixed' || !has(self.accelerators.min) || self.accelerators.min == self.accelerators.requested || !has(self.rightsizing) || self.rightsizing.mode != 'Auto'").message("elasticity Fixed with accelerators.min below requested and rightsizing.mode Auto: a fixed count cannot be corrected; use Moldable or Elastic"),
    validation = Rule::new("!has(self.elasticity) || self.elasticity != 'Elastic' || has(self.checkpoint)").message("elasticity Elastic needs checkpoint: without one nothing is left after a resize"),
    validation = Rule::new("!(has(self.model.transformer) || has(self.model.huggingFace)) || has(self.data.sequenceLength)").message("data.sequenceLength is required for a transformer: memory and arithmetic depend on it"),
    validation = Rule::new("!has(self.method) || self.method.type != 'Lora' || has(self.method.lora)").message("method.lora is required when method.type is Lora")
)]
pub struct TrainingJobSpec {
    /// The queue that the job waits in.
    #[serde(default = "default_queue")]
    #[schemars(length(min = 1, max = 63))]
    pub queue_name: String,
    /// Priority class of the job, one of those that the queue allows; higher goes first. The default class counts 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
    /// True gives the accelerators back (after a checkpoint) and keeps the job from starting.
    #[serde(default)]
    pub suspend: bool,
    /// How much Plimsoll may decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rightsizing: Option<Rightsizing>,
    /// What is trained.
    pub model: Model,
    /// Arithmetic that training uses.
    #[serde(default)]
    pub precision: Precision,
    /// Optimizer; its states take memory.
    #[serde(default)]
    pub optimizer: Optimizer,
    /// How the model is trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// How much data it is trained on.
    pub data: Data,
    /// Samples per optimizer step.
    pub batch: Batch,
    /// Which accelerators, and how many.
    #[serde(default)]
    pub accelerators: Accelerators,
    /// What the program can be told about its parallel layout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<Parallelism>,
    /// How it checkpoints; without this nothing survives a restart, and the count changes before the first start only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Checkpoint>,
    /// When the count of accelerators may change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elasticity: Option<Elasticity>,
    /// What happens after failures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_policy: Option<FailurePolicy>,
    /// The container that trains; the template's default-container annotation or its first container unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub trainer_container: Option<String>,
    /// A pod template. Plimsoll adds accelerators, environment, labels and the node; it keeps all else as it is.
    #[x_kube(validation = Rule::new("has(self.spec)").message("template.spec is required: the pod that trains"))]
    #[schemars(schema_with = "raw_template")]
    pub template: serde_json::Value,
}

fn default_queue() -> String {
    "default".to_owned()
}

/// The template is kept as it was written: an older Plimsoll must not drop what a newer Kubernetes knows.
fn raw_template(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

/// How much Plimsoll may decide.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rightsizing {
    /// Off runs exactly the requested count; Initial chooses once; Auto also corrects while the job runs.
    #[serde(default)]
    pub mode: RightsizingMode,
}

/// How much Plimsoll may decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RightsizingMode {
    /// Exactly the requested count.
    Off,
    /// Chosen once, before the first start.
    #[default]
    Initial,
    /// Chosen, watched and corrected.
    Auto,
}

/// Arithmetic that training uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Precision {
    /// 32-bit floating point.
    Fp32,
    /// 32-bit storage, TF32 arithmetic.
    Tf32,
    /// 16-bit floating point with 32-bit master weights.
    Fp16Mixed,
    /// bfloat16 with 32-bit master weights.
    #[default]
    Bf16Mixed,
    /// bfloat16 throughout.
    Bf16,
}

/// Optimizer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Optimizer {
    /// Adam with decoupled weight decay.
    #[default]
    AdamW,
    /// AdamW with 8-bit states.
    AdamW8bit,
    /// Adafactor.
    Adafactor,
    /// Plain stochastic gradient descent.
    Sgd,
    /// Stochastic gradient descent with momentum.
    SgdMomentum,
    /// Lion.
    Lion,
}

/// How the model is trained.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Method {
    /// Which method.
    #[serde(default, rename = "type")]
    pub type_: MethodKind,
    /// Low-rank adapters, for method Lora.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<Lora>,
}

/// A method of training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MethodKind {
    /// From random weights.
    #[default]
    Pretrain,
    /// All weights, from a trained model.
    Finetune,
    /// Low-rank adapters beside frozen weights.
    Lora,
}

/// Low-rank adapters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lora {
    /// Rank of the adapters.
    #[schemars(range(min = 1, max = 4096))]
    pub rank: i32,
}

/// How much data a job is trained on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.tokens), has(self.samples)].filter(x, x).size() == 1").message("data must have exactly one of tokens or samples"))]
#[x_kube(validation = Rule::new("!has(self.tokens) || has(self.sequenceLength)").message("data.tokens needs data.sequenceLength"))]
pub struct Data {
    /// Tokens of an epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub tokens: Option<i64>,
    /// Samples of an epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub samples: Option<i64>,
    /// Tokens of a sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16_777_216))]
    pub sequence_length: Option<i32>,
    /// Epochs.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100_000))]
    pub epochs: i32,
}

fn one() -> i32 {
    1
}

/// Samples per optimizer step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// Samples (sequences) in one optimizer step over all ranks. Every size keeps it: accumulation absorbs the change.
    pub global: GlobalBatch,
    /// The program re-reads micro-batch and accumulation in its loop (from the reply to its progress report), so that
    /// they may change without a restart.
    #[serde(default)]
    pub live: bool,
}

/// The global batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GlobalBatch {
    /// Samples per optimizer step.
    #[schemars(range(min = 1, max = 16_777_216))]
    pub preferred: i32,
}

/// Which accelerators, and how many.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.min) || !has(self.max) || self.min <= self.max").message("accelerators.min must not be above accelerators.max"))]
#[x_kube(validation = Rule::new("!has(self.requested) || !has(self.max) || self.requested <= self.max").message("accelerators.requested must not be above accelerators.max"))]
#[x_kube(validation = Rule::new("!has(self.requested) || !has(self.min) || self.requested >= self.min").message("accelerators.requested must not be below accelerators.min"))]
#[x_kube(validation = Rule::new("!has(self.perPod) || !has(self.requested) || self.requested % self.perPod == 0").message("accelerators.requested must be a multiple of accelerators.perPod"))]
pub struct Accelerators {
    /// Names of AcceleratorClasses that the job may run on; empty means any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub classes: Vec<String>,
    /// Fewest accelerators; 1 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_536))]
    pub min: Option<i32>,
    /// Most accelerators; `requested` unless given, and 8 without either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_536))]
    pub max: Option<i32>,
    /// The count that the user would have asked for; the count of mode Off, and where mode Auto starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_536))]
    pub requested: Option<i32>,
    /// Accelerators in each pod, where the program needs a certain number; chosen unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 128))]
    pub per_pod: Option<i32>,
    /// Other resources that each accelerator brings to the trainer container.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "resourcesPerGPU")]
    pub resources_per_gpu: Option<ResourcesPerGpu>,
}

/// Resources per accelerator, by resource name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourcesPerGpu {
    /// CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Quantity>,
    /// Host memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
    /// Ephemeral storage.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "ephemeral-storage")]
    pub ephemeral_storage: Option<Quantity>,
}

impl ResourcesPerGpu {
    /// The amounts by resource name.
    pub fn amounts(&self) -> BTreeMap<&'static str, &Quantity> {
        [("cpu", &self.cpu), ("memory", &self.memory), ("ephemeral-storage", &self.ephemeral_storage)]
            .into_iter()
            .filter_map(|(name, amount)| amount.as_ref().map(|a| (name, a)))
            .collect()
    }
}

/// What the program can be told about its parallel layout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
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

/// How a job checkpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    /// Folder under which each revision writes a folder of its own.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new("self.startsWith('/')").message("checkpoint.path must be an absolute path"))]
    pub path: String,
    /// Seconds between the program's own checkpoints.
    #[serde(default = "default_interval")]
    #[schemars(range(min = 1, max = 604_800))]
    pub interval_seconds: i32,
    /// Seconds that writing one takes.
    #[serde(default = "default_seconds")]
    #[schemars(range(min = 0, max = 86_400))]
    pub seconds: i32,
    /// SIGTERM makes the program write a checkpoint and end.
    #[serde(default)]
    pub on_signal: bool,
    /// The reply to a progress report can ask for a checkpoint.
    #[serde(default)]
    pub on_request: bool,
    /// What may change between writing and reading one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "set"))]
    pub portable_across: Vec<Portable>,
}

fn default_interval() -> i32 {
    1800
}

fn default_seconds() -> i32 {
    60
}

/// What may change between writing and reading a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Portable {
    /// The count of data-parallel ranks.
    Data,
    /// The count of tensor-parallel ranks.
    Tensor,
}

/// When the count of accelerators may change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Elasticity {
    /// Never.
    Fixed,
    /// Before the first start, or after a failure.
    #[default]
    Moldable,
    /// Also while it runs, through a checkpoint.
    Elastic,
}

/// What happens after failures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailurePolicy {
    /// Failures of the program after which the job counts as failed. Disruptions and running out of device memory at a
    /// size that Plimsoll chose do not count.
    #[serde(default = "default_failures")]
    #[schemars(range(min = 0, max = 1000))]
    pub max_failures: i32,
}

fn default_failures() -> i32 {
    3
}

impl Default for FailurePolicy {
    fn default() -> Self {
        Self { max_failures: default_failures() }
    }
}
