//! The ledger of host memory: what each accelerator brings, as its user declared it and as the kernel taught. It never
//! hears of device memory, nor does the ledger of that hear of this one.

use plimsoll_crds::training_job::{HostMemory, ResourcesPerGpu, TrainingJobSpec, TrainingJobStatus};

use crate::needs::{SHM_BYTES_PER_GPU, requests_shm};
use crate::quantity::Amount;
use crate::{TemplateError, TemplateView};

/// Least growth of a pod's memory, in bytes.
const LEAST_GROWTH_BYTES: u64 = 256 << 20;

/// What each accelerator brings: what was declared, and the memory that was learned on top.
///
/// # Errors
/// When the declared memory is no quantity.
pub fn per_gpu(
    spec: &TrainingJobSpec,
    status: Option<&TrainingJobStatus>,
) -> Result<Option<ResourcesPerGpu>, TemplateError> {
    let declared = spec.accelerators.resources_per_gpu.clone();
    let learned = status.and_then(|status| status.host_memory.as_ref()).map_or(0, extra_bytes);
    if learned == 0 {
        return Ok(declared);
    }
    let mut amounts = declared.unwrap_or_default();
    let before = amounts.memory.as_ref().map_or(Ok(0), bytes)?;
    amounts.memory =
        Some(k8s_openapi::apimachinery::pkg::api::resource::Quantity(before.saturating_add(learned).to_string()));
    Ok(Some(amounts))
}

/// What is known once the kernel has ended a pod's trainer for its host memory: the next pods get half again as much, and
/// 256 MiB more at least. (Kubernetes' vertical pod autoscaler takes a fifth and 100 MiB; a training that starts again costs
/// more than a server.)
///
/// # Errors
/// When an amount of the job is no quantity.
pub fn ran_out(
    spec: &TrainingJobSpec,
    view: &TemplateView,
    status: &TrainingJobStatus,
    gpus_per_pod: u32,
) -> Result<HostMemory, TemplateError> {
    let gpus = u64::from(gpus_per_pod.max(1));
    let per_gpu = per_gpu(spec, Some(status))?;
    let each = per_gpu.as_ref().and_then(|amounts| amounts.memory.as_ref()).map_or(Ok(0), bytes)?;
    let shm = if requests_shm(view, per_gpu.as_ref()) { SHM_BYTES_PER_GPU } else { 0 };
    let limit = view.trainer().resources.as_ref().and_then(|r| r.limits.as_ref()?.get("memory"));
    let own = match limit {
        Some(limit) => bytes(limit)?,
        // A node without room ends what has no limit; the request is what can grow.
        None => view.trainer_requests.get("memory").ceil(),
    };
    let before = own.saturating_add(each.saturating_add(shm).saturating_mul(gpus));
    let growth = (before / 2).max(LEAST_GROWTH_BYTES).div_ceil(gpus);
    let extra = status.host_memory.as_ref().map_or(0, extra_bytes).saturating_add(growth);
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    Ok(HostMemory {
        killed_at_bytes: signed(before),
        given_bytes: signed(before.saturating_add(growth.saturating_mul(gpus))),
        gpus_per_pod: i32::try_from(gpus_per_pod).unwrap_or(i32::MAX),
        extra_bytes_per_gpu: signed(extra),
    })
}

fn extra_bytes(learned: &HostMemory) -> u64 {
    u64::try_from(learned.extra_bytes_per_gpu).unwrap_or(0)
}

fn bytes(quantity: &k8s_openapi::apimachinery::pkg::api::resource::Quantity) -> Result<u64, TemplateError> {
    let place =
        |because| TemplateError::Quantity { place: "memory of spec.accelerators or spec.template".into(), because };
    Ok(Amount::try_from(quantity).map_err(place)?.ceil())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    fn spec(per_gpu: serde_json::Value, resources: serde_json::Value) -> TrainingJobSpec {
        let job = json!({
            "model": {"custom": {"parameters": 1, "forwardFlopsPerSample": 1, "activationBytesPerSample": 1}},
            "data": {"samples": 1}, "batch": {"global": {"preferred": 8}},
            "accelerators": {"classes": ["l4"], "resourcesPerGPU": per_gpu},
            "template": {"spec": {"containers": [{"name": "trainer", "image": "i", "resources": resources,
                "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}]}]}},
        });
        serde_json::from_value(job).unwrap()
    }

    fn after(spec: &TrainingJobSpec, status: &TrainingJobStatus, gpus: u32) -> HostMemory {
        let view = TemplateView::parse(spec, &BTreeSet::new()).unwrap();
        ran_out(spec, &view, status, gpus).unwrap()
    }

    fn memory(spec: &TrainingJobSpec, status: &TrainingJobStatus) -> String {
        per_gpu(spec, Some(status)).unwrap().unwrap().memory.unwrap().0
    }

    #[test]
    fn a_pod_that_was_killed_gets_half_again_as_much_and_again_if_it_has_to() {
        let spec = spec(json!({"memory": "1Gi"}), json!({"limits": {"memory": "2Gi"}}));
        let mut status = TrainingJobStatus::default();
        assert_eq!(memory(&spec, &status), "1Gi", "what was declared, as it was declared");
        let first = after(&spec, &status, 2);
        assert_eq!((first.killed_at_bytes, first.given_bytes), (4 << 30, 6 << 30));
        status.host_memory = Some(first);
        assert_eq!(memory(&spec, &status), (2_u64 << 30).to_string());
        let second = after(&spec, &status, 2);
        assert_eq!((second.killed_at_bytes, second.given_bytes), (6 << 30, 9 << 30));
    }

    #[test]
    fn little_memory_grows_by_enough_to_matter_and_no_memory_at_all_grows_too() {
        let small = spec(json!(null), json!({"limits": {"memory": "100Mi"}}));
        let status = TrainingJobStatus::default();
        assert_eq!(after(&small, &status, 1).given_bytes, 356 << 20);
        let none = spec(json!({"cpu": "1"}), json!({}));
        let learned = after(&none, &status, 4);
        assert_eq!((learned.killed_at_bytes, learned.extra_bytes_per_gpu), (0, 64 << 20));
        let status = TrainingJobStatus { host_memory: Some(learned), ..status };
        assert_eq!(memory(&none, &status), (64_u64 << 20).to_string());
        assert_eq!(per_gpu(&none, Some(&status)).unwrap().unwrap().cpu.unwrap().0, "1");
    }
}
