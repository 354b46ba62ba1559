//! A class of accelerator as sizing sees it.

use serde::{Deserialize, Serialize};

use crate::{ClassName, LoadLine, Precision};

/// Dense peak rates in FLOP/s, without sparsity; `None` where the device has no such unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PeakFlops {
    /// 32-bit floating point on the vector units.
    pub fp32: Option<f64>,
    /// 32-bit inputs rounded to 19 bits on the tensor units.
    pub tf32: Option<f64>,
    /// 16-bit IEEE floating point with 32-bit accumulation.
    pub fp16: Option<f64>,
    /// bfloat16 with 32-bit accumulation.
    pub bf16: Option<f64>,
    /// 8-bit floating point.
    pub fp8: Option<f64>,
}

impl PeakFlops {
    /// The peak that a precision computes at, in FLOP/s; `None` when the device cannot compute it.
    pub fn at(&self, precision: Precision) -> Option<f64> {
        match precision {
            Precision::Fp32 => self.fp32,
            Precision::Tf32 => self.tf32,
            Precision::Fp16Mixed => self.fp16,
            Precision::Bf16Mixed | Precision::Bf16 => self.bf16,
            Precision::Fp8Mixed => self.fp8,
        }
        .filter(|peak| *peak > 0.0)
    }
}

/// One class of accelerator, and how much of it the cluster has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassSpec {
    /// The name of its AcceleratorClass.
    pub name: ClassName,
    /// Device memory that a process can use, in bytes.
    pub memory_bytes: u64,
    /// Device memory bandwidth, in bytes per second.
    pub bandwidth_bytes_per_second: f64,
    /// Dense peak rates.
    pub peak: PeakFlops,
    /// Link between devices of one node, one direction, in bytes per second.
    pub link_bytes_per_second: f64,
    /// Network between nodes, one direction, for each device, in bytes per second.
    pub network_bytes_per_second: f64,
    /// Power limit of one device, in watts.
    pub watts: f64,
    /// What one device costs an hour, in the money of whoever runs the cluster; `None` where nobody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_per_hour: Option<f64>,
    /// How full its devices should be.
    pub line: LoadLine,
    /// Devices in one node.
    pub gpus_per_node: u32,
    /// Nodes of the class.
    pub nodes: u32,
}

impl ClassSpec {
    /// The most memory that a plan may fill, in bytes: the memory line times what a process can use.
    pub fn memory_line_bytes(&self) -> u64 {
        (self.memory_bytes as f64 * self.line.memory) as u64
    }

    /// Devices in all.
    pub fn gpus(&self) -> u32 {
        self.gpus_per_node.saturating_mul(self.nodes)
    }
}
