//! The memory ledger in words: each part, and the equation behind it.

use super::{GIB, Memory};
use crate::calibration::MemoryConstants;
use crate::precision::state_bytes;
use crate::{Derivation, JobSpec, Layout, Offload, Precision, Recompute, Sharding};

impl Memory {
    /// Where each part comes from, in the order of the ledger.
    pub(crate) fn derive(
        &self,
        job: &JobSpec,
        layout: &Layout,
        micro_batch: u32,
        constants: &MemoryConstants,
    ) -> Vec<Derivation> {
        let gib = |bytes: u64| format!("{:.2} GiB", bytes as f64 / GIB);
        let row = |quantity, bytes, how| Derivation { quantity, value: gib(bytes), how };
        let bytes = state_bytes(job.precision, job.optimizer, layout.sharding);
        let over =
            |at: Sharding| if layout.sharding >= at { layout.sharing_ranks() * layout.context.max(1) } else { 1 };
        let state = |each: f64, at| {
            let pieces = layout.tensor.max(1) * layout.pipeline.max(1);
            format!("{each} B × trained parameters / {pieces} / {} ranks (arXiv 1910.02054, section 5.4)", over(at))
        };
        let base = if job.method.adapter_rank().is_some() { ", and the frozen base" } else { "" };
        let hosted = if layout.offload == Offload::None { "" } else { ", in host memory" };
        let kept = match layout.recompute {
            Recompute::None => "everything that the backward pass reads",
            Recompute::Selective => "everything but attention scores",
            Recompute::Full => "each block's input",
        };
        let flight = if layout.pipeline > 1 {
            format!(", of the micro-batches that {:?} holds at once (arXiv 2104.04473, section 2.2)", layout.schedule)
        } else {
            String::new()
        };
        let element = if job.precision == Precision::Bf16 { 2 } else { 4 };
        vec![
            row("weights", self.weights, state(bytes.weights, Sharding::Full) + base),
            row("gradients", self.gradients, state(bytes.gradients, Sharding::Gradients)),
            row("optimizer", self.optimizer, state(bytes.optimizer, Sharding::Optimizer) + hosted),
            row(
                "activations",
                self.activations,
                format!(
                    "micro-batch {micro_batch}: {kept} (arXiv 2205.05198, table 2){flight}; eager × {}",
                    constants.eager
                ),
            ),
            row(
                "logits",
                self.logits,
                format!(
                    "{} B and {} copies of {element} B per token and word",
                    job.precision.working_bytes(),
                    constants.loss_copies
                ),
            ),
            row("buffers", self.buffers, buffers(layout).to_owned()),
            row("workspace", self.workspace, "the largest unit computed again, beyond the room of the loss".to_owned()),
            row(
                "context",
                self.context,
                format!("CUDA {} GiB, collectives {} GiB", constants.context_gib, constants.collectives_gib),
            ),
            row(
                "fragmentation",
                self.fragmentation,
                format!("{:.1} % of what is live, fitted to published peaks", constants.fragmentation * 100.0),
            ),
        ]
    }
}

fn buffers(layout: &Layout) -> &'static str {
    match layout.sharding {
        Sharding::None if layout.data > 1 => "16-bit copies of mixed weights, DDP's second copy of gradients",
        Sharding::None => "16-bit copies of mixed weights",
        Sharding::Optimizer | Sharding::Gradients => "one bucket of 5e8 gradients",
        Sharding::Full if layout.pipeline > 1 => "weights and gradients whole until the last micro-batch",
        Sharding::Full => "input and output side, two blocks and the largest unit's gradient, gathered",
    }
}
