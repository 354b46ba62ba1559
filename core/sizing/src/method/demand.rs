//! What a method asks beyond the forward pass, for memory and time to add up.

use super::reinforcement::{Algorithm, Reinforcement, RoleKind};
use super::{Matrices, Method};
use crate::Precision;
use crate::profile::{Profile, Unit};

/// What a method asks of the devices that train.
#[derive(Clone, Debug, PartialEq)]
pub struct Demand {
    /// Parameters that receive gradients and optimizer states, a critic's included.
    pub trained_parameters: u64,
    /// For every unit of the profile, in order: how many forward passes' worth of FLOPs it computes per sample. 3 where
    /// weights are trained, 2 where only gradients pass through, 1 where nothing is kept for a backward pass, 5 with a
    /// second backward pass; the mean over repetitions where only some of them are trained.
    pub passes: Vec<f64>,
    /// For every unit: the share of its parameters that is trained, adapters left out, 0 to 1.
    pub trained: Vec<f64>,
    /// Rank and matrices of adapters, where those are what is trained.
    pub adapters: Option<(u32, Matrices)>,
    /// FLOPs per sample beside those: adapters, norms of ghost clipping.
    pub extra_flops: f64,
    /// Models of the profile's shape that are trained one after the other: an actor and its critic are 2, all else 1.
    pub models: f64,
    /// How often a step trains on each of its samples; 1 but for reinforcement learning.
    pub epochs: f64,
    /// Models that stand in memory beside the one that is trained and only compute forward.
    pub residents: Vec<Resident>,
    /// Forward passes of the profile that only score a sample: those of residents, a smaller one by its share of
    /// parameters, and of trained models before their update.
    pub scoring_passes: f64,
    /// How samples are generated, where they are.
    pub generation: Option<Reinforcement>,
    /// Bytes that each sample of a micro-batch takes beside its activations.
    pub bytes_per_sample: f64,
}

/// What a resident model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResidentRole {
    /// Scores answers as the model did before training.
    Reference,
    /// Scores answers by quality.
    Reward,
}

/// A model that only computes forward.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resident {
    /// What it is for.
    pub role: ResidentRole,
    /// Its parameters; 0 where it shares the trained model's frozen base.
    pub parameters: u64,
    /// Bytes of its weights, before any sharing out.
    pub weight_bytes: f64,
    /// FLOPs of its forward pass over one sample.
    pub flops: f64,
}

impl Demand {
    /// FLOPs of training one sample, scoring and generation included.
    pub fn flops(&self, profile: &Profile) -> f64 {
        let own: f64 = profile
            .units
            .iter()
            .zip(&self.passes)
            .map(|(unit, passes)| passes * unit.flops() * f64::from(unit.repeats))
            .sum();
        let generated = if self.generation.is_some() { 1.0 } else { 0.0 };
        self.models * self.epochs * (own + self.extra_flops)
            + (self.scoring_passes + generated) * profile.forward_flops()
    }
}

impl Method {
    /// What the method asks for a model.
    pub fn demand(self, profile: &Profile, precision: Precision) -> Demand {
        let units = profile.units.len();
        let all = Demand {
            trained_parameters: profile.parameters(),
            passes: vec![3.0; units],
            trained: vec![1.0; units],
            adapters: None,
            extra_flops: 0.0,
            models: 1.0,
            epochs: 1.0,
            residents: Vec::new(),
            scoring_passes: 0.0,
            generation: None,
            bytes_per_sample: 0.0,
        };
        match self {
            Self::Pretrain | Self::Finetune => all,
            Self::Transfer { trained_units } => transfer(profile, trained_units, all),
            Self::Lora { rank, matrices } | Self::Qlora { rank, matrices } => adapters(profile, rank, matrices, all),
            Self::Preference { adapters: chosen } => {
                let (base, parameters) = match chosen {
                    None => (all, profile.parameters()),
                    Some((rank, matrices)) => (adapters(profile, rank, matrices, all), 0),
                };
                let reference = Resident {
                    role: ResidentRole::Reference,
                    parameters,
                    weight_bytes: parameters as f64 * precision.working_bytes() as f64,
                    flops: profile.forward_flops(),
                };
                Demand { residents: vec![reference], scoring_passes: 1.0, ..base }
            }
            Self::Reinforcement(step) => reinforcement(profile, precision, step, all),
            // The gradient of every sample stands in fp32 until it is clipped; of tables, those of the rows it reads.
            Self::Private { ghost: false } => {
                let bytes: f64 = profile.units.iter().map(|unit| 4.0 * f64::from(unit.repeats) * reached(unit)).sum();
                Demand { bytes_per_sample: bytes, ..all }
            }
            Self::Private { ghost: true } => {
                Demand { passes: vec![5.0; units], extra_flops: profile.units.iter().map(norms).sum(), ..all }
            }
        }
    }
}

