//! Pods by where they are and whose they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use plimsoll_scheduling::JobKey;

use crate::nodes::{bound_to, job_of};

/// Namespace and name.
type Name = (String, String);

/// Pods by where they are and whose they are.
#[derive(Debug, Default)]
pub(super) struct Pods {
    on_nodes: BTreeMap<String, BTreeMap<Name, Arc<Pod>>>,
    of_jobs: BTreeMap<JobKey, BTreeMap<String, Arc<Pod>>>,
    /// Pods of jobs that are being deleted, by namespace.
    leaving: BTreeMap<String, usize>,
}

impl Pods {
    /// Takes a pod in.
    pub(super) fn put(&mut self, pod: &Arc<Pod>) {
        if let Some(node) = bound_to(pod) {
            self.on_nodes.entry(node.to_owned()).or_default().insert(name(pod), pod.clone());
        }
        if let Some(job) = job_of(pod) {
            if pod.metadata.deletion_timestamp.is_some() {
                *self.leaving.entry(job.namespace.clone()).or_default() += 1;
            }
            self.of_jobs.entry(job).or_default().insert(name(pod).1, pod.clone());
        }
    }

    /// Forgets a pod.
    pub(super) fn remove(&mut self, pod: &Pod) {
        let name = name(pod);
        if let Some(node) = bound_to(pod)
            && let Some(pods) = self.on_nodes.get_mut(node)
        {
            pods.remove(&name);
            if pods.is_empty() {
                self.on_nodes.remove(node);
            }
        }
        let Some(job) = job_of(pod) else { return };
        if pod.metadata.deletion_timestamp.is_some()
            && let Some(count) = self.leaving.get_mut(&job.namespace)
        {
            *count -= 1;
            if *count == 0 {
                self.leaving.remove(&job.namespace);
            }
        }
        if let Some(pods) = self.of_jobs.get_mut(&job) {
            pods.remove(&name.1);
            if pods.is_empty() {
                self.of_jobs.remove(&job);
            }
        }
    }

    /// Those that hold something of a node.
    pub(super) fn on_node(&self, node: &str) -> impl Iterator<Item = &Arc<Pod>> {
        self.on_nodes.get(node).into_iter().flat_map(BTreeMap::values)
    }

    /// Nodes of which the pods of a job hold something.
    pub(super) fn nodes_of<'a>(&'a self, job: &JobKey) -> impl Iterator<Item = &'a str> {
        self.of_jobs.get(job).into_iter().flat_map(BTreeMap::values).filter_map(|pod| bound_to(pod))
    }

    /// The pods of all jobs of a namespace.
    pub(super) fn of_namespace<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Arc<Pod>> {
        let first = JobKey { namespace: namespace.to_owned(), name: String::new() };
        let all = self.of_jobs.range(first..).take_while(move |(key, _)| key.namespace == namespace);
        all.flat_map(|(_, pods)| pods.values())
    }

    /// Namespaces in which pods of jobs are being deleted: what they count of quotas changes with time alone.
    pub(super) fn leaving(&self) -> BTreeSet<String> {
        self.leaving.keys().cloned().collect()
    }
}

fn name(pod: &Pod) -> Name {
    (pod.metadata.namespace.clone().unwrap_or_default(), pod.metadata.name.clone().unwrap_or_default())
}
