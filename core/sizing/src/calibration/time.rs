//! What the time model cannot know from shapes and data sheets.

use serde::{Deserialize, Serialize};

use crate::ClassSpec;

/// Constants of the time model; all positive. The equations that use them stand in the documentation of
/// [`crate::StepTime`].
///
/// `cargo xtask calibrate` fits them. What no table can tell apart from another constant stays where it starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeConstants {
    /// Share of peak that matrix products reach on a device of [`Self::REFERENCE_DENSITY`].
    pub product_efficiency: f64,
    /// The most that share may become on a device with more power per FLOP.
    pub product_efficiency_most: f64,
    /// How it falls with the peak per watt: a device that has less power for a FLOP clocks down under load; below 1.
    pub density_exponent: f64,
    /// Share of peak that fused attention reaches at [`Self::REFERENCE_PEAK`].
    pub attention_efficiency: f64,
    /// How it falls with the peak: its softmax does not grow with the matrix units; below 1.
    pub attention_exponent: f64,
    /// Share of the memory bandwidth at which products read and write their operands.
    pub product_bandwidth: f64,
    /// Share of the memory bandwidth that pointwise kernels reach.
    pub pointwise_bandwidth: f64,
    /// Bytes that cross the memory bus per logit, forward and backward.
    pub loss_bytes: f64,
    /// Bytes that cross the memory bus per attention score in one pass where scores are stored.
    pub score_bytes: f64,
    /// Bytes per operand element that 8-bit products spend on scaling and casting, in one pass.
    pub cast_bytes: f64,
    /// Share of pointwise traffic and of launches that a compiled program keeps.
    pub compiled: f64,
    /// Seconds between two kernel launches of a program that runs op by op.
    pub launch_seconds: f64,
    /// Seconds in which a kernel fills and drains the device.
    pub ramp_seconds: f64,
    /// How compute and communication share a step: `(a^(1+o) + b^(1+o))^(1/(1+o))`; 0 one after the other, large hides
    /// the shorter.
    pub overlap: f64,
    /// Share of a link's rate that collectives inside a node reach.
    pub link_share: f64,
    /// The same of the network.
    pub network_share: f64,
    /// Seconds per hop of a ring between nodes.
    pub hop_seconds: f64,
    /// Seconds that a collective inside a node or a pipeline transfer takes however small it is.
    pub message_seconds: f64,
    /// Share of tensor-parallel communication that is left when it is cut up and hidden in products.
    pub asynchronous_tensor: f64,
    /// Share of a node's network that gathers of single tensors reach, instead of whole blocks.
    pub tensor_gather: f64,
    /// How often the optimizer's states cross the memory bus, relative to one read and one write.
    pub optimizer_passes: f64,
    /// Factor on products with a base that is stored in 4 bits.
    pub quantised_base: f64,
    /// Share of what products reach that a model of unknown kernels does when nothing else bounds it.
    pub unknown_efficiency: f64,
    /// How often a model of unknown kernels moves the elements that its kernels read and write.
    pub unknown_passes: f64,
    /// How its two bounds add up, as in `overlap`.
    pub unknown_overlap: f64,
    /// Kernels in one pass of a model of unknown kernels.
    pub unknown_kernels: f64,
}

impl TimeConstants {
    /// Peak per watt at which `product_efficiency` holds, in FLOP/s per watt: an A100 SXM's.
    pub const REFERENCE_DENSITY: f64 = 0.78e12;

    /// Peak at which `attention_efficiency` holds, in FLOP/s: an A100's.
    pub const REFERENCE_PEAK: f64 = 312e12;

    /// Where a fit starts, and what it is drawn to where the tables say nothing.
    ///
    /// Products: the best measured on an A100 reach 0.87 of peak, on an H100 0.80, on a B200 0.78
    /// (stas00/ml-engineering, compute/accelerator), hence the exponent. Links: nccl-tests reach 0.7 to 0.9 of the rate.
    /// Launches: 5 to 10 µs; ramps: the steps of a ResNet-50 and a BERT on a T4 that Pollux (OSDI 2021) profiled keep 0.06 and
    /// 0.2 s at any batch size. A naive loss moves 20 to 30 bytes per logit. Stored scores: written, read, masked, dropped.
    pub const STARTING: Self = Self {
        product_efficiency: 0.80,
        product_efficiency_most: 0.90,
        density_exponent: 0.15,
        attention_efficiency: 0.5,
        attention_exponent: 0.3,
        product_bandwidth: 0.7,
        pointwise_bandwidth: 0.8,
        loss_bytes: 20.0,
        score_bytes: 13.0,
        cast_bytes: 2.0,
        compiled: 0.6,
        launch_seconds: 10e-6,
        ramp_seconds: 30e-6,
        overlap: 2.0,
        link_share: 0.7,
        network_share: 0.7,
        hop_seconds: 10e-6,
        message_seconds: 10e-6,
        asynchronous_tensor: 0.5,
        tensor_gather: 0.125,
        optimizer_passes: 1.5,
        quantised_base: 1.5,
        unknown_efficiency: 0.7,
        unknown_passes: 5.0,
        unknown_overlap: 1.0,
        unknown_kernels: 500.0,
    };

    /// Share of peak that matrix products reach on a class: devices with less power per FLOP clock down under load.
    pub fn product_share(&self, class: &ClassSpec) -> f64 {
        let most = self.product_efficiency_most.min(1.0);
        let matrix = [class.peak.bf16, class.peak.fp16].into_iter().flatten().fold(0.0, f64::max);
        if class.watts <= 0.0 || matrix <= 0.0 {
            return self.product_efficiency.min(most);
        }
        let density = matrix / class.watts / Self::REFERENCE_DENSITY;
        (self.product_efficiency * density.powf(-self.density_exponent.min(0.9))).min(most)
    }
}
