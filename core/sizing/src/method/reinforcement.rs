//! Reinforcement learning from rewards: the roles that models play, and what each computes and stores.

use serde::{Deserialize, Serialize};

use crate::profile::{KernelKind, Profile, Unit};
use crate::{Precision, StepTime};

/// Which algorithm, and so which roles there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// With a critic of the actor's size that is trained too (arXiv 1707.06347, 2203.02155).
    Ppo,
    /// Advantages from a group of answers to one prompt; no critic (arXiv 2402.03300).
    Grpo,
}

/// Where rewards come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reward {
    /// A program: no device.
    Rule,
    /// A model of so many parameters.
    Model {
        /// Its parameters.
        parameters: u64,
    },
}

/// The engine that writes answers with the actor's weights, on the devices that train.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Engine {
    /// Devices that one copy of the weights is cut over; at least 1.
    pub ranks: u32,
    /// Answers that one copy writes at once at most; at least 1.
    pub at_once: u32,
    /// Whether it gives weights and cache back while the others compute, and gets the weights anew for each step.
    pub sleeps: bool,
}

/// One step of reinforcement learning. A sample is a prompt and its answer, as long as the job's sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reinforcement {
    /// Which algorithm.
    pub algorithm: Algorithm,
    /// Tokens of a prompt; what is left of the sequence is the answer.
    pub prompt_tokens: u32,
    /// Passes over the answers of a step; at least 1.
    pub epochs: u32,
    /// Where rewards come from.
    pub reward: Reward,
    /// Whether divergence from a frozen reference is penalised.
    pub reference: bool,
    /// What writes the answers.
    pub engine: Engine,
}

/// What a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RoleKind {
    /// Is trained.
    Actor,
    /// Writes answers with the actor's weights.
    Rollout,
    /// Scores answers with the weights of the beginning.
    Reference,
    /// Scores answers by quality.
    Reward,
    /// Predicts rewards, and is trained.
    Critic,
}

/// What one role asks for, per answer (prompt and answer as one sequence).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoleDemand {
    /// Which role.
    pub kind: RoleKind,
    /// Its parameters.
    pub parameters: u64,
    /// Whether it has gradients, optimizer states and activations.
    pub trained: bool,
    /// Bytes of weights where it only computes forward, before any sharing out; 0 where it is trained.
    pub weight_bytes: f64,
    /// Bytes of keys and values of one answer at its end; 0 but for the rollout.
    pub cache_bytes: f64,
    /// FLOPs over all passes.
    pub flops: f64,
}

impl Reinforcement {
    /// The roles of a step, the actor first. `profile` is the actor's over prompt and answer.
    ///
    /// FLOPs per token: generation, old and reference probabilities, values and rewards one forward pass each, training
    /// three per epoch (2N each and 6N).
    pub fn roles(&self, profile: &Profile, precision: Precision) -> Vec<RoleDemand> {
        let forward = profile.forward_flops();
        let parameters = profile.parameters();
        let working = precision.working_bytes() as f64;
        let training = 3.0 * f64::from(self.epochs.max(1)) * forward;
        let actor = RoleDemand {
            kind: RoleKind::Actor,
            parameters,
            trained: true,
            weight_bytes: 0.0,
            cache_bytes: 0.0,
            flops: forward + training,
        };
        let frozen = |kind, parameters: u64| RoleDemand {
            kind,
            parameters,
            trained: false,
            weight_bytes: parameters as f64 * working,
            flops: forward * parameters as f64 / profile.parameters().max(1) as f64,
            ..actor
        };
        let cache_bytes = self.cache_bytes(profile, precision);
        let mut roles = vec![actor, RoleDemand { cache_bytes, ..frozen(RoleKind::Rollout, parameters) }];
        if self.reference {
            roles.push(frozen(RoleKind::Reference, parameters));
        }
        if let Reward::Model { parameters } = self.reward {
            roles.push(frozen(RoleKind::Reward, parameters));
        }
        if self.algorithm == Algorithm::Ppo {
            roles.push(RoleDemand { kind: RoleKind::Critic, ..actor });
        }
        roles
    }

    /// Share of a sequence of so many tokens that is its prompt, 0 to 1.
    pub fn prompt_share(&self, sequence_length: u32) -> f64 {
        f64::from(self.prompt_tokens.min(sequence_length)) / f64::from(sequence_length.max(1))
    }

    /// Tokens that are written one after the other.
    pub fn answer_tokens(&self, sequence_length: u32) -> u32 {
        sequence_length.saturating_sub(self.prompt_tokens)
    }

    /// Devices of one copy of the engine, of so many in all.
    pub(crate) fn ranks(&self, devices: u32) -> f64 {
        f64::from(self.engine.ranks.clamp(1, devices.max(1)))
    }

    /// Answers of a global batch that one copy of the engine writes, where such copies stand on all devices.
    pub(crate) fn answers(&self, global_batch: f64, devices: u32) -> f64 {
        (global_batch * self.ranks(devices) / f64::from(devices.max(1))).max(1.0)
    }

    /// Those of them that it writes at once.
    pub(crate) fn answers_at_once(&self, global_batch: f64, devices: u32) -> f64 {
        self.answers(global_batch, devices).min(f64::from(self.engine.at_once.max(1)))
    }

    /// Bytes of the new weights that the rollout is given after each step.
    pub fn refit_bytes(&self, profile: &Profile, precision: Precision) -> f64 {
        profile.parameters() as f64 * precision.working_bytes() as f64
    }

    /// Devices that generate for each that scores and trains when both have devices of their own and work at the same
    /// time, so that neither waits: both parts of a step on all devices together shrink with the devices that they get.
    ///
    /// `step` is that of the roles on the same devices. Infinite where nothing but generation takes time.
    pub fn balanced_ratio(step: &StepTime) -> f64 {
        step.generation / (step.total() - step.generation)
    }

    /// Bytes of keys and values of one answer at its end: what blocks exchange between context-parallel ranks,
    /// `2·s·k·d_h` elements each, of which a block with a window keeps those that its last query sees.
    pub fn cache_bytes(&self, profile: &Profile, precision: Precision) -> f64 {
        let elements = |unit: &Unit| {
            let core = unit.kernels.iter().find(|kernel| kernel.kind == KernelKind::Attention)?;
            // Of `s` keys a query sees `k`, and of its scores `1 - k/2s`.
            let kept = if core.seen < 1.0 { (2.0 * (1.0 - core.seen)).min(1.0) } else { 1.0 };
            Some(kept * unit.exchanged_elements * f64::from(unit.repeats))
        };
        profile.units.iter().filter_map(elements).sum::<f64>() * precision.working_bytes() as f64
    }
}
