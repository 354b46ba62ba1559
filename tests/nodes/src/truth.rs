//! The ground truth: what a job really needs and how fast it really goes.
//!
//! It decides what happens on the nodes and knows nothing of what Plimsoll thinks: no crate of sizing is named here. A
//! profile is a table of step times, a device that saturates with its micro-batch, and memory that is affine in it, each
//! with an error that is drawn once per job from a seed.

mod noise;
mod product;
mod profile;
mod steps;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use product::{total_bytes, usable_bytes};
use profile::Profile;
use steps::{StepTable, StepTableError};

/// Why a ground truth could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TruthError {
    /// The file cannot be read.
    #[error("failed to read the ground truth {}", file.display())]
    Read {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("failed to understand the ground truth {}", file.display())]
    Parse {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: Box<serde_yaml::Error>,
    },
    /// A table of step times is not what it should be.
    #[error("failed to read the step times of profile {profile}")]
    Steps {
        /// Which profile.
        profile: String,
        /// Why.
        source: StepTableError,
    },
}

#[derive(Debug, Deserialize)]
struct File {
    profiles: BTreeMap<String, Profile>,
}

/// All profiles, with a seed.
#[derive(Debug)]
pub struct Truth {
    seed: u64,
    profiles: BTreeMap<String, (Profile, StepTable)>,
}

/// How a job runs: what its pods were told and where they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Product label of its devices, such as `Tesla-T4`.
    pub product: String,
    /// Devices of each pod; pods are on nodes of their own.
    pub gpus_per_pod: Vec<u32>,
    /// Samples that one rank computes at once.
    pub micro_batch: u32,
    /// Micro-batches per optimizer step.
    pub accumulation: u32,
    /// Data-parallel ranks.
    pub data: u32,
    /// Tensor-parallel ranks.
    pub tensor: u32,
    /// What the data-parallel ranks share out; `None` for nothing.
    pub sharding: String,
    /// What is computed again in the backward pass; `None` for nothing.
    pub recompute: String,
}

/// What really happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Wall time of an optimizer step, in seconds.
    pub step_seconds: f64,
    /// Part of it in which devices wait for gradients, in seconds.
    pub sync_seconds: f64,
    /// Share of the step in which the streaming multiprocessors work, 0 to 1.
    pub sm_activity: f64,
    /// Peak device memory of the fullest device, in bytes.
    pub memory_bytes: u64,
    /// The driver's share of it, which no allocator reports, in bytes.
    pub context_bytes: u64,
}

impl Truth {
    /// Reads a ground truth; tables lie beside it.
    ///
    /// # Errors
    /// When the file or one of its tables is not what it should be.
    pub fn load(file: &Path, seed: u64) -> Result<Self, TruthError> {
        let text =
            std::fs::read_to_string(file).map_err(|source| TruthError::Read { file: file.to_owned(), source })?;
        let parsed: File = serde_yaml::from_str(&text)
            .map_err(|source| TruthError::Parse { file: file.to_owned(), source: Box::new(source) })?;
        let folder = file.parent().unwrap_or(Path::new("."));
        let mut profiles = BTreeMap::new();
        for (name, profile) in parsed.profiles {
            let table = StepTable::load(&folder.join(&profile.steps))
                .map_err(|source| TruthError::Steps { profile: name.clone(), source })?;
            profiles.insert(name, (profile, table));
        }
        Ok(Self { seed, profiles })
    }

    /// The ground truth of the demo.
    pub fn default_file() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("truth/default.yaml")
    }

    /// What is true of one job; `None` when there is no such profile.
    pub fn job(&self, profile: &str, job: &str) -> Option<JobTruth<'_>> {
        let (profile, table) = self.profiles.get(profile)?;
        Some(JobTruth { profile, table, seed: self.seed, job: job.to_owned() })
    }
}

/// What is true of one job.
#[derive(Clone, Debug)]
pub struct JobTruth<'a> {
    profile: &'a Profile,
    table: &'a StepTable,
    seed: u64,
    job: String,
}

