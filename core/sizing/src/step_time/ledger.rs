//! What a method and an optimizer add to the ledger of time, in words.

use super::StepTime;
use crate::{Derivation, JobSpec, Layout, Optimizer};

impl StepTime {
    /// Scoring and generation; nothing for methods that do neither.
    pub(crate) fn derive(&self, job: &JobSpec, layout: &Layout) -> Vec<Derivation> {
        let demand = job.method.demand(&job.model.profile(job.sequence_length), job.precision);
        let row = |quantity, seconds: f64, how| Derivation { quantity, value: format!("{seconds:.4} s"), how };
        let mut rows = Vec::new();
        if demand.scoring_passes > 0.0 {
            let passes = demand.scoring_passes;
            let how = format!("{passes:.2} forward passes of all kernels over every sample, without gradients");
            rows.push(row("scoring", self.scoring, how));
        }
        if let Some(step) = demand.generation {
            let devices = layout.devices();
            let how = format!(
                "{} tokens one after the other, {:.0} answers at once on {} devices: for each token FLOPs, weights and keys \
                 and values over the memory bus; and the prompts' share of a forward pass",
                step.answer_tokens(job.sequence_length),
                step.answers_at_once(f64::from(job.global_batch), devices),
                step.ranks(devices)
            );
            rows.push(row("generation", self.generation, how));
        }
        rows
    }

    /// What the optimizer computes beside a pass over its states.
    pub(crate) fn optimizer_products(optimizer: Optimizer) -> &'static str {
        match optimizer {
            Optimizer::Muon => ", and five Newton-Schulz iterations of every matrix of blocks (arXiv 2502.16982)",
            Optimizer::Shampoo => ", and products of every matrix of blocks with inverse roots (arXiv 2309.06497)",
            _ => "",
        }
    }
}
