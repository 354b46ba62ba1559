//! Writing samples, token after token: reinforcement learning's rollout.

use crate::communication::Group;
use crate::method::reinforcement::Reinforcement;
use crate::profile::{Kernel, Place, Role, Unit};
use crate::{JobSpec, Profile, Sharding};

use super::Run;
use super::rates::Rates;

/// What writing one answer asks of the devices that hold one copy of the weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Answer {
    step: Reinforcement,
    /// Bytes of weights that every token reads: all but lookups and routed experts.
    dense_bytes: f64,
    /// Bytes of routed experts, and the share of them that one token reads.
    expert_bytes: f64,
    expert_share: f64,
    /// Bytes of all weights, lookups included.
    all_bytes: f64,
    /// Bytes of keys and values at its end.
    cache_bytes: f64,
    /// FLOPs of a token.
    token_flops: f64,
    /// Bytes of a token that the devices of one copy sum, and sums.
    summed_bytes: f64,
    sums: f64,
}

impl Answer {
    pub(super) fn of(profile: &Profile, job: &JobSpec, step: Reinforcement) -> Self {
        let tokens = f64::from(job.sequence_length.max(1));
        let working = job.precision.working_bytes() as f64;
        let over = |of: &dyn Fn(&Unit) -> f64| {
            profile.units.iter().map(|unit| f64::from(unit.repeats) * of(unit)).sum::<f64>()
        };
        let read = |unit: &Unit| match unit.role {
            Role::Embedding => 0.0,
            Role::Body | Role::Head => {
                unit.parameters.saturating_sub(unit.expert_parameters) as f64 + unit.tied_parameters as f64
            }
        };
        let is_expert = |kernel: &&Kernel| kernel.matrix.is_some_and(|matrix| matrix.place == Place::Expert);
        let expert = profile.units.iter().flat_map(|unit| &unit.kernels).find(is_expert);
        let expert_share = expert.and_then(|kernel| {
            let matrix = kernel.matrix?;
            let chosen = kernel.flops / (2.0 * matrix.rows as f64 * matrix.columns as f64).max(1.0) / tokens;
            Some((chosen / (matrix.count as f64).max(1.0)).min(1.0))
        });
        Self {
            step,
            dense_bytes: working * over(&read),
            expert_bytes: working * over(&|unit| unit.expert_parameters as f64),
            expert_share: expert_share.unwrap_or(1.0),
            all_bytes: step.refit_bytes(profile, job.precision),
            cache_bytes: step.cache_bytes(profile, job.precision),
            token_flops: profile.forward_flops() / tokens,
            summed_bytes: working * over(&|unit| unit.reduced_elements) / tokens,
            sums: over(&|unit| if unit.reduced_elements > 0.0 { 2.0 } else { 0.0 }),
        }
    }

    /// Seconds in which all copies of the engine write the answers of a step, of which reading a prompt takes as much as
    /// its share of the sequence does of a forward pass over all of them, `forward` seconds.
    ///
    /// For every token a copy reads its weights and the keys and values so far, half of the answer in the mean, and
    /// computes: `FLOPs/(η·peak) + bytes/(β·BW)`, as for all products. Launches are left out: engines replay graphs of
    /// them. Answers take each other's place as they end, so that as many as possible are always at work.
    pub(super) fn seconds(&self, run: &Run<'_>, rates: &Rates<'_>, forward: f64) -> f64 {
        let (job, layout) = (run.job, run.layout);
        let devices = layout.devices();
        let ranks = self.step.ranks(devices);
        let (batch, tokens) = (f64::from(run.batch.global), self.step.answer_tokens(job.sequence_length));
        let at_once = self.step.answers_at_once(batch, devices);
        let turns = self.step.answers(batch, devices) / at_once;
        let filled = 1.0 - f64::from(tokens) / (2.0 * f64::from(job.sequence_length.max(1)));
        let weights = self.dense_bytes + self.expert_bytes * (at_once * self.expert_share).min(1.0);
        let bytes = weights + at_once * self.cache_bytes * filled;
        let group =
            Group::new(run.class, run.shape, ranks as u32, 1, rates.constants().network_share, rates.constants());
        let each = rates.wide_product_seconds(at_once * self.token_flops / ranks)
            + rates.read_seconds(bytes / ranks)
            + group.all_reduce(at_once * self.summed_bytes, self.sums);
        let prompts = self.step.prompt_share(job.sequence_length) * forward;
        prompts + turns * f64::from(tokens) * each + self.refit_seconds(run, rates, ranks)
    }

    /// Seconds in which the engine gets new weights: from all devices where no one holds them whole, else by a copy.
    fn refit_seconds(&self, run: &Run<'_>, rates: &Rates<'_>, ranks: f64) -> f64 {
        let (layout, bytes) = (run.layout, self.all_bytes / ranks);
        let cut = layout.sharding == Sharding::Full || layout.tensor > 1 || layout.pipeline > 1;
        if !cut || layout.devices() <= 1 {
            return rates.read_seconds(2.0 * bytes);
        }
        let constants = rates.constants();
        Group::new(run.class, run.shape, layout.devices(), 1, constants.network_share, constants).all_gather(bytes, 1.0)
    }
}
