//! How a model is trained: which of its parameters, and towards what.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the model is trained.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(self.type in ['Lora', 'Qlora']) || has(self.lora)").message("method.lora is required when method.type is Lora or Qlora"),
    validation = Rule::new("self.type in ['Lora', 'Qlora', 'Preference'] || !has(self.lora)").message("method.lora is given but method.type is not Lora, Qlora or Preference"),
    validation = Rule::new("self.type != 'Transfer' || has(self.transfer)").message("method.transfer is required when method.type is Transfer"),
    validation = Rule::new("self.type == 'Transfer' || !has(self.transfer)").message("method.transfer is given but method.type is not Transfer"),
    validation = Rule::new("self.type == 'Private' || !has(self.private)").message("method.private is given but method.type is not Private"),
    validation = Rule::new("self.type != 'Reinforcement' || has(self.reinforcement)").message("method.reinforcement is required when method.type is Reinforcement"),
    validation = Rule::new("self.type == 'Reinforcement' || !has(self.reinforcement)").message("method.reinforcement is given but method.type is not Reinforcement")
)]
pub struct Method {
    /// Which method.
    #[serde(default, rename = "type")]
    pub type_: MethodKind,
    /// Low-rank adapters, for methods Lora and Qlora, and for Preference where only adapters are trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<Lora>,
    /// What is trained, for method Transfer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<Transfer>,
    /// How gradients are bounded, for method Private.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<Private>,
    /// What a step does, for method Reinforcement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reinforcement: Option<Reinforcement>,
}

/// A method of training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MethodKind {
    /// From random weights.
    #[default]
    Pretrain,
    /// All weights, from a trained model.
    Finetune,
    /// The last layers of a trained model alone; what stands before them only computes forward.
    Transfer,
    /// Low-rank adapters beside frozen weights.
    Lora,
    /// Low-rank adapters beside frozen weights of 4 bits.
    Qlora,
    /// Direct preference optimisation (DPO) against a frozen reference. A sample is one of two answers.
    Preference,
    /// All weights, with the gradient of every sample bounded and noise added (DP-SGD).
    Private,
    /// Reinforcement learning from rewards (PPO, GRPO), with all roles on the same devices. A sample is a prompt and its
    /// answer.
    Reinforcement,
}

/// Low-rank adapters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lora {
    /// Rank of the adapters.
    #[schemars(range(min = 1, max = 4096))]
    pub rank: i32,
    /// Matrices that have an adapter; QueryValue unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matrices: Option<Matrices>,
}

/// Matrices that low-rank adapters stand beside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Matrices {
    /// Query and value projections.
    #[default]
    QueryValue,
    /// All four attention projections.
    Attention,
    /// Attention and MLP.
    AllLinear,
}

/// Training of the last layers alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Transfer {
    /// Layers that are trained, counted from the end, the head among them.
    #[schemars(range(min = 1, max = 65_536))]
    pub trained_units: i32,
}

/// Differentially private training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Private {
    /// How the norm of each sample's gradient is found.
    #[serde(default)]
    pub clipping: Clipping,
}

/// How the norm of each sample's gradient is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Clipping {
    /// From the gradient of every sample, all of which stand in memory.
    #[default]
    PerSample,
    /// From a backward pass of its own (ghost clipping): less memory, more time.
    Ghost,
}

/// A step of reinforcement learning: it generates, scores and trains on a global batch of answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reinforcement {
    /// Which algorithm, and so whether there is a critic.
    pub algorithm: Algorithm,
    /// Tokens of a prompt; what is left of data.sequenceLength is the answer.
    #[schemars(range(min = 1, max = 16_777_216))]
    pub prompt_tokens: i32,
    /// Passes over the answers of a step; 1 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub epochs: Option<i32>,
    /// Parameters of the model that scores answers; absent where a program does so without a device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub reward_parameters: Option<i64>,
    /// Divergence from a frozen reference is penalised.
    #[serde(default)]
    pub reference: bool,
    /// What writes the answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,
}

/// The algorithm of reinforcement learning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Algorithm {
    /// With a critic of the model's size that is trained too.
    Ppo,
    /// Advantages from a group of answers to one prompt; no critic.
    #[default]
    Grpo,
}

/// The engine that writes answers with the weights of the model, on the devices that train.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Engine {
    /// Devices that one copy of the weights is cut over; 1 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1024))]
    pub ranks: Option<i32>,
    /// Answers that one copy writes at once at most; 256 unless given, as vLLM has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_536))]
    pub at_once: Option<i32>,
    /// It gives its memory back while the model is trained, and gets the weights anew for each step.
    #[serde(default)]
    pub sleeps: bool,
}
