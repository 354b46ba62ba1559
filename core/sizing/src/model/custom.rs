//! A model known only by three numbers.

use serde::{Deserialize, Serialize};

use crate::profile::{Divides, Kernel, KernelKind, Profile, Role, Unit};

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

impl Custom {
    /// One unit of one kernel: products at their best, and what is kept crosses the memory bus.
    ///
    /// Its bytes are fixed: the user counted them in the precision that the program runs in. Half of them are taken as
    /// 16-bit outputs that are written and read again.
    pub(crate) fn profile(&self) -> Profile {
        let kept = self.activation_bytes_per_sample as f64;
        let kernel = Kernel {
            flops: self.flops_per_sample,
            weights: self.parameters,
            saved_bytes_fixed: kept,
            divides: Divides::Tensor,
            saved_divides: Divides::Tensor,
            ..Kernel::new(KernelKind::MatrixProduct, kept / 4.0, kept / 4.0)
        };
        // A quarter of what is kept is reached by any sensible cut; the square-root schedule of arXiv 1604.06174 keeps far
        // less.
        Profile {
            units: vec![Unit {
                parameters: self.parameters,
                input_elements: kept / 8.0,
                kernels: vec![kernel],
                ..Unit::new("model", Role::Body)
            }],
        }
    }
}
