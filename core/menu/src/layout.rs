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
        }
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
