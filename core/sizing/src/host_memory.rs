//! Host memory of one pod, part by part: the ledger beside device memory, and apart from it.
//!
//! Nothing here is fitted: apart from DeepSpeed's estimates (docs/code-docs/source/memory.rst) no table of host memory was
//! published. What a kernel ends a pod for is learned where pods run.

use serde::{Deserialize, Serialize};

use crate::method::holding::{Holding, Holdings};
use crate::precision::{row_bytes, state_bytes};
use crate::{JobSpec, Layout, Offload, Profile, Sharding};

/// Bytes of one process of a framework with its libraries, before it holds anything: 2 GiB, as PyTorch with CUDA has
/// resident.
const PROCESS: f64 = 2.0 * crate::memory::GIB;

/// Bytes of one loader process beyond what it shares with its parent: 0.3 GiB.
const LOADER: f64 = 0.3 * crate::memory::GIB;

/// Pinned copies beside what is moved to and from devices (DeepSpeed's `additional_buffer_factor`).
const PINNED: f64 = 1.5;

/// Bytes of a parameter as a program builds it.
const BUILT: f64 = 4.0;

/// What a program does in host memory that neither job nor layout says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostProgram {
    /// Loader processes for each device.
    pub loaders_per_gpu: u32,
    /// Batches that each loader holds ready.
    pub prefetch: u32,
    /// Bytes of one sample as a loader hands it over.
    pub sample_bytes: u64,
    /// Whether every process builds the whole model before it is shared out, rather than unit by unit.
    pub builds_whole: bool,
    /// Whether one process gathers a checkpoint whole, rather than every one writing its share.
    pub gathers_checkpoint: bool,
}

impl Default for HostProgram {
    /// Two loaders with two batches each, building unit by unit, checkpoints in shares.
    fn default() -> Self {
        Self { loaders_per_gpu: 2, prefetch: 2, sample_bytes: 0, builds_whole: false, gathers_checkpoint: false }
    }
}

/// Host memory of one pod, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostMemory {
    /// Training processes, one for each device.
    pub processes: u64,
    /// Loader processes.
    pub loaders: u64,
    /// Batches that loaders hold ready, in `/dev/shm`.
    pub shared: u64,
    /// States that wait here while devices do not need them, or the model while it is built, whichever is more; with
    /// pinned copies.
    pub states: u64,
    /// A checkpoint on its way to storage.
    pub checkpoint: u64,
}

impl HostMemory {
    /// What a pod of so many devices needs.
    pub fn of(job: &JobSpec, layout: &Layout, micro_batch: u32, gpus_per_pod: u32, program: &HostProgram) -> Self {
        let profile = job.model.profile(job.sequence_length);
        let gpus = f64::from(gpus_per_pod.max(1));
        let loaders = f64::from(program.loaders_per_gpu) * gpus;
        let ready = loaders * f64::from(program.prefetch) * f64::from(micro_batch) * program.sample_bytes as f64;
        let demand = job.method.demand(&profile, job.precision);
        let held = Holdings::new(&profile, job, &demand, None, None).whole();
        let states = offloaded(job, &held, layout, gpus).max(built(&profile, gpus, program)) * PINNED;
        Self {
            processes: (PROCESS * gpus) as u64,
            loaders: (LOADER * loaders) as u64,
            shared: ready as u64,
            states: states as u64,
            checkpoint: checkpoint(job, &held, layout, gpus, program) as u64,
        }
    }

    /// All parts together.
    pub fn total(&self) -> u64 {
        let Self { processes, loaders, shared, states, checkpoint } = *self;
        processes.saturating_add(loaders).saturating_add(shared).saturating_add(states).saturating_add(checkpoint)
    }
}

/// Devices of a pod over the ranks that share states out: the part of all states that the pod's devices hold.
fn pods_share(layout: &Layout, gpus: f64) -> f64 {
    (gpus / f64::from(layout.devices().max(1))).min(1.0)
}

/// States in host memory: fp32 weights, gradients and moments (4 + 4 + 8 for Adam), and the working weights where those
/// wait here too. Tables of sparse rows stay on the devices.
fn offloaded(job: &JobSpec, held: &Holding, layout: &Layout, gpus: f64) -> f64 {
    let bytes = state_bytes(job.precision, Sharding::Full);
    let stepped = held.trained * (bytes.master + 4.0) + held.moments;
    let weights = held.trained * job.precision.working_bytes() as f64 + held.frozen + held.residents;
    pods_share(layout, gpus)
        * match layout.offload {
            Offload::None => 0.0,
            Offload::Optimizer => stepped,
            Offload::All => stepped + weights,
        }
}

