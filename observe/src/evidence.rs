//! What was learned of a job, between its status and sizing.
//!
//! The status holds whole numbers with their unit in the name; sizing computes with shares and seconds. An observation
//! with a count that is not positive, which Plimsoll never writes, is left out.

use plimsoll_crds::training_job as api;
use plimsoll_sizing::{Batch, Layout, Recompute, Shape, Sharding, learned};

use crate::allocation::{count, degrees, further, positive, recompute, shape, sharding};

/// From a job's status to sizing.
pub fn to_sizing(evidence: &api::Evidence) -> learned::Evidence {
    learned::Evidence {
        memory: evidence.memory.iter().filter_map(memory_to_sizing).collect(),
        steps: evidence.steps.iter().filter_map(step_to_sizing).collect(),
    }
}

/// From sizing to a job's status.
pub fn to_status(evidence: &learned::Evidence) -> api::Evidence {
    api::Evidence {
        memory: evidence.memory.iter().map(memory_to_status).collect(),
        steps: evidence.steps.iter().map(step_to_status).collect(),
    }
}

fn memory_to_sizing(seen: &api::MemoryEvidence) -> Option<learned::MemoryEvidence> {
    let shape = shape(&seen.class, seen.pods, seen.gpus_per_pod)?;
    Some(learned::MemoryEvidence {
        class: shape.class.clone(),
        layout: layout(&shape, seen.tensor, &seen.degrees, seen.sharding, seen.recompute)?,
        micro_batch: positive(seen.micro_batch)?,
        kind: match seen.kind {
            api::MemoryEvidenceKind::RanOut => {
                learned::MemoryKind::RanOut { bytes: seen.bytes.and_then(|bytes| u64::try_from(bytes).ok()) }
            }
            api::MemoryEvidenceKind::Peak => learned::MemoryKind::Peak { bytes: u64::try_from(seen.bytes?).ok()? },
        },
        shape,
    })
}

fn memory_to_status(seen: &learned::MemoryEvidence) -> api::MemoryEvidence {
    let (kind, bytes) = match seen.kind {
        learned::MemoryKind::RanOut { bytes } => (api::MemoryEvidenceKind::RanOut, bytes),
        learned::MemoryKind::Peak { bytes } => (api::MemoryEvidenceKind::Peak, Some(bytes)),
    };
    api::MemoryEvidence {
        class: seen.class.to_string(),
        pods: count(seen.shape.pods),
        gpus_per_pod: count(seen.shape.gpus_per_pod),
        tensor: count(seen.layout.tensor),
        degrees: degrees(&seen.layout),
        sharding: api_sharding(seen.layout.sharding),
        recompute: api_recompute(seen.layout.recompute),
        micro_batch: count(seen.micro_batch),
        kind,
        bytes: bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
    }
}

fn step_to_sizing(seen: &api::StepEvidence) -> Option<learned::StepEvidence> {
    let shape = shape(&seen.class, seen.pods, seen.gpus_per_pod)?;
    let layout = layout(&shape, seen.tensor, &seen.degrees, seen.sharding, seen.recompute)?;
    let (micro, accumulation) = (positive(seen.micro_batch)?, positive(seen.accumulation)?);
    if seen.step_microseconds <= 0 {
        return None;
    }
    Some(learned::StepEvidence {
        class: shape.class.clone(),
        batch: Batch { micro, accumulation, global: micro.checked_mul(accumulation)?.checked_mul(layout.data)? },
        shape,
        layout,
        step_seconds: seen.step_microseconds as f64 / 1e6,
        sm_activity: f64::from(seen.sm_activity_permille.max(0)) / 1000.0,
    })
}

fn step_to_status(seen: &learned::StepEvidence) -> api::StepEvidence {
    api::StepEvidence {
        class: seen.class.to_string(),
        pods: count(seen.shape.pods),
        gpus_per_pod: count(seen.shape.gpus_per_pod),
        tensor: count(seen.layout.tensor),
        degrees: degrees(&seen.layout),
        sharding: api_sharding(seen.layout.sharding),
        recompute: api_recompute(seen.layout.recompute),
        micro_batch: count(seen.batch.micro),
        accumulation: count(seen.batch.accumulation),
        // Below a microsecond there is no step; 0 would be read as no observation.
        step_microseconds: ((seen.step_seconds * 1e6).round() as i64).max(1),
        sm_activity_permille: (seen.sm_activity * 1000.0).round() as i32,
    }
}