impl JobTruth<'_> {
    /// Optimizer steps of the whole training.
    pub fn total_steps(&self) -> u64 {
        self.profile.total_steps
    }

    /// What happens when it runs like this.
    pub fn run(&self, run: &Run) -> Outcome {
        let draw = |quantity: &str, sigma: f64| noise::lognormal(self.seed, &self.job, quantity, sigma);
        let spread = &self.profile.spread;
        let batch = f64::from(run.micro_batch.max(1));

        let at = self.table.at(&run.gpus_per_pod, batch);
        let slower = self.profile.products.get(&run.product).copied().unwrap_or(1.0);
        let recompute = if run.recompute == "Full" { 4.0 / 3.0 } else { 1.0 };
        let compute = (at.step_seconds - at.sync_seconds) * slower * recompute * draw("compute", spread.compute);
        let sync = at.sync_seconds * draw("sync", spread.sync);
        let step = compute * f64::from(run.accumulation.max(1)) + sync;

        let half = self.profile.half_batch * draw("halfBatch", spread.half_batch);
        let sm_activity = (step - sync) / step * batch / (batch + half);
        Outcome {
            step_seconds: step,
            sync_seconds: sync,
            sm_activity,
            memory_bytes: self.memory(run, batch, draw("activations", spread.activations)),
            context_bytes: (self.profile.memory_mib.context * f64::from(1 << 20)) as u64,
        }
    }

    fn memory(&self, run: &Run, batch: f64, error: f64) -> u64 {
        /// The allocator asks the driver for blocks of 2 MiB.
        const BLOCK_MIB: f64 = 2.0;
        let memory = &self.profile.memory_mib;
        let ranks = if run.sharding == "None" { 1.0 } else { f64::from(run.data.max(1)) };
        let fixed = memory.fixed * (1.0 - memory.sharded + memory.sharded / ranks) / f64::from(run.tensor.max(1));
        let activations = if run.recompute == "Full" { 0.25 } else { 1.0 };
        let allocated = fixed + memory.per_sample * batch * activations * error;
        let mib = memory.context + (allocated / BLOCK_MIB).ceil() * BLOCK_MIB;
        (mib * f64::from(1 << 20)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth(seed: u64) -> Truth {
        Truth::load(&Truth::default_file(), seed).unwrap()
    }

    fn run(product: &str, gpus_per_pod: &[u32], micro_batch: u32, accumulation: u32) -> Run {
        Run {
            product: product.to_owned(),
            gpus_per_pod: gpus_per_pod.to_vec(),
            micro_batch,
            accumulation,
            data: gpus_per_pod.iter().sum(),
            tensor: 1,
            sharding: "None".to_owned(),
            recompute: "None".to_owned(),
        }
    }

    #[test]
    fn the_same_seed_is_the_same_truth_and_another_is_not() {
        let outcome = |seed| truth(seed).job("cifar10", "default/a").unwrap().run(&run("Tesla-T4", &[4, 4], 32, 1));
        assert_eq!(outcome(1), outcome(1));
        assert_ne!(outcome(1), outcome(2));
    }

    #[test]
    fn activity_rises_when_a_job_waits_less_for_its_gradients() {
        for seed in 0..20 {
            let truth = truth(seed);
            let job = truth.job("cifar10", "default/c").unwrap();
            let (eight, four) = (job.run(&run("Tesla-T4", &[4, 4], 32, 1)), job.run(&run("Tesla-T4", &[4], 64, 1)));
            assert!(eight.sm_activity < 0.3, "{eight:?}");
            assert!(four.sm_activity > eight.sm_activity && four.step_seconds < eight.step_seconds, "{four:?}");
        }
    }

    #[test]
    fn the_transformer_needs_more_than_its_card_at_four_samples_and_less_at_two() {
        for file in ["default.yaml", "other.yaml"] {
            for seed in 0..50 {
                let truth = Truth::load(&Truth::default_file().with_file_name(file), seed).unwrap();
                let job = truth.job("transformer", "default/transformer-oom").unwrap();
                let card = usable_bytes("NVIDIA-A100-SXM4-40GB");
                let at = |micro| {
                    let sharded =
                        Run { sharding: "Optimizer".to_owned(), ..run("NVIDIA-A100-SXM4-40GB", &[8], micro, 16) };
                    job.run(&sharded).memory_bytes
                };
                assert!(at(4) > card, "{file} {seed}: {}", at(4) >> 20);
                assert!(at(2) < card, "{file} {seed}: {}", at(2) >> 20);
            }
        }
    }

    #[test]
    fn accumulation_waits_for_gradients_once() {
        let truth = truth(0);
        let job = truth.job("live", "default/e").unwrap();
        let (once, twice) = (job.run(&run("x", &[4], 8, 1)), job.run(&run("x", &[4], 8, 2)));
        assert!((twice.sync_seconds - once.sync_seconds).abs() < 1e-12);
        assert!(twice.step_seconds < 2.0 * once.step_seconds);
    }
}
