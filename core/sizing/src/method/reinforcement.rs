//! Reinforcement learning from rewards: the roles that models play, and what each computes and stores.

use serde::{Deserialize, Serialize};

use crate::Precision;
use crate::profile::{KernelKind, Profile};

/// Which algorithm, and so which roles there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// With a critic of the actor's size that is trained too (arXiv 1707.06347, 2203.02155).
    Ppo,
    /// Advantages from a group of answers to one prompt; no critic (arXiv 2402.03300).
    Grpo,
}

/// Where rewards come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reward {
    /// A program: no device.
    Rule,
    /// A model of so many parameters.
    Model {
        /// Its parameters.
        parameters: u64,
    },
}

/// Whether roles share devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Placement {
    /// All on the same devices, one after the other: memory adds up, unless what rests is offloaded.
    Colocated,
    /// Generation on devices of its own, which work at the same time.
    Split,
}

/// One step of reinforcement learning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reinforcement {
    /// Which algorithm.
    pub algorithm: Algorithm,
    /// Tokens of a prompt.
    pub prompt_tokens: u32,
    /// Tokens of an answer.
    pub answer_tokens: u32,
    /// Passes over the answers of a step.
    pub epochs: u32,
    /// Where rewards come from.
    pub reward: Reward,
    /// Whether divergence from a frozen reference is penalised.
    pub reference: bool,
    /// Whether roles share devices.
    pub placement: Placement,
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
    /// Parameters; 0 where they are the actor's.
    pub parameters: u64,
    /// Whether it has gradients, optimizer states and activations.
    pub trained: bool,
    /// Bytes of weights where it only computes forward, before any sharing out; 0 where it is trained.
    pub weight_bytes: f64,
    /// Bytes of keys and values of one answer at its end; 0 but for the rollout.
    pub cache_bytes: f64,
    /// FLOPs over all passes.
    pub flops: f64,
    /// Tokens that are written one after the other.
    pub generated_tokens: u32,
}

impl Reinforcement {
    /// Tokens of a whole sequence.
    pub fn sequence_tokens(&self) -> u32 {
        self.prompt_tokens.saturating_add(self.answer_tokens)
    }

    /// The roles of a step, the actor first. `profile` is the actor's over [`Self::sequence_tokens`].
    ///
    /// FLOPs per token: generation, old and reference probabilities and rewards one forward pass each, training three per
    /// epoch (2N, 2N, 2N and 6N).
    pub fn roles(&self, profile: &Profile, precision: Precision) -> Vec<RoleDemand> {
        let forward = profile.forward_flops();
        let parameters = profile.parameters();
        let working = precision.working_bytes() as f64;
        let training = 3.0 * f64::from(self.epochs.max(1)) * forward;
        let silent = RoleDemand {
            kind: RoleKind::Actor,
            parameters,
            trained: true,
            weight_bytes: 0.0,
            cache_bytes: 0.0,
            flops: forward + training,
            generated_tokens: 0,
        };
        let frozen = |kind, parameters: u64| RoleDemand {
            kind,
            parameters,
            trained: false,
            weight_bytes: parameters as f64 * working,
            flops: forward * parameters as f64 / profile.parameters().max(1) as f64,
            ..silent
        };
        let mut roles = vec![
            silent,
            RoleDemand {
                cache_bytes: cache_bytes(profile, precision),
                flops: forward,
                generated_tokens: self.answer_tokens,
                ..frozen(RoleKind::Rollout, parameters)
            },
        ];
        if self.reference {
            roles.push(frozen(RoleKind::Reference, parameters));
        }
        if let Reward::Model { parameters } = self.reward {
            roles.push(frozen(RoleKind::Reward, parameters));
        }
        if self.algorithm == Algorithm::Ppo {
            roles.push(RoleDemand { kind: RoleKind::Critic, ..silent });
        }
        roles
    }

    /// Bytes of the new weights that the rollout is given after each step.
    pub fn refit_bytes(&self, profile: &Profile, precision: Precision) -> f64 {
        profile.parameters() as f64 * precision.working_bytes() as f64
    }

    /// Seconds to write `answers` answers at once on one device: every token reads all weights and the cache so far, or
    /// computes, whichever takes longer.
    pub fn generation_seconds(
        &self,
        rollout: &RoleDemand,
        answers: u32,
        bytes_per_second: f64,
        flops_per_second: f64,
    ) -> f64 {
        let answers = f64::from(answers);
        let tokens = f64::from(rollout.generated_tokens);
        // The cache grows from the prompt to the end.
        let share = 1.0 - tokens / (2.0 * f64::from(self.sequence_tokens().max(1)));
        let bytes = rollout.weight_bytes + answers * rollout.cache_bytes * share;
        let flops = answers * rollout.flops / f64::from(self.sequence_tokens().max(1));
        tokens * (bytes / bytes_per_second).max(flops / flops_per_second)
    }

    /// Share of the devices that generation gets when placed apart, so that it takes as long as the rest; both times are
    /// those of all devices together.
    pub fn generation_share(generation_seconds: f64, training_seconds: f64) -> f64 {
        let all = generation_seconds + training_seconds;
        if all > 0.0 { generation_seconds / all } else { 0.5 }
    }
}

/// Bytes of keys and values of one sequence: what its blocks exchange between context-parallel ranks, `2·s·k·d_h` each.
fn cache_bytes(profile: &Profile, precision: Precision) -> f64 {
    let elements: f64 = profile
        .units
        .iter()
        .filter(|unit| unit.kernels.iter().any(|kernel| kernel.kind == KernelKind::Attention))
        .map(|unit| unit.exchanged_elements * f64::from(unit.repeats))
        .sum();
    elements * precision.working_bytes() as f64
}
