//! The environment of the trainer and of init containers. Pure.
//!
//! Ours come before the user's, so that `$(PLIMSOLL_MICRO_BATCH)` expands in the user's variables and in args; a variable
//! of the user with one of our names is left out, because two of a name would leave the choice to Kubernetes.

use plimsoll_crds::training_job::{Allocation, Sharding};
use plimsoll_protocol::env as name;
use serde_json::{Map, Value, json};

use super::patch::list;
use super::volumes::{CA_FILE, TOKEN_FILE};
use super::{BuildError, Plan, checkpoint_dir};

/// Port of the rendezvous.
pub const MASTER_PORT: u16 = 29500;

/// Our variables for the pod at `index`, in order. All of them are always there: Kubernetes leaves `$(NAME)` as it is
/// where no such variable exists, and a program would read those letters.
pub fn variables(plan: &Plan<'_>, index: usize) -> Vec<(&'static str, String)> {
    let allocation = plan.allocation;
    let degrees = &allocation.degrees;
    let or_one = |degree: Option<i32>| degree.unwrap_or(1).to_string();
    let url = report_url(&plan.config.progress.url, plan.namespace, plan.name);
    let master = master(plan);
    vec![
        (name::REVISION, allocation.revision.to_string()),
        (name::MICRO_BATCH, allocation.micro_batch.to_string()),
        (name::GRADIENT_ACCUMULATION_STEPS, allocation.gradient_accumulation.to_string()),
        (name::GLOBAL_BATCH, allocation.global_batch.to_string()),
        (name::DP, allocation.data_parallel.to_string()),
        (name::TP, allocation.tensor_parallel.to_string()),
        (name::PP, or_one(degrees.pipeline_parallel)),
        (name::CP, or_one(degrees.context_parallel)),
        (name::EP, or_one(degrees.expert_parallel)),
        (name::SHARDING, format!("{:?}", allocation.sharding)),
        (name::SHARD_GROUP, shard_group(allocation)),
        (name::RECOMPUTE, format!("{:?}", allocation.recompute)),
        (name::OFFLOAD, format!("{:?}", degrees.offload.unwrap_or_default())),
        (name::SEQUENCE_PARALLEL, degrees.sequence_parallel.unwrap_or_default().to_string()),
        (name::PIPELINE_SCHEDULE, format!("{:?}", degrees.schedule.unwrap_or_default())),
        (name::VIRTUAL_STAGES, or_one(degrees.virtual_stages)),
        (name::CHECKPOINT_DIR, checkpoint_dir(plan.job, plan.name, allocation.revision)),
        (name::RESUME_DIR, plan.resume_dir.clone()),
        (name::URL, url.clone()),
        (name::SERVER_URL, url),
        (name::SERVER_TOKEN, TOKEN_FILE.into()),
        (name::SERVER_CA_CERT, CA_FILE.into()),
        ("PET_NNODES", allocation.pods.to_string()),
        ("PET_NPROC_PER_NODE", allocation.gpus_per_pod.to_string()),
        ("PET_NODE_RANK", index.to_string()),
        ("PET_MASTER_ADDR", master.clone()),
        ("PET_MASTER_PORT", MASTER_PORT.to_string()),
        ("MASTER_ADDR", master.clone()),
        ("MASTER_PORT", MASTER_PORT.to_string()),
        ("JAX_COORDINATOR_ADDRESS", format!("{master}:{MASTER_PORT}")),
        ("JAX_NUM_PROCESSES", allocation.pods.to_string()),
        ("JAX_PROCESS_ID", index.to_string()),
    ]
}

/// Data-parallel ranks that share states out among themselves.
fn shard_group(allocation: &Allocation) -> String {
    match allocation.sharding {
        Sharding::None => 1,
        Sharding::Optimizer | Sharding::Gradients | Sharding::Full => {
            allocation.degrees.shard_group.unwrap_or(allocation.data_parallel)
        }
    }
    .to_string()
}

/// Where the program of a job reports to.
pub fn report_url(base: &str, namespace: &str, job: &str) -> String {
    format!("{}/v1alpha1/namespaces/{namespace}/trainingjobs/{job}/status", base.trim_end_matches('/'))
}

/// A revision of one pod needs no name that others can resolve, and no Service that makes one.
fn master(plan: &Plan<'_>) -> String {
    if plan.allocation.pods <= 1 {
        return "localhost".into();
    }
    format!("{}.{}.{}.svc", plan.pod_name(0), plan.revision_name(), plan.namespace)
}

/// Puts our variables before those of a container.
pub(super) fn put(container: &mut Map<String, Value>, ours: &[(&'static str, String)]) -> Result<(), BuildError> {
    let user = std::mem::take(list(container, "env", "env of a container")?);
    let is_ours = |variable: &Value| {
        variable.get("name").and_then(Value::as_str).is_some_and(|name| ours.iter().any(|(own, _)| *own == name))
    };
    let kept = user.into_iter().filter(|variable| !is_ours(variable));
    let all = ours.iter().map(|(name, value)| json!({"name": name, "value": value})).chain(kept);
    *list(container, "env", "env of a container")? = all.collect();
    Ok(())
}
