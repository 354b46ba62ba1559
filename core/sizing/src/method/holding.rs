//! What the devices hold of the models of a job, by where it stands: what memory and time divide by layout.

use super::optimizer;
use super::{Demand, Matrices};
use crate::profile::{Matrix, Place, Profile, Role, Unit};
use crate::{JobSpec, Layout};

/// Bits of a weight in NF4 with its constants quantised too (arXiv 2305.14314, section 3).
const NF4: f64 = 4.127;

/// A part of what is held, before ranks share it out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Holding {
    /// Parameters that are trained, tables of sparse rows left out.
    pub(crate) trained: f64,
    /// Bytes of their optimizer's moments, without master weights.
    pub(crate) moments: f64,
    /// FLOPs of the optimizer's matrix products in a step.
    pub(crate) step_flops: f64,
    /// Bytes of the weights of the trained model that stay as they are.
    pub(crate) frozen: f64,
    /// Bytes of models that only compute forward.
    pub(crate) residents: f64,
    /// Parameters of tables of sparse rows that are trained.
    pub(crate) rows: f64,
    /// Bytes of their optimizer's moments.
    pub(crate) row_moments: f64,
    /// Bytes of tables of sparse rows that stay as they are.
    pub(crate) frozen_rows: f64,
}

impl Holding {
    pub(crate) fn plus(self, other: Self, times: f64) -> Self {
        Self {
            trained: self.trained + times * other.trained,
            moments: self.moments + times * other.moments,
            step_flops: self.step_flops + times * other.step_flops,
            frozen: self.frozen + times * other.frozen,
            residents: self.residents + times * other.residents,
            rows: self.rows + times * other.rows,
            row_moments: self.row_moments + times * other.row_moments,
            frozen_rows: self.frozen_rows + times * other.frozen_rows,
        }
    }

    fn times(self, times: f64) -> Self {
        Self::default().plus(self, times)
    }

    /// Its bytes in 32 bits, to compare.
    fn size(&self) -> f64 {
        self.weights(4.0) + 4.0 * self.rows + self.frozen_rows + self.moments + self.row_moments
    }

    /// Bytes of its weights where those of trained dense parameters take so many each.
    pub(crate) fn weights(&self, each: f64) -> f64 {
        self.trained * each + self.frozen + self.residents
    }
}

/// All that a job holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holdings {
    embedding: Holding,
    /// Blocks, routed experts apart.
    body: Holding,
    experts: Holding,
    head: Holding,
    /// The copy of the embedding that a last stage of its own multiplies with.
    tied: Holding,
    layers: f64,
    /// One repetition of the largest block, its routed experts apart.
    block: [Holding; 2],
    /// One repetition of the largest unit, of one model.
    pub(crate) largest: Holding,
    /// Models that are trained, each as large as the profile.
    pub(crate) models: f64,
    /// Elements of sparse rows that one sample reads.
    pub(crate) read_elements: f64,
    /// Sparse rows that one sample reads.
    pub(crate) read_rows: f64,
    /// Elements of the vectors that they are summed into.
    pub(crate) pooled_elements: f64,
}

