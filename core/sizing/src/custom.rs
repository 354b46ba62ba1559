//! A model known only by three numbers.

use serde::{Deserialize, Serialize};

/// Any model whose user can give its parameters, FLOPs and activation memory.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Custom {
    /// Parameters in all.
    pub parameters: u64,
    /// FLOPs of the forward pass of one sample; one multiply-add counts 2. Tools that print "GFLOPs" for image models
    /// often mean multiply-adds.
    pub flops_per_sample: f64,
    /// Activations kept for the backward pass of one sample, in bytes.
    pub activation_bytes_per_sample: u64,
}