/// Parameters of a unit that the gradient of one sample reaches.
fn reached(unit: &Unit) -> f64 {
    let parameters = unit.parameters as f64;
    unit.sparse.map_or(parameters, |rows| rows.elements.min(parameters))
}

/// An actor, its critic, and the models that score its answers.
fn reinforcement(profile: &Profile, precision: Precision, step: Reinforcement, all: Demand) -> Demand {
    let models = if step.algorithm == Algorithm::Ppo { 2 } else { 1 };
    let residents: Vec<Resident> = step
        .roles(profile, precision)
        .into_iter()
        .filter_map(|role| {
            let kind = match role.kind {
                RoleKind::Reference => ResidentRole::Reference,
                RoleKind::Reward => ResidentRole::Reward,
                RoleKind::Actor | RoleKind::Rollout | RoleKind::Critic => return None,
            };
            let (parameters, weight_bytes, flops) = (role.parameters, role.weight_bytes, role.flops);
            Some(Resident { role: kind, parameters, weight_bytes, flops })
        })
        .collect();
    let own = profile.parameters();
    let scored: f64 = residents.iter().map(|resident| resident.parameters as f64 / own.max(1) as f64).sum();
    Demand {
        trained_parameters: own.saturating_mul(models),
        models: models as f64,
        epochs: f64::from(step.epochs.max(1)),
        residents,
        // Trained models score their own answers before the first update.
        scoring_passes: scored + models as f64,
        generation: Some(step),
        ..all
    }
}
/// Frozen up to the last units: no gradient reaches what stands before the first trained one.
fn transfer(profile: &Profile, trained_units: u32, all: Demand) -> Demand {
    let mut left = trained_units.max(1);
    let mut demand = all;
    demand.trained_parameters = 0;
    for (index, unit) in profile.units.iter().enumerate().rev() {
        let trained = unit.repeats.min(left);
        left -= trained;
        let share = f64::from(trained) / f64::from(unit.repeats.max(1));
        demand.passes[index] = 1.0 + 2.0 * share;
        demand.trained[index] = share;
        demand.trained_parameters =
            demand.trained_parameters.saturating_add(unit.parameters.saturating_mul(u64::from(trained)));
    }
    demand
}

/// A frozen base through which gradients pass, and adapters of `r·(d_in + d_out)` beside its matrices.
///
/// Where no matrix matches (a model without attention, or of unknown structure) adapters take 1 % of its parameters.
fn adapters(profile: &Profile, rank: u32, matrices: Matrices, all: Demand) -> Demand {
    let places = matrices.places();
    let parameters = match profile.adapter_parameters(rank, places) {
        0 => profile.parameters() / 100,
        parameters => parameters,
    };
    let flops: f64 = profile
        .units
        .iter()
        .flat_map(|unit| unit.kernels.iter().map(move |kernel| (kernel, f64::from(unit.repeats))))
        .filter_map(|(kernel, times)| {
            let matrix = kernel.matrix.filter(|matrix| places.contains(&matrix.place))?;
            let (rows, columns) = (matrix.rows as f64, matrix.columns as f64);
            let positions = kernel.flops / (2.0 * rows * columns);
            Some(6.0 * times * positions * f64::from(rank) * (rows + columns))
        })
        .sum();
    let units = profile.units.len();
    Demand {
        trained_parameters: parameters,
        passes: vec![2.0; units],
        trained: vec![0.0; units],
        adapters: Some((rank, matrices)),
        extra_flops: if flops > 0.0 { flops } else { 6.0 * parameters as f64 },
        ..all
    }
}

/// FLOPs of the norms of a unit's gradients, from the products of activations and of output gradients with themselves:
/// `2·T²·(d_in + d_out)` per matrix, or its gradient where that is cheaper (arXiv 2205.10683, section 4).
fn norms(unit: &Unit) -> f64 {
    let each = unit.kernels.iter().filter_map(|kernel| {
        let matrix = kernel.matrix?;
        let (rows, columns) = (matrix.rows as f64, matrix.columns as f64);
        let positions = kernel.flops / (2.0 * rows * columns).max(1.0);
        Some((2.0 * positions * positions * (rows + columns)).min(kernel.flops))
    });
    f64::from(unit.repeats) * each.sum::<f64>()
}
