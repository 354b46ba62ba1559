//! What a program is told by its environment and by the annotations of its pod. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use plimsoll_protocol::env as name;

use crate::truth::Run;

/// Names the profile of the ground truth.
const PROFILE: &str = "fleet.plimsoll.dev/profile";
/// Optimizer steps of the whole training, in place of the profile's.
const STEPS: &str = "fleet.plimsoll.dev/steps";

/// What a program is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Orders {
    /// Profile of the ground truth.
    pub(super) profile: String,
    /// Optimizer steps in all, where a test says so.
    pub(super) steps: Option<u64>,
    /// Which revision it is.
    pub(super) revision: u32,
    /// Pods of the revision.
    pub(super) pods: u32,
    /// The pod's place among them.
    pub(super) rank: u32,
    /// Samples that one rank computes at once.
    pub(super) micro_batch: u32,
    /// Micro-batches per optimizer step.
    pub(super) accumulation: u32,
    /// Samples per optimizer step over all ranks.
    pub(super) global_batch: u32,
    /// Data-parallel ranks.
    pub(super) data: u32,
    /// Tensor-parallel ranks.
    pub(super) tensor: u32,
    /// What the data-parallel ranks share out.
    pub(super) sharding: String,
    /// What is computed again in the backward pass.
    pub(super) recompute: String,
    /// Where it writes checkpoints; empty for nowhere.
    pub(super) checkpoint_dir: String,
    /// Where it resumes from; empty for a fresh start.
    pub(super) resume_dir: String,
    /// Where it reports to; empty for nowhere.
    pub(super) url: String,
    /// File with its token.
    pub(super) token_file: String,
    /// File with the authority that it trusts.
    pub(super) ca_file: String,
}

impl Orders {
    /// Reads them. What is not said is 1, or nothing.
    pub(super) fn read(pod: &Pod, environment: &BTreeMap<String, String>) -> Self {
        let text = |key: &str| environment.get(key).cloned().unwrap_or_default();
        let number = |key: &str, unless: u32| environment.get(key).and_then(|text| text.parse().ok()).unwrap_or(unless);
        let note = |key: &str| pod.metadata.annotations.as_ref().and_then(|all| all.get(key)).cloned();
        let word = |key: &str| Some(text(key)).filter(|word| !word.is_empty()).unwrap_or_else(|| "None".to_owned());
        let label = |key: &str| pod.metadata.labels.as_ref().and_then(|all| all.get(key)?.parse().ok());
        Self {
            profile: note(PROFILE).unwrap_or_default(),
            steps: note(STEPS).or_else(|| environment.get(STEPS).cloned()).and_then(|text| text.parse().ok()),
            revision: number(name::REVISION, label(plimsoll_crds::labels::REVISION).unwrap_or(1)),
            pods: number("PET_NNODES", 1).max(1),
            rank: number("PET_NODE_RANK", label(plimsoll_crds::labels::POD_INDEX).unwrap_or(0)),
            micro_batch: number(name::MICRO_BATCH, 1).max(1),
            accumulation: number(name::GRADIENT_ACCUMULATION_STEPS, 1).max(1),
            global_batch: number(name::GLOBAL_BATCH, 1).max(1),
            data: number(name::DP, 1).max(1),
            tensor: number(name::TP, 1).max(1),
            sharding: word(name::SHARDING),
            recompute: word(name::RECOMPUTE),
            checkpoint_dir: text(name::CHECKPOINT_DIR),
            resume_dir: text(name::RESUME_DIR),
            url: text(name::SERVER_URL),
            token_file: text(name::SERVER_TOKEN),
            ca_file: text(name::SERVER_CA_CERT),
        }
    }

    /// How a job runs that is told so, with its pods on devices of a product.
    pub(super) fn run(&self, product: &str, gpus_per_pod: Vec<u32>) -> Run {
        Run {
            product: product.to_owned(),
            gpus_per_pod: gpus_per_pod.into_iter().map(|gpus| gpus.max(1)).collect(),
            micro_batch: self.micro_batch,
            accumulation: self.accumulation,
            data: self.data,
            tensor: self.tensor,
            sharding: self.sharding.clone(),
            recompute: self.recompute.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn orders_are_read_from_environment_labels_and_annotations() {
        let pod = serde_json::from_value(json!({"metadata": {
            "labels": {"plimsoll.dev/pod-index": "1", "plimsoll.dev/revision": "4"},
            "annotations": {"fleet.plimsoll.dev/profile": "cifar10", "fleet.plimsoll.dev/steps": "12"}}}))
        .unwrap();
        let environment = [("PLIMSOLL_MICRO_BATCH", "32"), ("PET_NNODES", "2"), ("PLIMSOLL_SHARDING", "")];
        let environment = environment.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let orders = Orders::read(&pod, &environment);
        assert_eq!((orders.profile.as_str(), orders.steps), ("cifar10", Some(12)));
        assert_eq!((orders.revision, orders.pods, orders.rank), (4, 2, 1));
        assert_eq!((orders.micro_batch, orders.accumulation, orders.sharding.as_str()), (32, 1, "None"));
    }
}