impl Holdings {
    /// What a job holds. `quantised_bits`: those of a weight of a 4-bit base where its default does not apply;
    /// `trained_parameters`: their count where it is known better than by the method.
    pub(crate) fn new(
        profile: &Profile,
        job: &JobSpec,
        demand: &Demand,
        quantised_bits: Option<f64>,
        trained_parameters: Option<u64>,
    ) -> Self {
        let bits = job.base_is_quantised().then_some(quantised_bits.unwrap_or(NF4));
        let known = trained_parameters.map(|known| known as f64 / (demand.trained_parameters as f64).max(1.0));
        let scale = demand.models * known.unwrap_or(1.0);
        let residents: f64 = demand.residents.iter().map(|resident| resident.weight_bytes).sum();
        let residents_each = residents / (profile.parameters() as f64).max(1.0);
        let adapted = profile.adapted(demand.adapters);
        let adapters = demand.adapters.filter(|_| adapted);
        let each = Each { job, bits, adapters, base_is_frozen: demand.adapters.is_some(), scale, residents_each };
        let mut all = Self { models: demand.models, ..Self::default() };
        let (mut largest_block, mut largest, mut largest_tied) = (0, 0, 0);
        for (unit, trained) in profile.units.iter().zip(&demand.trained) {
            let trained = if demand.adapters.is_some() && !adapted { UNKNOWN_ADAPTERS } else { *trained };
            let repeats = f64::from(unit.repeats);
            let [own, experts] = each.unit(unit, trained);
            let parameters = unit.parameters.saturating_add(unit.tied_parameters);
            match unit.role {
                Role::Embedding => all.embedding = all.embedding.plus(own, repeats),
                Role::Head => all.head = all.head.plus(own, repeats),
                Role::Body => {
                    all.body = all.body.plus(own, repeats);
                    all.experts = all.experts.plus(experts, repeats);
                    all.layers += repeats;
                    if unit.parameters > largest_block {
                        largest_block = unit.parameters;
                        all.block = [own, experts];
                    }
                }
            }
            if parameters > largest && unit.sparse.is_none() {
                (largest, largest_tied) = (parameters, unit.tied_parameters);
                all.largest = own.plus(experts, 1.0);
            }
            if let Some(rows) = &unit.sparse {
                all.read_elements += repeats * rows.elements;
                all.read_rows += repeats * rows.read;
                all.pooled_elements += repeats * rows.pooled;
            }
        }
        let input: f64 = profile.role(Role::Embedding).map(|unit| unit.all_parameters() as f64).sum();
        let tied: f64 = profile.units.iter().map(|unit| unit.tied_parameters as f64).sum();
        all.tied = all.embedding.times(tied / input.max(1.0));
        let largest = all.largest.plus(all.embedding, largest_tied as f64 / input.max(1.0));
        all.largest = Holding { trained: largest.trained / all.models, ..largest };
        all
    }

    /// All of it, on no layout.
    pub(crate) fn whole(&self) -> Holding {
        self.embedding.plus(self.body, 1.0).plus(self.experts, 1.0).plus(self.head, 1.0)
    }

    /// What one device of the first or the last stage holds before ranks share it out. With one stage both are set.
    pub(crate) fn on(&self, layout: &Layout, (first, last): (bool, bool)) -> Holding {
        let stages = f64::from(layout.pipeline.max(1));
        let blocks = if self.layers > 0.0 { (self.layers / stages).ceil() / self.layers } else { 1.0 / stages };
        let blocks = blocks.min(1.0);
        let mut held = self.body.times(blocks).plus(self.experts, blocks / f64::from(layout.expert.max(1)));
        if first {
            held = held.plus(self.embedding, 1.0);
        }
        if last {
            // A tied output projection on a stage of its own is a copy.
            held = held.plus(self.head, 1.0).plus(self.tied, if first { 0.0 } else { 1.0 });
        }
        held.times(1.0 / f64::from(layout.tensor.max(1)))
    }

    /// The fuller of both ends.
    pub(crate) fn fullest(&self, layout: &Layout) -> Holding {
        if layout.pipeline <= 1 {
            return self.on(layout, (true, true));
        }
        let (first, last) = (self.on(layout, (true, false)), self.on(layout, (false, true)));
        if last.size() > first.size() { last } else { first }
    }

    /// What full sharding has gathered at once in one device's backward pass: the input and output side, which stay, and
    /// two blocks, of one model at a time.
    pub(crate) fn gathered(&self, layout: &Layout) -> Holding {
        let [own, experts] = self.block;
        let blocks = own.plus(experts, 1.0 / f64::from(layout.expert.max(1)));
        let all = self.embedding.plus(self.head, 1.0).plus(blocks, 2.0);
        let all = all.times(1.0 / f64::from(layout.tensor.max(1)));
        Holding { trained: all.trained / self.models, residents: 0.0, ..all }
    }
}

