//! What devices say to each other in a step, and the optimizer's part of it.

use crate::calibration::TimeConstants;
use crate::communication::Group;
use crate::precision::{ROW_INDEX, row_bytes, state_bytes};
use crate::{Offload, Recompute, Sharding};

use super::rates::{Rates, together};
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

    /// Communication of one micro-batch on one stage that nothing hides: tensor, expert, pipeline and tables.
    pub(super) fn inside(&self) -> f64 {
        let recompute = if self.run.layout.recompute == Recompute::Full { 1.0 } else { 0.0 };
        let passes = 2.0 + recompute;
        (self.tensor(passes) + self.experts(passes)) / self.stages + self.pipeline(2.0) + self.tables(2.0)
    }

    /// The same of a forward pass that only scores.
    pub(super) fn inside_forward(&self) -> f64 {
        (self.tensor(1.0) + self.experts(1.0)) / self.stages + self.pipeline(1.0) + self.tables(1.0)
    }

    /// Two sums per block and pass, and again when the forward pass is (arXiv 1909.08053, section 3); with sequence
    /// parallelism as many bytes in gathers and scatters (arXiv 2205.05198).
    fn tensor(&self, passes: f64) -> f64 {
        let layout = self.run.layout;
        if layout.tensor <= 1 {
            return 0.0;
        }
        let messages = 2.0 * self.layers;
        let pass = self.group(layout.tensor, 1).all_reduce(self.work.reduced_bytes, messages);
        let exposed = if self.program.asynchronous_tensor { self.constants.asynchronous_tensor.min(1.0) } else { 1.0 };
        passes * exposed * pass
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
    fn experts(&self, passes: f64) -> f64 {
        let layout = self.run.layout;
        if layout.expert <= 1 {
            return 0.0;
        }
        let group = self.group(layout.expert, layout.tensor.saturating_mul(layout.context.max(1)));
        passes * group.all_to_all(self.work.dispatched_bytes, self.work.dispatches)
    }

    /// Activations go to the next stage and their gradients come back, once for each virtual stage.
    fn pipeline(&self, passes: f64) -> f64 {
        let layout = self.run.layout;
        if layout.pipeline <= 1 {
            return 0.0;
        }
        let stride = layout.devices() / layout.pipeline;
        let each = self.group(layout.pipeline, stride).shift(self.work.boundary_bytes) + self.constants.message_seconds;
        passes * f64::from(layout.virtual_stages()) * each
    }

    /// Ranks that own rows of tables send each other the places of rows and the vectors that were read there, and their
    /// gradients back (arXiv 2104.05158, section 3).
    fn tables(&self, passes: f64) -> f64 {
        let owners = self.owners();
        if owners <= 1 || self.work.pooled_bytes <= 0.0 {
            return 0.0;
        }
        let group = self.group(owners, self.run.layout.tensor);
        group.all_to_all(self.work.place_bytes, 1.0) + passes * group.all_to_all(self.work.pooled_bytes, 1.0)
    }

    /// Ranks that share out the rows of tables among themselves.
    fn owners(&self) -> u32 {
        let layout = self.run.layout;
        if layout.sharding == Sharding::None { 1 } else { self.sharing() }
    }

    /// Ranks that share out states among themselves. Context ranks hold the same weights and see other tokens.
    fn sharing(&self) -> u32 {
        let layout = self.run.layout;
        layout.sharing_ranks().saturating_mul(layout.context.max(1)).min(self.copies())
    }

    fn copies(&self) -> u32 {
        self.run.layout.data.saturating_mul(self.run.layout.context.max(1))
    }

    /// Elements of table rows that a device's part of a step reads, bounded by those that it holds.
    fn rows_read(&self) -> f64 {
        let batch = self.run.batch;
        let samples = f64::from(batch.micro) * f64::from(batch.accumulation.max(1));
        (samples * self.work.read.0).min(self.work.held.rows / f64::from(self.owners()))
    }

    /// Time in which ranks that hold the same rows of tables sum their gradients: all rows that were read go to all, or
    /// whole tables are summed where that is less. They come last in the backward pass, so that nothing hides them.
    fn row_gradients(&self) -> f64 {
        let owners = self.owners();
        let fellows = self.copies() / owners.max(1);
        if fellows <= 1 || self.work.held.rows <= 0.0 {
            return 0.0;
        }
        let element = row_bytes(self.run.job.precision);
        let (elements, rows) = self.work.read;
        let places = self.rows_read() * rows / elements.max(1.0) * ROW_INDEX;
        let group = self.group(fellows, self.run.layout.tensor.saturating_mul(owners));
        let sparse = f64::from(fellows) * (self.rows_read() * element + places);
        let dense = self.work.held.rows / f64::from(owners) * element;
        group.all_gather(sparse, 1.0).min(group.all_reduce(dense, 1.0))
    }

    /// The ranks that share out states.
    fn sharers(&self) -> Group {
        let share = if self.program.gathers_tensors { self.constants.tensor_gather.min(1.0) } else { 1.0 };
        let (constants, stride) = (self.constants, self.run.layout.tensor);
        let network = constants.network_share * share;
        Group::new(self.run.class, self.run.shape, self.sharing(), stride, network, constants)
    }

    /// What is left of gathering weights for passes that only score, beside the `seconds` that these take.
    pub(super) fn scoring_gathers(&self, micro_batches: f64, seconds: f64) -> f64 {
        let (work, passes) = (self.work, self.work.scoring_passes);
        if self.copies() <= 1 || self.run.layout.sharding != Sharding::Full || passes <= 0.0 {
            return 0.0;
        }
        let working = self.run.job.precision.working_bytes() as f64;
        let weights = work.held.trained / work.models * working + work.held.frozen;
        let gather = self.sharers().all_gather(weights, self.layers / self.stages);
        // Between stages weights stay whole, as below.
        let times = if self.run.layout.pipeline > 1 { 1.0 } else { micro_batches };
        exposed(times * passes * gather, seconds, self.constants)
    }

    /// Data-parallel communication of a step that `busy` seconds do not hide, of which the last micro-batch's backward
    /// pass takes `backward`.
    ///
    /// Gradients are summed once per step, under the last backward pass. Shared optimizer states scatter gradients and
    /// gather weights instead; shared gradients scatter in every micro-batch; full sharding also gathers weights twice in
    /// each (arXiv 1910.02054, section 7: 2Ψ against 3Ψ), but once a step between pipeline stages, as memory has it.
    /// Groups that hold all states among themselves sum gradients over their fellows at the end.
    pub(super) fn outside(&self, busy: f64, backward: f64, micro_batches: f64) -> f64 {
        let layout = self.run.layout;
        let (copies, sharing) = (self.copies(), self.sharing());
        if copies <= 1 {
            return 0.0;
        }
        let (job, held) = (self.run.job, &self.work.held);
        let bytes = state_bytes(job.precision, layout.sharding);
        let weights = held.trained * job.precision.working_bytes() as f64 + held.frozen;
        let summed = if self.program.sums_halves { bytes.gradients.min(2.0) } else { bytes.gradients };
        let gradients = held.trained * summed;
        let blocks = self.layers / self.stages;
        let (constants, group) = (self.constants, self.sharers());
        let (gather, scatter) = (group.all_gather(weights, blocks), group.all_gather(gradients, blocks));
        let rows = self.row_gradients();
        let (bytes, hides) = match layout.sharding {
            // 25 MiB buckets are summed while the backward pass goes on.
            Sharding::None => return rows + exposed(group.all_reduce(gradients, 1.0), backward, constants),
            Sharding::Optimizer => (scatter + gather, backward),
            Sharding::Gradients => (micro_batches * scatter + gather, busy),
            // Between stages weights stay whole until the last micro-batch, and gradients are summed whole until then.
            Sharding::Full if layout.pipeline > 1 => (gather + scatter, busy),
            Sharding::Full => (micro_batches * (2.0 * gather + scatter), busy),
        };
        let fellows = copies / sharing.max(1);
        let between = if fellows > 1 {
            let group = self.group(fellows, layout.tensor.saturating_mul(sharing));
            group.all_reduce(gradients / f64::from(sharing), 1.0)
        } else {
            0.0
        };
        // Inside a node and between nodes both go on at once, block after block; on the network one waits for the other.
        let all = if group.leaves_node() { bytes + between } else { bytes.max(between) };
        rows + exposed(all, hides, constants)
    }

    /// What of moving weights and gradients between host and device `busy` seconds do not hide: gradients leave in every
    /// micro-batch; weights that wait on the host come in for the forward and for the backward pass of each (arXiv
    /// 2101.06840, section 4; 2104.07857, section 5). Both directions go on at once.
    pub(super) fn host(&self, busy: f64, micro_batches: f64) -> f64 {
        let (layout, held) = (self.run.layout, &self.work.held);
        let bytes = state_bytes(self.run.job.precision, layout.sharding);
        let over = |at: Sharding| if layout.sharding >= at { f64::from(self.sharing()) } else { 1.0 };
        let gradients = held.trained * bytes.gradients / over(Sharding::Gradients);
        let working = self.run.job.precision.working_bytes() as f64;
        let weights = (held.trained * working + held.frozen) / over(Sharding::Full);
        let moved = match layout.offload {
            Offload::None => return 0.0,
            Offload::Optimizer => gradients,
            Offload::All => gradients.max(2.0 * weights),
        };
        exposed(micro_batches * moved / HOST_BYTES_PER_SECOND, busy, self.constants)
    }

    /// Every state is read and written, on the devices that hold it; what waits on the host crosses PCI Express. Of tables
    /// only the rows that were read are. Products with matrices of states are computed where the states are.
    pub(super) fn optimizer(&self, rates: &Rates<'_>) -> f64 {
        let (job, layout, class, held) = (self.run.job, self.run.layout, self.run.class, &self.work.held);
        let bytes = state_bytes(job.precision, layout.sharding);
        let share = if layout.sharding == Sharding::None { 1.0 } else { f64::from(self.sharing()) };
        let states = held.trained * (bytes.weights + bytes.gradients + bytes.master) + held.moments;
        let device = class.bandwidth_bytes_per_second.max(1.0);
        let rate = match layout.offload {
            Offload::None => device,
            Offload::Optimizer | Offload::All => HOST_BYTES_PER_SECOND,
        };
        let row = 2.0 * row_bytes(job.precision) + held.row_moments / held.rows.max(1.0);
        let moved = states / share / rate + self.rows_read() * row / device;
        self.constants.optimizer_passes * 2.0 * moved + rates.wide_product_seconds(held.step_flops / share)
    }
}

/// What is left of communication beside work that may hide it.
fn exposed(communication: f64, work: f64, constants: &TimeConstants) -> f64 {
    together(work, communication, constants.overlap) - work
}
