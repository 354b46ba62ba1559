//! How a job is spread over devices.

use serde::{Deserialize, Serialize};

use crate::ClassName;

/// Which training states the data-parallel ranks share out among themselves (ZeRO, arXiv 1910.02054).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Sharding {
    /// Every rank holds everything (DDP).
    #[default]
    None,
    /// Optimizer states are shared out (ZeRO-1).
    Optimizer,
    /// Optimizer states and gradients are shared out (ZeRO-2).
    Gradients,
    /// Weights, gradients and optimizer states are shared out (ZeRO-3, FSDP full shard).
    Full,
}

/// Which activations are computed again in the backward pass instead of kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Recompute {
    /// All activations are kept.
    #[default]
    None,
    /// Attention scores are computed again.
    Selective,
    /// Only each layer's input is kept.
    Full,
}

/// In which order pipeline stages work through the micro-batches of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Schedule {
    /// One forward, one backward (arXiv 2104.04473); interleaved when there are virtual stages.
    #[default]
    OneForwardOneBackward,
    /// All forward passes, then all backward passes (arXiv 1811.06965).
    GPipe,
    /// One forward, one backward, with weight gradients moved into the bubble at the same memory (ZB-H1, arXiv 2401.10241).
    ZeroBubble,
}

/// What waits in host memory while the device does not need it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Offload {
    /// Nothing.
    #[default]
    None,
    /// Optimizer states and the gradients on their way to them; the host takes the step (arXiv 2101.06840).
    Optimizer,
    /// Those and the weights.
    All,
}

/// The parallel degrees of a job. `data × tensor × pipeline × context` devices in all; expert parallelism lives inside
/// the data-parallel ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Layout {
    /// Data-parallel ranks.
    pub data: u32,
    /// Tensor-parallel ranks.
    pub tensor: u32,
    /// Pipeline stages.
    pub pipeline: u32,
    /// Context-parallel ranks.
    pub context: u32,
    /// Expert-parallel ranks.
    pub expert: u32,
    /// What the data-parallel ranks share out.
    pub sharding: Sharding,
    /// What is computed again in the backward pass.
    pub recompute: Recompute,
    /// Ranks that share states out among themselves, each group holding all of them (HSDP); 0: all data-parallel ranks.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub shard_group: u32,
    /// Whether tensor-parallel ranks share out the sequence between their products too (arXiv 2205.05198).
    #[serde(default, skip_serializing_if = "is_false")]
    pub sequence_parallel: bool,
    /// Further pieces of the model on each pipeline stage, which interleave: 0 is one piece.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub extra_stages: u32,
    /// The order of a pipeline's work.
    #[serde(default, skip_serializing_if = "is_default")]
    pub schedule: Schedule,
    /// What waits in host memory.
    #[serde(default, skip_serializing_if = "is_default")]
    pub offload: Offload,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Layout {
    /// Plain data parallelism over `data` devices.
    pub fn data_parallel(data: u32) -> Self {
        Self {
            data,
            tensor: 1,
            pipeline: 1,
            context: 1,
            expert: 1,
            sharding: Sharding::None,
            recompute: Recompute::None,
            shard_group: 0,
            sequence_parallel: false,
            extra_stages: 0,
            schedule: Schedule::default(),
            offload: Offload::default(),
        }
    }

    /// Virtual stages on each pipeline stage (the `v` of arXiv 2104.04473); at least 1.
    pub fn virtual_stages(&self) -> u32 {
        self.extra_stages + 1
    }

    /// Ranks that share states out among themselves: the data-parallel ranks, or the group of hybrid sharding.
    pub fn sharing_ranks(&self) -> u32 {
        match self.shard_group {
            0 => self.data,
            group => group.min(self.data),
        }
        .max(1)
    }

    /// Devices that this layout needs.
    pub fn devices(&self) -> u32 {
        self.data * self.tensor * self.pipeline * self.context
    }
}

/// The devices of an allocation: `pods` pods on as many nodes, each with `gpus_per_pod` devices of one class.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Shape {
    /// The class of every device.
    pub class: ClassName,
    /// Pods, each on a node of its own; at least 1.
    pub pods: u32,
    /// Devices in each pod; at least 1.
    pub gpus_per_pod: u32,
}

impl Shape {
    /// Devices in all.
    pub fn gpus(&self) -> u32 {
        self.pods * self.gpus_per_pod
    }
}
