//! Step 1: what stands around a job: its pods, and the nodes that exist. Reads the stores' contents, no client.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use plimsoll_crds::TrainingJob;
use plimsoll_scheduling::JobKey;

use crate::world::World;

/// A job and what stands around it.
#[derive(Clone, Debug)]
pub struct Dereferenced<'a> {
    /// The job.
    pub job: Arc<TrainingJob>,
    /// Which job it is.
    pub key: JobKey,
    /// Its UID.
    pub uid: String,
    /// Pods that wear its label and are owned by it.
    pub pods: Vec<Arc<Pod>>,
    /// Nodes that exist.
    pub nodes: &'a BTreeSet<String>,
}

/// Which job an object is.
pub fn key(job: &TrainingJob) -> JobKey {
    JobKey { namespace: job.namespace().unwrap_or_default(), name: job.name_any() }
}

/// Finds what stands around a job. A pod of a job of the same name that was deleted is none of its own.
pub fn dereference<'a>(world: &'a World, job: &Arc<TrainingJob>) -> Dereferenced<'a> {
    let (key, uid) = (key(job), job.uid().unwrap_or_default());
    let owned = |pod: &&Arc<Pod>| pod.owner_references().iter().any(|owner| owner.uid == uid);
    let pods = world.pods.get(&key).into_iter().flatten().filter(owned).cloned().collect();
    Dereferenced { job: job.clone(), key, uid, pods, nodes: &world.nodes }
}
