//! All objects of the cluster at one instant, indexed once per cycle. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use plimsoll_crds::{AcceleratorNode, labels};
use plimsoll_observe::Objects;
use plimsoll_observe::nodes::Offer;
use plimsoll_observe::size::class_spec;
use plimsoll_scheduling::JobKey;
use plimsoll_sizing::ClassSpec;

use crate::sentence::sentence;

/// All objects of the cluster at one instant.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// The objects themselves.
    pub objects: Objects,
    /// Pods that wear a job's label, by that job.
    pub pods: BTreeMap<JobKey, Vec<Arc<Pod>>>,
    /// What the agents say, by node.
    pub agents: BTreeMap<String, Arc<AcceleratorNode>>,
    /// Nodes that exist.
    pub nodes: BTreeSet<String>,
    /// Classes as sizing sees them. Shared, so that two cycles can be compared cheaply.
    pub classes: Arc<Vec<ClassSpec>>,
    /// Extended resources of all classes.
    pub resources: BTreeSet<String>,
}

impl World {
    /// Indexes objects. `before` is the world of the last cycle, whose parts are kept where nothing changed.
    pub fn of(objects: Objects, before: Option<&Self>) -> Self {
        let mut pods: BTreeMap<JobKey, Vec<Arc<Pod>>> = BTreeMap::new();
        for pod in &objects.pods {
            if let Some(name) = pod.labels().get(labels::JOB_NAME) {
                let key = JobKey { namespace: pod.namespace().unwrap_or_default(), name: name.clone() };
                pods.entry(key).or_default().push(pod.clone());
            }
        }
        let offers = plimsoll_observe::nodes::offers(&objects);
        let mut classes: Vec<ClassSpec> = objects
            .classes
            .iter()
            .filter_map(|class| {
                let (gpus_per_node, nodes) = size_of(&class.name_any(), &offers);
                match class_spec(class, gpus_per_node, nodes) {
                    Ok(spec) => Some(spec),
                    Err(error) => {
                        tracing::warn!(class = class.name_any(), error = sentence(&error), "a class cannot be used");
                        None
                    }
                }
            })
            .collect();
        classes.sort_by(|a, b| a.name.cmp(&b.name));
        let classes = match before {
            Some(before) if *before.classes == classes => before.classes.clone(),
            _ => Arc::new(classes),
        };
        Self {
            pods,
            agents: objects.accelerator_nodes.iter().map(|agent| (agent.name_any(), agent.clone())).collect(),
            nodes: objects.nodes.iter().map(|node| node.name_any()).collect(),
            resources: plimsoll_observe::class_resources(&objects.classes),
            classes,
            objects,
        }
    }

    /// The agent's object of a node.
    pub fn agent(&self, node: &str) -> Option<&AcceleratorNode> {
        self.agents.get(node).map(Arc::as_ref)
    }

    /// How the agents' objects and the pods of a job are found by their names.
    pub fn found<'a>(
        &'a self,
        job: &JobKey,
    ) -> (impl Fn(&str) -> Option<&'a AcceleratorNode>, impl Fn(&str) -> Option<&'a Pod>) {
        let pods = self.pods.get(job);
        let pod = move |name: &str| {
            let mut own = pods.into_iter().flatten();
            own.find(|pod| pod.metadata.name.as_deref() == Some(name)).map(Arc::as_ref)
        };
        (|node: &str| self.agent(node), pod)
    }

    /// The extended resource of a class.
    pub fn resource_of(&self, class: &str) -> Option<&str> {
        let named = |c: &&Arc<plimsoll_crds::AcceleratorClass>| c.metadata.name.as_deref() == Some(class);
        self.objects.classes.iter().find(named).map(|c| c.spec.resource_name.as_str())
    }

    /// A class as sizing sees it.
    pub fn class(&self, name: &str) -> Option<&ClassSpec> {
        self.classes.iter().find(|class| class.name.as_str() == name)
    }
}

/// Devices in the fullest node of a class, and its nodes. A node that two classes claim counts for neither.
fn size_of(class: &str, offers: &[Offer]) -> (u32, u32) {
    let own = offers.iter().filter(|offer| matches!(offer.classes.as_slice(), [only] if only == class));
    own.fold((0, 0), |(fullest, nodes), offer| (fullest.max(offer.gpus), nodes + 1))
}