/// The model while it is built.
fn built(profile: &Profile, gpus: f64, program: &HostProgram) -> f64 {
    let parameters = if program.builds_whole { profile.parameters() } else { profile.largest_unit() };
    BUILT * parameters as f64 * gpus
}

/// Weights, master copy and moments of what is trained: whole in one process, or the pod's share.
fn checkpoint(job: &JobSpec, held: &Holding, layout: &Layout, gpus: f64, program: &HostProgram) -> f64 {
    let bytes = state_bytes(job.precision, Sharding::Full);
    let dense = held.trained * (bytes.weights + bytes.master) + held.moments;
    let all = dense + held.rows * row_bytes(job.precision) + held.row_moments;
    if program.gathers_checkpoint { all } else { all * pods_share(layout, gpus) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Role, Unit};
    use crate::{Accepts, Custom, Declared, Method, Mode, Model, Optimizer, Precision};

    fn job(parameters: u64) -> JobSpec {
        JobSpec {
            model: Model::Custom(Custom { parameters, flops_per_sample: 1.0, activation_bytes_per_sample: 0 }),
            precision: Precision::Fp16Mixed,
            optimizer: Optimizer::AdamW,
            method: Method::Pretrain,
            sequence_length: 1,
            global_batch: 8,
            classes: Vec::new(),
            min_gpus: 8,
            max_gpus: 8,
            requested_gpus: None,
            gpus_per_pod: None,
            mode: Mode::Off,
            elastic: false,
            accepts: Accepts::default(),
            declared: Declared::default(),
        }
    }

    /// DeepSpeed, docs/code-docs/source/memory.rst: a T5 of 2,851 M parameters on one node of 8 devices.
    #[test]
    fn offloaded_states_follow_deepspeeds_estimates() {
        let whole = HostProgram { builds_whole: true, ..HostProgram::default() };
        let in_units = HostProgram::default();
        for (sharding, offload, program, printed) in [
            (Sharding::Gradients, Offload::Optimizer, whole, 127.48),
            (Sharding::Gradients, Offload::None, whole, 127.48),
            (Sharding::Full, Offload::All, in_units, 71.71),
            (Sharding::Full, Offload::All, whole, 127.48),
            (Sharding::Full, Offload::Optimizer, in_units, 63.74),
            (Sharding::Full, Offload::Optimizer, whole, 127.48),
            (Sharding::Full, Offload::None, in_units, 1.47),
            (Sharding::Full, Offload::None, whole, 127.48),
        ] {
            let layout = Layout { sharding, offload, ..Layout::data_parallel(8) };
            let job = job(2_851_000_000);
            let unit = |parameters, repeats| Unit { parameters, repeats, ..Unit::new("unit", Role::Body) };
            // The largest of its units has 32 M parameters.
            let profile = Profile { units: vec![unit(32_000_000, 89), unit(3_000_000, 1)] };
            let built = built(&profile, 8.0, &program);
            let whole = job.model.profile(1);
            let demand = job.method.demand(&whole, job.precision);
            let held = Holdings::new(&whole, &job, &demand, None, None).whole();
            let states = offloaded(&job, &held, &layout, 8.0).max(built) * PINNED / crate::memory::GIB;
            assert!((states / printed - 1.0_f64).abs() < 0.03, "{states} against {printed}");
        }
    }

    #[test]
    fn a_pod_with_more_devices_needs_more() {
        let program = HostProgram { sample_bytes: 600_000, ..HostProgram::default() };
        let layout = Layout { sharding: Sharding::Full, offload: Offload::All, ..Layout::data_parallel(64) };
        let totals = [1, 2, 4, 8].map(|gpus| HostMemory::of(&job(1_000_000_000), &layout, 4, gpus, &program).total());
        assert!(totals.windows(2).all(|pair| pair[0] < pair[1]), "{totals:?}");
    }

    #[test]
    fn a_gathered_checkpoint_is_whole() {
        let gathered = HostProgram { gathers_checkpoint: true, ..HostProgram::default() };
        let layout = Layout { sharding: Sharding::Full, ..Layout::data_parallel(64) };
        let memory = HostMemory::of(&job(1_000_000_000), &layout, 1, 8, &gathered);
        assert_eq!(memory.checkpoint, 14_000_000_000);
        let shared = HostMemory::of(&job(1_000_000_000), &layout, 1, 8, &HostProgram::default());
        assert_eq!(shared.checkpoint, 14_000_000_000 / 8);
    }
}
