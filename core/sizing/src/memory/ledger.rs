//! The memory ledger in words: each part, and the equation behind it.

use super::{GIB, Memory};
use crate::calibration::MemoryConstants;
use crate::method::holding::{Holding, Holdings};
use crate::method::reinforcement::Reinforcement;
use crate::precision::{row_bytes, state_bytes};
use crate::{Derivation, JobSpec, Layout, Offload, Optimizer, Precision, Recompute, Sharding};

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
        let bytes = state_bytes(job.precision, layout.sharding);
        let profile = job.model.profile(job.sequence_length);
        let demand = job.method.demand(&profile, job.precision);
        let held = Holdings::new(&profile, job, &demand, None, None).whole();
        let over =
            |at: Sharding| if layout.sharding >= at { layout.sharing_ranks() * layout.context.max(1) } else { 1 };
        let state = |each: f64, at| {
            let pieces = layout.tensor.max(1) * layout.pipeline.max(1);
            format!("{each} B × trained parameters / {pieces} / {} ranks (arXiv 1910.02054, section 5.4)", over(at))
        };
        let base = match (job.method.adapter_rank(), demand.residents.len()) {
            (Some(_), _) => ", and the frozen base",
            (None, 0) => "",
            (None, _) => ", and models that only compute forward",
        };
        let rows = rows(&held, job, layout);
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
        let moments = held.moments / held.trained.max(1.0) + bytes.master;
        let moments = state((moments * 1000.0).round() / 1000.0, Sharding::Optimizer);
        let of_matrices = of_matrices(job.optimizer);
        let mut ledger = vec![
            row("weights", self.weights, state(bytes.weights, Sharding::Full) + base + &rows.weights),
            row("gradients", self.gradients, state(bytes.gradients, Sharding::Gradients) + &rows.gradients),
            row("optimizer", self.optimizer, moments + of_matrices + hosted + &rows.optimizer),
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
        ];
        if let Some(step) = demand.generation {
            ledger.push(row("rollout", self.rollout, rollout(&step, job, layout)));
        }
        ledger
    }
}

/// What optimizer states depend on beside the number of parameters.
fn of_matrices(optimizer: Optimizer) -> &'static str {
    match optimizer {
        Optimizer::Muon => ", one moment in matrices of blocks and two elsewhere (arXiv 2502.16982)",
        Optimizer::Shampoo => ", a moment, and factors and inverse roots of matrices of blocks (arXiv 2309.06497)",
        Optimizer::Adafactor => ", row and column sums of matrices (arXiv 1804.04235)",
        _ => "",
    }
}

/// What tables of sparse rows add to each line; empty without any.
#[derive(Default)]
struct Rows {
    weights: String,
    gradients: String,
    optimizer: String,
}

fn rows(held: &Holding, job: &JobSpec, layout: &Layout) -> Rows {
    if held.rows <= 0.0 {
        return Rows::default();
    }
    let owners = if layout.sharding == Sharding::None { 1 } else { layout.sharing_ranks() * layout.context.max(1) };
    let owned = format!("{:.0} elements of tables over {owners} ranks that own their rows", held.rows);
    Rows {
        weights: format!(", and {} B × {owned} (arXiv 2104.05158)", row_bytes(job.precision)),
        gradients: ", and the rows of tables that a rank's part of the global batch reads".to_owned(),
        optimizer: format!(", and {:.3} B × {owned}", held.row_moments / held.rows),
    }
}

fn rollout(step: &Reinforcement, job: &JobSpec, layout: &Layout) -> String {
    let devices = layout.devices();
    let answers = step.answers_at_once(f64::from(job.global_batch), devices);
    let room = if step.engine.sleeps { ", beyond what activations, loss and buffers leave free" } else { "" };
    format!("weights, keys and values of {answers:.0} answers at once over {} devices{room}", step.ranks(devices))
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
