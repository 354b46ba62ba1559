//! What the trainer container requests. Pure. The sums are those that the planner made: see `plimsoll_observe::needs`.

use plimsoll_observe::host_memory;
use plimsoll_observe::needs::{SHM_BYTES_PER_GPU, requests_shm};
use plimsoll_observe::quantity::Amount;
use serde_json::{Map, Value, json};

use super::patch::object;
use super::{BuildError, Plan};
use crate::job::memory::natural;

/// Adds the accelerators, what each of them brings, and shared memory to what the container asks for itself.
pub(super) fn put(container: &mut Map<String, Value>, plan: &Plan<'_>) -> Result<(), BuildError> {
    let gpus = u64::from(natural(plan.allocation.gpus_per_pod));
    let per_gpu = host_memory::per_gpu(&plan.job.spec, plan.job.status.as_ref())?;
    let per_gpu = per_gpu.as_ref();
    let shm = if requests_shm(&plan.validated.template, per_gpu) { SHM_BYTES_PER_GPU * gpus } else { 0 };
    let resources = object(container, "resources", "resources of a container")?;
    let mut extra: Vec<(&str, Amount)> = Vec::new();
    for (name, amount) in per_gpu.map(|amounts| amounts.amounts()).unwrap_or_default() {
        extra.push((name, times(Amount::try_from(amount)?, gpus, name)?));
    }
    if shm > 0 {
        extra.push(("memory", Amount::units(shm)));
    }
    let limits = object(resources, "limits", "limits of a container")?;
    // A limit grows with what is added below it; none is invented, except for accelerators, which need one.
    for (name, amount) in &extra {
        if limits.contains_key(*name) {
            add(limits, name, *amount)?;
        }
    }
    limits.insert(plan.resource.into(), json!(gpus.to_string()));
    let implied = limits.clone();
    let requests = object(resources, "requests", "requests of a container")?;
    for (name, amount) in &extra {
        // A limit without a request is a request: it has grown already.
        if requests.contains_key(*name) || !implied.contains_key(*name) {
            add(requests, name, *amount)?;
        }
    }
    requests.insert(plan.resource.into(), json!(gpus.to_string()));
    Ok(())
}

fn add(list: &mut Map<String, Value>, name: &str, more: Amount) -> Result<(), BuildError> {
    let before = match list.get(name) {
        None | Some(Value::Null) => Amount::default(),
        Some(Value::String(text)) => Amount::parse(text)?,
        Some(number) => Amount::parse(&number.to_string())?,
    };
    list.insert(name.into(), json!(text(before + more, name)));
    Ok(())
}

/// Thousandths of a CPU are the finest that Kubernetes keeps; of everything else, whole units.
fn times(amount: Amount, count: u64, name: &str) -> Result<Amount, BuildError> {
    if name == "cpu" {
        return Ok(Amount::parse(&format!("{}m", amount.milli().saturating_mul(count)))?);
    }
    Ok(Amount::units(amount.ceil().saturating_mul(count)))
}

fn text(amount: Amount, name: &str) -> String {
    let milli = amount.milli();
    if name == "cpu" && !milli.is_multiple_of(1000) { format!("{milli}m") } else { amount.ceil().to_string() }
}
