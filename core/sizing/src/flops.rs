//! FLOPs of a training step; one multiply-add counts 2.
//!
//! A transformer's forward pass takes `s·(2·N_mm + 4·L·s·a·d_h)`, attention counted in full as in arXiv 2104.04473 and
//! 2204.02311 (a causal kernel does half of the second term); the kernels of its [`Profile`] sum to just that.

use serde::{Deserialize, Serialize};

use crate::{JobSpec, Profile, Recompute};

/// FLOPs of one sample (one sequence).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flops {
    /// Forward pass.
    pub forward: f64,
    /// What training the sample takes by definition; MFU counts these.
    pub model: f64,
    /// What the devices really compute, recomputation included; time counts these.
    pub executed: f64,
}

impl Flops {
    /// The FLOPs of one sample of a job.
    ///
    /// Training takes three forward passes: the backward pass computes the gradient of inputs and of weights. A frozen
    /// base takes two, since it needs no gradient of its weights, and its adapters three (arXiv 2106.09685). Full
    /// recomputation adds the forward pass of the blocks, not of the output projection.
    pub fn of(job: &JobSpec, recompute: Recompute) -> Self {
        Self::of_profile(&job.model.profile(job.sequence_length), job, recompute)
    }

    /// The same where the model's profile is at hand.
    pub fn of_profile(profile: &Profile, job: &JobSpec, recompute: Recompute) -> Self {
        let (forward, blocks) = (profile.forward_flops(), profile.body_flops());
        let model = job.method.demand(profile, job.precision).flops(profile);
        let executed = match recompute {
            // Kernels that never store attention scores compute them again anyway.
            Recompute::None | Recompute::Selective => model,
            Recompute::Full => model + blocks,
        };
        Self { forward, model, executed }
    }
}
