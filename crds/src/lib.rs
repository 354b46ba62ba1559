//! The API of Plimsoll, group `plimsoll.dev`, version `v1alpha1`.
//!
//! Types only: no client, no behaviour beyond constructors of conditions. A field is here when this version honours it.
//! Numbers are quantities or integers with their unit in the name; there is no floating point.

pub mod accelerator_class;
pub mod accelerator_node;
pub mod condition;
pub mod labels;
mod schema;
pub mod training_job;
pub mod training_queue;

pub use accelerator_class::{AcceleratorClass, AcceleratorClassSpec, AcceleratorClassStatus};
pub use accelerator_node::{AcceleratorNode, AcceleratorNodeStatus};
pub use training_job::{TrainingJob, TrainingJobSpec, TrainingJobStatus};
pub use training_queue::{TrainingQueue, TrainingQueueSpec, TrainingQueueStatus};

/// The API group.
pub const GROUP: &str = "plimsoll.dev";

/// The definitions of all kinds, in the order in which they are installed.
pub fn all() -> Vec<k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition> {
    use kube::CustomResourceExt as _;
    [TrainingJob::crd(), TrainingQueue::crd(), AcceleratorClass::crd(), AcceleratorNode::crd()]
        .map(schema::finished)
        .into()
}
