//! What devices say to each other in a step, and the optimizer's part of it.

use crate::calibration::TimeConstants;
use crate::communication::Group;
use crate::precision::state_bytes;
use crate::{Offload, Recompute, Sharding};

use super::rates::together;
use super::work::Work;
use super::{Pass, Program, Run};

/// Host memory is reached over PCI Express, in bytes per second and direction: 16 lanes of the fourth generation.
const HOST_BYTES_PER_SECOND: f64 = 24e9;

/// Everything that communication depends on.
pub(super) struct Exchange<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) program: &'a Program,
    pub(super) work: &'a Work,
    pub(super) constants: &'a TimeConstants,
    pub(super) stages: f64,
    pub(super) layers: f64,
}

impl Exchange<'_> {
    fn group(&self, devices: u32, stride: u32) -> Group {
        Group::new(self.run.class, self.run.shape, devices, stride, self.constants.network_share, self.constants)
    }

    /// Communication of one micro-batch on one stage that nothing hides: tensor, expert and pipeline.
    pub(super) fn inside(&self) -> f64 {
        let recompute = if self.run.layout.recompute == Recompute::Full { 1.0 } else { 0.0 };
        (self.tensor(recompute) + self.experts(recompute)) / self.stages + self.pipeline()
    }

    /// Two sums per block and pass, and again when the forward pass is (arXiv 1909.08053, section 3); with sequence
    /// parallelism as many bytes in gathers and scatters (arXiv 2205.05198).
    fn tensor(&self, recompute: f64) -> f64 {
        let layout = self.run.layout;
        if layout.tensor <= 1 {
            return 0.0;
        }
        let messages = 2.0 * self.layers;
        let pass = self.group(layout.tensor, 1).all_reduce(self.work.reduced_bytes, messages);
        let exposed = if self.program.asynchronous_tensor { self.constants.asynchronous_tensor.min(1.0) } else { 1.0 };
        (2.0 + recompute) * exposed * pass
    }

    /// Keys and values go round the ring while attention works on those at hand (arXiv 2310.01889): what is left of it in
    /// one pass of a stage.
    pub(super) fn context(&self, pass: &Pass) -> f64 {
        let layout = self.run.layout;
        if layout.context <= 1 {
            return 0.0;
        }
        let steps = f64::from(layout.context - 1);
        let group = self.group(layout.context, layout.tensor);
        let ring = steps * group.shift(self.work.exchanged_bytes) / self.stages;
        exposed(pass.rings * ring, pass.attention, self.constants)
    }

    /// Tokens go to their experts and back, in every pass (arXiv 2006.16668).
    fn experts(&self, recompute: f64) -> f64 {
        let layout = self.run.layout;
        if layout.expert <= 1 {
            return 0.0;
        }
        let group = self.group(layout.expert, layout.tensor.saturating_mul(layout.context.max(1)));
        (2.0 + recompute) * group.all_to_all(self.work.dispatched_bytes, self.work.dispatches)
    }

    /// Activations go to the next stage and their gradients come back, once for each virtual stage.
    fn pipeline(&self) -> f64 {
        let layout = self.run.layout;
        if layout.pipeline <= 1 {
            return 0.0;
        }
        let stride = layout.devices() / layout.pipeline;
        let each = self.group(layout.pipeline, stride).shift(self.work.boundary_bytes) + self.constants.message_seconds;
        2.0 * f64::from(layout.virtual_stages()) * each
    }

    /// Data-parallel communication of a step that `busy` seconds do not hide, of which the last micro-batch's backward
    /// pass takes `backward`.
    ///
    /// Gradients are summed once per step, under the last backward pass. Shared optimizer states scatter gradients and
    /// gather weights instead; shared gradients scatter in every micro-batch; full sharding also gathers weights twice in
    /// each (arXiv 1910.02054, section 7: 2Ψ against 3Ψ). Groups that hold all states among themselves sum gradients over
    /// their fellows at the end.
    pub(super) fn outside(&self, busy: f64, backward: f64, micro_batches: f64) -> f64 {
        let layout = self.run.layout;
        // Context ranks hold the same weights and see other tokens.
        let copies = layout.data.saturating_mul(layout.context.max(1));
        if copies <= 1 {
            return 0.0;
        }
        let job = self.run.job;
        let bytes = state_bytes(job.precision, job.optimizer, layout.sharding);
        let weights = self.work.parameters * job.precision.working_bytes() as f64;
        let summed = if self.program.sums_halves { bytes.gradients.min(2.0) } else { bytes.gradients };
        let gradients = self.work.trained * summed;
        let blocks = self.layers / self.stages;
        let share = if self.program.gathers_tensors { self.constants.tensor_gather.min(1.0) } else { 1.0 };
        let sharing = layout.sharing_ranks().saturating_mul(layout.context.max(1)).min(copies);
        let (constants, stride) = (self.constants, layout.tensor);
        let group =
            Group::new(self.run.class, self.run.shape, sharing, stride, constants.network_share * share, constants);
        let (gather, scatter) = (group.all_gather(weights, blocks), group.all_gather(gradients, blocks));
        let (bytes, hides) = match layout.sharding {
            // 25 MiB buckets are summed while the backward pass goes on.
            Sharding::None => return exposed(group.all_reduce(gradients, 1.0), backward, constants),
            Sharding::Optimizer => (scatter + gather, backward),
            Sharding::Gradients => (micro_batches * scatter + gather, busy),
            Sharding::Full => (micro_batches * (2.0 * gather + scatter), busy),
        };
        let fellows = copies / sharing.max(1);
        let between = if fellows > 1 {
            let group = self.group(fellows, stride.saturating_mul(sharing));
            exposed(group.all_reduce(gradients / f64::from(sharing), 1.0), backward, constants)
        } else {
            0.0
        };
        exposed(bytes, hides, constants) + between
    }

    /// Every state is read and written, on the devices that hold it; what waits on the host crosses PCI Express.
    pub(super) fn optimizer(&self) -> f64 {
        let (job, layout, class) = (self.run.job, self.run.layout, self.run.class);
        let bytes = state_bytes(job.precision, job.optimizer, layout.sharding);
        let ranks = layout.sharing_ranks().saturating_mul(layout.context.max(1));
        let share = if layout.sharding == Sharding::None { 1.0 } else { f64::from(ranks) };
        let mine = self.work.trained / share;
        let each = bytes.weights + bytes.gradients + bytes.optimizer;
        let rate = match layout.offload {
            Offload::None => class.bandwidth_bytes_per_second.max(1.0),
            Offload::Optimizer | Offload::All => HOST_BYTES_PER_SECOND,
        };
        self.constants.optimizer_passes * 2.0 * mine * each / rate
    }
}

/// What is left of communication beside work that may hide it.
fn exposed(communication: f64, work: f64, constants: &TimeConstants) -> f64 {
    together(work, communication, constants.overlap) - work
}
