//! The specification of a TrainingJob: the user's; Plimsoll never writes it.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Accelerators, Checkpoint, Inference, Method, Model, Objective, Parallelism, Topology, TrainingJobStatus, Variant,
};

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
    validation = Rule::new("!has(self.rightsizing) || self.rightsizing.mode != 'Off' || has(self.accelerators.requested)").message("accelerators.requested is required when rightsizing.mode is Off: it is the count that runs"),
    validation = Rule::new("!has(self.elasticity) || self.elasticity != 'Fixed' || !has(self.rightsizing) || self.rightsizing.mode != 'Auto' || !has(self.accelerators.requested) || !has(self.accelerators.min) || self.accelerators.min == self.accelerators.requested").message("elasticity Fixed with accelerators.min below requested and rightsizing.mode Auto: a fixed count cannot be corrected; use Moldable or Elastic"),
    validation = Rule::new("!has(self.elasticity) || self.elasticity != 'Elastic' || has(self.checkpoint)").message("elasticity Elastic needs checkpoint: without one nothing is left after a resize"),
    validation = Rule::new("!has(self.elasticity) || self.elasticity != 'Elastic' || !has(self.checkpoint) || (has(self.checkpoint.portableAcross) && self.checkpoint.portableAcross.size() > 0)").message("elasticity Elastic needs checkpoint.portableAcross: a checkpoint that only its own layout can read does not survive a resize"),
    validation = Rule::new(r#"has(self.data.sequenceLength) || !(has(self.model.transformer) || has(self.model.mixtureOfExperts) || has(self.model.encoderDecoder) || has(self.model.recurrent) || (has(self.model.huggingFace) && !self.model.huggingFace.config.matches(r'"model_type"\s*:\s*"(vit|resnet|convnext)"')))"#).message("data.sequenceLength is required for a transformer or a recurrent network: memory and arithmetic depend on it"),
    validation = Rule::new("!has(self.method) || !has(self.method.reinforcement) || !has(self.data.sequenceLength) || self.method.reinforcement.promptTokens < self.data.sequenceLength").message("method.reinforcement.promptTokens must be below data.sequenceLength: what is left of it is the answer"),
    validation = Rule::new("!has(self.parallelism) || !has(self.parallelism.declared) || !has(self.parallelism.declared.microBatch) || self.batch.global.preferred % self.parallelism.declared.microBatch == 0").message("batch.global.preferred must be a multiple of parallelism.declared.microBatch"),
    validation = Rule::new("!has(self.parallelism) || !has(self.parallelism.declared) || !has(self.accelerators.requested) || self.accelerators.requested % ((has(self.parallelism.declared.tensor) ? self.parallelism.declared.tensor : 1) * (has(self.parallelism.declared.pipeline) ? self.parallelism.declared.pipeline : 1) * (has(self.parallelism.declared.context) ? self.parallelism.declared.context : 1)) == 0").message("accelerators.requested must be a multiple of parallelism.declared tensor x pipeline x context, the accelerators that one copy of the model is spread over"),
    validation = Rule::new("!has(self.parallelism) || !has(self.parallelism.declared) || (has(self.accelerators.max) ? self.accelerators.max : has(self.accelerators.requested) ? self.accelerators.requested : 8) >= (has(self.parallelism.declared.tensor) ? self.parallelism.declared.tensor : 1) * (has(self.parallelism.declared.pipeline) ? self.parallelism.declared.pipeline : 1) * (has(self.parallelism.declared.context) ? self.parallelism.declared.context : 1)").message("accelerators.max (8 unless given) must not be below parallelism.declared tensor x pipeline x context, the accelerators that one copy of the model is spread over"),
    validation = Rule::new("!has(self.parallelism) || !has(self.parallelism.declared) || !has(self.parallelism.declared.tensor) || !has(self.accelerators.perPod) || self.accelerators.perPod % self.parallelism.declared.tensor == 0").message("accelerators.perPod must be a multiple of parallelism.declared.tensor: tensor-parallel ranks stay in one pod")
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
    /// Models that could be trained instead. The status says which of them fits the data and the FLOPs best; Plimsoll trains
    /// the one in model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub variants: Vec<Variant>,
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
    /// How near each other its pods are to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology: Option<Topology>,
    /// What is wanted of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Objective>,
    /// What the program can be told about its parallel layout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<Parallelism>,
    /// How it checkpoints; without this nothing survives a restart, and the count changes before the first start only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Checkpoint>,
    /// When the count of accelerators may change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elasticity: Option<Elasticity>,
    /// How the model is to be used once it is trained, which bears on the verdict of compute-optimality.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inference: Option<Inference>,
    /// What happens after failures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_policy: Option<FailurePolicy>,
    /// The container that trains; the template's default-container annotation or its first container unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub trainer_container: Option<String>,
    /// A pod template. Plimsoll adds accelerators, environment, labels and the node; it keeps all else as it is.
    #[schemars(schema_with = "raw_template")]
    pub template: serde_json::Value,
}

fn default_queue() -> String {
    "default".to_owned()
}

/// The template is kept as it was written: an older Plimsoll must not drop what a newer Kubernetes knows. A CEL rule cannot
/// see into what the schema does not declare, so that a pod is there at all is said by `required`.
fn raw_template(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "required": ["spec"],
        "properties": {
            "metadata": {
                "type": "object",
                "description": "Labels and annotations of the pods.",
                "x-kubernetes-preserve-unknown-fields": true,
            },
            "spec": {
                "type": "object",
                "description": "The pod: `kubectl explain pod.spec`. Its trainer container requests no accelerators itself.",
                "x-kubernetes-preserve-unknown-fields": true,
            },
        },
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

/// How much Plimsoll may decide.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rightsizing {
    /// "Off" (in quotes: YAML reads a bare Off as false) runs exactly the requested count; Initial chooses once; Auto also
    /// corrects while the job runs.
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
    /// 8-bit floating point products, bfloat16 between them, 32-bit master weights.
    Fp8Mixed,
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
    /// Adagrad.
    Adagrad,
    /// Muon for the matrices of the body, AdamW for all else.
    Muon,
    /// Shampoo, with Kronecker factors for every matrix.
    Shampoo,
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