/// Share of a model that adapters take where no matrix matches (a model without attention, or of unknown structure).
const UNKNOWN_ADAPTERS: f64 = 0.01;

/// How the units of a job are held.
struct Each<'a> {
    job: &'a JobSpec,
    bits: Option<f64>,
    adapters: Option<(u32, Matrices)>,
    /// Whether what is trained stands beside the base.
    base_is_frozen: bool,
    /// Models that are trained, and what is known of their trained parameters.
    scale: f64,
    residents_each: f64,
}

impl Each<'_> {
    /// One repetition of a unit of which a share is trained, its routed experts apart, last.
    fn unit(&self, unit: &Unit, trained: f64) -> [Holding; 2] {
        let (optimizer, precision) = (self.job.optimizer, self.job.precision);
        let experts = unit.expert_parameters as f64;
        let own = unit.parameters as f64 - experts;
        let working = precision.working_bytes() as f64;
        let frozen_each = match self.bits {
            Some(bits) if unit.role != Role::Embedding => bits / 8.0,
            _ => working,
        };
        let [own_moments, expert_moments] = optimizer.unit_bytes(unit, precision);
        let [own_flops, expert_flops] = optimizer.unit_flops(unit);
        let frozen = if self.base_is_frozen { 1.0 } else { 1.0 - trained };
        let part = |parameters: f64, moments: f64, step_flops: f64| Holding {
            trained: self.scale * trained * parameters,
            moments: self.scale * trained * moments,
            step_flops: self.scale * trained * step_flops,
            frozen: frozen * parameters * frozen_each,
            residents: parameters * self.residents_each,
            ..Holding::default()
        };
        let mut parts = [part(own, own_moments, own_flops), part(experts, expert_moments, expert_flops)];
        if let Some((rank, chosen)) = self.adapters {
            let adapters = adapters(unit, rank, chosen.places());
            for (part, matrices) in parts.iter_mut().zip(&adapters) {
                let parameters: f64 =
                    matrices.iter().map(|(m, times)| times * m.count as f64 * m.rows as f64 * m.columns as f64).sum();
                part.trained = self.scale * parameters;
                part.moments = self.scale * optimizer.matrix_bytes(matrices, parameters, precision);
                part.step_flops = self.scale * optimizer.matrix_flops(matrices);
            }
        }
        if unit.sparse.is_some() {
            let [held, _] = parts;
            parts[0] = Holding {
                rows: held.trained,
                row_moments: held.moments,
                frozen_rows: held.frozen,
                residents: held.residents,
                ..Holding::default()
            };
        }
        parts
    }
}

/// The two matrices of each low-rank adapter of one repetition of a unit, those beside routed experts apart, last.
fn adapters(unit: &Unit, rank: u32, places: &[Place]) -> [optimizer::Matrices; 2] {
    optimizer::matrices(unit).map(|matrices| {
        let chosen = matrices.into_iter().filter(|(matrix, _)| places.contains(&matrix.place));
        let pair = |(matrix, times): (Matrix, f64)| {
            let rank = u64::from(rank);
            [(Matrix { columns: rank, ..matrix }, times), (Matrix { rows: rank, ..matrix }, times)]
        };
        chosen.flat_map(pair).collect()
    })
}

impl Profile {
    /// Whether a matrix matches the places of adapters.
    fn adapted(&self, adapters: Option<(u32, Matrices)>) -> bool {
        adapters.is_some_and(|(rank, matrices)| self.adapter_parameters(rank, matrices.places()) > 0)
    }
}

impl JobSpec {
    /// Whether its base is stored in 4 bits: such a base computes in 16.
    pub(crate) fn base_is_quantised(&self) -> bool {
        matches!(self.method, super::Method::Qlora { .. }) && self.precision.working_bytes() == 2
    }
}
