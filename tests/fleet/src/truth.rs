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

pub(crate) use noise::hash;
pub use product::{total_bytes, usable_bytes};
pub use profile::Habits;
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
    /// The default names no profile.
    #[error("failed to find the default profile {0:?}")]
    Default(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    default: String,
    profiles: BTreeMap<String, Profile>,
}

const DEFAULT: &str = include_str!("../truth/default.yaml");
const TABLES: [(&str, &str); 6] = [
    ("pollux/cifar10.csv", include_str!("../truth/pollux/cifar10.csv")),
    ("tables/gang.csv", include_str!("../truth/tables/gang.csv")),
    ("tables/host.csv", include_str!("../truth/tables/host.csv")),
    ("tables/live.csv", include_str!("../truth/tables/live.csv")),
    ("tables/llama.csv", include_str!("../truth/tables/llama.csv")),
    ("tables/transformer.csv", include_str!("../truth/tables/transformer.csv")),
];

/// All profiles, with a seed.
#[derive(Debug)]
pub struct Truth {
    seed: u64,
    default: String,
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
    /// What the program's allocator keeps on the fullest device, in bytes.
    pub allocated_bytes: u64,
    /// Of it what one more piece of activations asks for, in bytes.
    pub piece_bytes: u64,
    /// What context and libraries take beside the allocator, in bytes.
    pub context_bytes: u64,
}

impl Outcome {
    /// Device memory in use, as the driver sees it, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.allocated_bytes + self.context_bytes
    }

    /// What a card with so many usable bytes makes of it: `None` when it fits, else the allocator's last word, what it
    /// held plus what it asked for.
    pub fn runs_out_of(&self, usable_bytes: u64) -> Option<u64> {
        if self.memory_bytes() <= usable_bytes {
            return None;
        }
        let room = usable_bytes.saturating_sub(self.context_bytes) / BLOCK_BYTES * BLOCK_BYTES;
        let held = room.saturating_sub(self.piece_bytes / 2);
        Some((held + self.piece_bytes).min(self.allocated_bytes).max(room + BLOCK_BYTES))
    }
}

/// The allocator asks the driver for blocks of 2 MiB.
const BLOCK_BYTES: u64 = 2 << 20;

impl Truth {
    /// Reads a ground truth; tables lie beside it.
    ///
    /// # Errors
    /// When the file or one of its tables is not what it should be.
    pub fn load(file: &Path, seed: u64) -> Result<Self, TruthError> {
        let text =
            std::fs::read_to_string(file).map_err(|source| TruthError::Read { file: file.to_owned(), source })?;
        let folder = file.parent().unwrap_or(Path::new("."));
        Self::parse(file, &text, seed, |table| std::fs::read_to_string(folder.join(table)))
    }

    /// The ground truth of the demo, which is built in.
    ///
    /// # Errors
    /// When it is not what it should be.
    pub fn built_in(seed: u64) -> Result<Self, TruthError> {
        let table = |name: &str| {
            let found = TABLES.iter().find(|(table, _)| *table == name).map(|(_, text)| (*text).to_owned());
            found.ok_or_else(|| std::io::ErrorKind::NotFound.into())
        };
        Self::parse(Path::new("default.yaml"), DEFAULT, seed, table)
    }

    fn parse(
        file: &Path,
        text: &str,
        seed: u64,
        read: impl Fn(&str) -> std::io::Result<String>,
    ) -> Result<Self, TruthError> {
        let parsed: File = serde_yaml::from_str(text)
            .map_err(|source| TruthError::Parse { file: file.to_owned(), source: Box::new(source) })?;
        let mut profiles = BTreeMap::new();
        for (name, profile) in parsed.profiles {
            let path = PathBuf::from(&profile.steps);
            let table = read(&profile.steps)
                .map_err(|source| StepTableError::Read { file: path.clone(), source })
                .and_then(|text| StepTable::parse(&path, &text))
                .map_err(|source| TruthError::Steps { profile: name.clone(), source })?;
            profiles.insert(name, (profile, table));
        }
        if !profiles.contains_key(&parsed.default) {
            return Err(TruthError::Default(parsed.default));
        }
        Ok(Self { seed, default: parsed.default, profiles })
    }

    /// What is true of one job. A profile that is not in the file is the default one.
    pub fn job(&self, profile: &str, job: &str) -> Option<JobTruth> {
        let (name, (profile, table)) =
            self.profiles.get_key_value(profile).or_else(|| self.profiles.get_key_value(&self.default))?;
        let (profile, table) = (profile.clone(), table.clone());
        Some(JobTruth { name: name.clone(), profile, table, seed: self.seed, job: job.to_owned() })
    }
}

/// What is true of one job.
#[derive(Clone, Debug)]
pub struct JobTruth {
    name: String,
    profile: Profile,
    table: StepTable,
    seed: u64,
    job: String,
}

impl JobTruth {
    /// Name of its profile.
    pub fn profile(&self) -> &str {
        &self.name
    }

    /// Optimizer steps of the whole training.
    pub fn total_steps(&self) -> u64 {
        self.profile.total_steps
    }

    /// How its program behaves.
    pub fn habits(&self) -> Habits {
        self.profile.program
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
        let memory = self.profile.memory_mib.at(run, draw("perSample", spread.per_sample));
        Outcome {
            step_seconds: step,
            sync_seconds: sync,
            sm_activity,
            allocated_bytes: memory.allocated,
            piece_bytes: memory.piece,
            context_bytes: memory.context,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth(seed: u64) -> Truth {
        Truth::built_in(seed).unwrap()
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
                let truth = Truth::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("truth").join(file), seed).unwrap();
                let job = truth.job("transformer", "default/transformer-oom").unwrap();
                let card = usable_bytes("NVIDIA-A100-SXM4-40GB");
                let at = |micro| {
                    let sharded =
                        Run { sharding: "Optimizer".to_owned(), ..run("NVIDIA-A100-SXM4-40GB", &[8], micro, 16) };
                    job.run(&sharded).memory_bytes()
                };
                assert!(at(4) > card, "{file} {seed}: {}", at(4) >> 20);
                assert!(at(2) < card, "{file} {seed}: {}", at(2) >> 20);
            }
        }
    }

    #[test]
    fn memory_ends_where_the_card_does() {
        let truth = truth(0);
        let job = truth.job("transformer", "default/transformer-oom").unwrap();
        let card = usable_bytes("NVIDIA-A100-SXM4-40GB");
        let at = |micro| job.run(&run("NVIDIA-A100-SXM4-40GB", &[8], micro, 16));
        assert_eq!(at(1).runs_out_of(card), None);
        let (needs, said) = (at(4), at(4).runs_out_of(card).unwrap());
        assert!(said > card - needs.context_bytes && said <= needs.allocated_bytes, "{said} of {needs:?}");
    }

    #[test]
    fn an_unknown_profile_is_the_default_one() {
        assert_eq!(truth(0).job("no such", "a/b").unwrap().profile(), "gang");
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
