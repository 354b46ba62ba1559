//! A training job as sizing sees it.

use serde::{Deserialize, Serialize};

use crate::{
    Batch, ClassName, Layout, Method, Model, Offload, Optimizer, Precision, Recompute, Schedule, Shape, Sharding,
};

/// How far rightsizing may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// Exactly the requested count.
    Off,
    /// A choice within the limits, once.
    Initial,
    /// Starts at the requested count when there is one, and may move later.
    #[default]
    Auto,
}

/// Which words the training program can be told; the others are fixed by [`Declared`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Accepts {
    /// Samples per rank computed at once.
    pub micro_batch: bool,
    /// Micro-batches per optimizer step.
    pub gradient_accumulation: bool,
    /// Data-parallel ranks.
    pub data: bool,
    /// Which states the ranks share out.
    pub sharding: bool,
    /// Tensor-parallel ranks.
    pub tensor: bool,
    /// Pipeline stages.
    pub pipeline: bool,
    /// Context-parallel ranks.
    pub context: bool,
    /// Expert-parallel ranks.
    pub expert: bool,
    /// Which activations are computed again.
    pub recompute: bool,
    /// What waits in host memory.
    pub offload: bool,
}

impl Accepts {
    /// Every word.
    pub const ALL: Self = Self {
        micro_batch: true,
        gradient_accumulation: true,
        data: true,
        sharding: true,
        tensor: true,
        pipeline: true,
        context: true,
        expert: true,
        recompute: true,
        offload: true,
    };
}

impl Default for Accepts {
    /// Micro-batch, accumulation and data parallelism: what nearly every training program has.
    fn default() -> Self {
        Self {
            micro_batch: true,
            gradient_accumulation: true,
            data: true,
            sharding: false,
            tensor: false,
            pipeline: false,
            context: false,
            expert: false,
            recompute: false,
            offload: false,
        }
    }
}

/// Fixed values, used where the program cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Declared {
    /// Samples per rank computed at once; unknown = what is left of the global batch.
    pub micro_batch: Option<u32>,
    /// Micro-batches per optimizer step; unknown = what is left of the global batch.
    pub accumulation: Option<u32>,
    /// Data-parallel ranks; unknown = the requested (else the largest) count over the other degrees.
    pub data: Option<u32>,
    /// Tensor-parallel ranks.
    pub tensor: u32,
    /// Whether tensor-parallel ranks share out the sequence between their products too; a trait of the program.
    pub sequence_parallel: bool,
    /// Pipeline stages.
    pub pipeline: u32,
    /// The order of a pipeline's work; a trait of the program.
    pub schedule: Schedule,
    /// Pieces of the model on each pipeline stage; a trait of the program.
    pub virtual_stages: u32,
    /// Context-parallel ranks.
    pub context: u32,
    /// Expert-parallel ranks.
    pub expert: u32,
    /// What the ranks share out.
    pub sharding: Sharding,
    /// Whether states are shared out within a pod alone, each pod holding all of them (HSDP); a trait of the program.
    pub shards_in_pod: bool,
    /// What is computed again.
    pub recompute: Recompute,
    /// What waits in host memory.
    pub offload: Offload,
}

impl Default for Declared {
    fn default() -> Self {
        Self {
            micro_batch: None,
            accumulation: None,
            data: None,
            tensor: 1,
            sequence_parallel: false,
            pipeline: 1,
            schedule: Schedule::default(),
            virtual_stages: 1,
            context: 1,
            expert: 1,
            sharding: Sharding::None,
            shards_in_pod: false,
            recompute: Recompute::None,
            offload: Offload::None,
        }
    }
}

/// What is to be trained, and within which limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobSpec {
    /// The model's shape.
    pub model: Model,
    /// Number format.
    pub precision: Precision,
    /// Optimizer.
    pub optimizer: Optimizer,
    /// Which parameters are trained.
    pub method: Method,
    /// Tokens in one sample; 1 for a custom model.
    pub sequence_length: u32,
    /// Samples in one optimizer step; no candidate changes it.
    pub global_batch: u32,
    /// Classes allowed; empty = all.
    pub classes: Vec<ClassName>,
    /// Fewest devices.
    pub min_gpus: u32,
    /// Most devices.
    pub max_gpus: u32,
    /// Devices asked for.
    pub requested_gpus: Option<u32>,
    /// Devices in every pod, when the user fixes the shape of the gang.
    pub gpus_per_pod: Option<u32>,
    /// How far rightsizing may go.
    pub mode: Mode,
    /// Whether the count may change while the job runs.
    pub elastic: bool,
    /// What the program can be told.
    pub accepts: Accepts,
    /// What it uses where it cannot.
    pub declared: Declared,
}

impl JobSpec {
    /// The count that mode Off runs at and Auto starts at: the requested one, else the largest allowed.
    pub fn reference_gpus(&self) -> u32 {
        self.requested_gpus.unwrap_or(self.max_gpus)
    }

    /// Whether a class is among those allowed.
    pub fn allows(&self, class: &ClassName) -> bool {
        self.classes.is_empty() || self.classes.contains(class)
    }

    /// Parameters that receive gradients: all, the adapters, or the last units.
    pub fn trained_parameters(&self) -> u64 {
        match self.method {
            Method::Pretrain | Method::Finetune | Method::Private { .. } => self.model.parameters(),
            Method::Preference { adapters: None } => self.model.parameters(),
            _ => self.method.demand(&self.model.profile(1), self.precision).trained_parameters,
        }
    }
}

/// What runs now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Current {
    /// Its devices.
    pub shape: Shape,
    /// Its layout.
    pub layout: Layout,
    /// How its batch is cut.
    pub batch: Batch,
}