/// What the other degrees leave of the devices is data-parallel.
fn layout(
    shape: &Shape,
    tensor: i32,
    rest: &api::Degrees,
    split: api::Sharding,
    again: api::Recompute,
) -> Option<Layout> {
    let tensor = positive(tensor)?;
    let further = further(rest, 1)?;
    let each = tensor.checked_mul(further.pipeline)?.checked_mul(further.context)?;
    let gpus = shape.pods.checked_mul(shape.gpus_per_pod).filter(|gpus| gpus.is_multiple_of(each))?;
    Some(Layout { data: gpus / each, tensor, sharding: sharding(split), recompute: recompute(again), ..further })
}

/// How sharding is written in the API.
pub fn api_sharding(sharding: Sharding) -> api::Sharding {
    match sharding {
        Sharding::None => api::Sharding::None,
        Sharding::Optimizer => api::Sharding::Optimizer,
        Sharding::Gradients => api::Sharding::Gradients,
        Sharding::Full => api::Sharding::Full,
    }
}

/// How recomputation is written in the API.
pub fn api_recompute(recompute: Recompute) -> api::Recompute {
    match recompute {
        Recompute::None => api::Recompute::None,
        Recompute::Selective => api::Recompute::Selective,
        Recompute::Full => api::Recompute::Full,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_yaml(yaml: &str) -> api::Evidence {
        serde_yaml::from_str(yaml).expect(yaml)
    }

    #[test]
    fn evidence_survives_the_way_there_and_back() {
        let evidence = from_yaml(
            "
            memory:
            - {class: l4, pods: 2, gpusPerPod: 4, tensor: 2, sharding: Full, recompute: Selective, microBatch: 8, kind: RanOut}
            - {class: l4, pods: 2, gpusPerPod: 4, tensor: 2, sharding: Full, recompute: Selective, microBatch: 4, kind: RanOut, bytes: 25000000000}
            - {class: l4, pods: 1, gpusPerPod: 4, tensor: 1, sharding: None, recompute: Full, microBatch: 4, kind: Peak, bytes: 19000000000}
            - {class: l4, pods: 4, gpusPerPod: 8, tensor: 2, pipelineParallel: 4, virtualStages: 2, expertParallel: 4, sharding: Full, recompute: Full, microBatch: 4, kind: Peak, bytes: 19000000000}
            steps:
            - {class: l4, pods: 2, gpusPerPod: 4, tensor: 2, sharding: Optimizer, recompute: None, microBatch: 4, accumulation: 3, stepMicroseconds: 812345, smActivityPermille: 734}",
        );
        let sizing = to_sizing(&evidence);
        assert_eq!(sizing.memory[0].layout.data, 4);
        assert_eq!((sizing.memory[3].layout.data, sizing.memory[3].layout.virtual_stages()), (4, 2));
        assert_eq!(sizing.memory[1].kind, learned::MemoryKind::RanOut { bytes: Some(25_000_000_000) });
        assert_eq!(sizing.steps[0].batch, Batch { micro: 4, accumulation: 3, global: 48 });
        assert_eq!(to_status(&sizing), evidence);
    }

    #[test]
    fn an_observation_that_makes_no_sense_is_left_out() {
        let evidence = from_yaml(
            "
            memory:
            - {class: l4, pods: 1, gpusPerPod: 4, tensor: 1, sharding: None, recompute: Full, microBatch: 4, kind: Peak}
            - {class: l4, pods: 1, gpusPerPod: 3, tensor: 2, sharding: None, recompute: Full, microBatch: 4, kind: RanOut}
            steps:
            - {class: l4, pods: 0, gpusPerPod: 4, tensor: 1, sharding: None, recompute: None, microBatch: 4, accumulation: 1, stepMicroseconds: 1, smActivityPermille: 1}",
        );
        assert_eq!(to_sizing(&evidence), learned::Evidence::default());
    }
}
