//! One watched store per kind. Client required. Decisions are taken from the stores; nothing is read in a loop.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod, ResourceQuota, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, Resource};
use plimsoll_crds::{AcceleratorClass, AcceleratorNode, TrainingJob, TrainingQueue, labels};
use plimsoll_observe::Objects;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use crate::args::Args;
use crate::thin;

/// A store's watch ended before it was complete.
#[derive(Debug, thiserror::Error)]
#[error("failed to watch {kind}")]
pub struct StoreError {
    kind: String,
}

/// What the operator watches.
#[derive(Clone)]
pub struct Stores {
    /// Jobs; one that cannot be read stands apart and stalls nobody.
    pub jobs: Store<DeserializeGuard<TrainingJob>>,
    queues: Store<TrainingQueue>,
    classes: Store<AcceleratorClass>,
    accelerator_nodes: Store<AcceleratorNode>,
    nodes: Store<Node>,
    /// Pods of all namespaces, reduced to what matters here.
    pub pods: Store<Pod>,
    namespaces: Store<Namespace>,
    priority_classes: Store<PriorityClass>,
    resource_quotas: Store<ResourceQuota>,
    /// Services of revisions.
    pub services: Store<Service>,
    /// Budgets of jobs.
    pub budgets: Store<PodDisruptionBudget>,
    slices: Option<Store<EndpointSlice>>,
    settings: Option<Store<ConfigMap>>,
}

impl Stores {
    /// Starts all watches. `wake` is told of every change that can change a decision.
    pub fn start(client: &Client, args: &Args, wake: &Arc<Notify>) -> Self {
        let named = |name: &str| watcher::Config::default().fields(&format!("metadata.name={name}"));
        let all = || watcher::Config::default();
        let of_jobs = || watcher::Config::default().labels(labels::JOB_NAME);
        Self {
            jobs: watch(Api::all(client.clone()), all(), wake, thin::metadata, always),
            queues: watch(Api::all(client.clone()), all(), wake, thin::metadata, always),
            classes: watch(Api::all(client.clone()), all(), wake, thin::metadata, always),
            // Agents speak all the time; what they say is heard at the next tick.
            accelerator_nodes: watch(Api::all(client.clone()), all(), wake, thin::metadata, never),
            nodes: watch(Api::all(client.clone()), all(), wake, thin::node, always),
            pods: watch(Api::all(client.clone()), all(), wake, thin::pod, matters),
            namespaces: watch(Api::all(client.clone()), all(), wake, thin::metadata, always),
            priority_classes: watch(Api::all(client.clone()), all(), wake, thin::metadata, always),
            resource_quotas: watch(Api::all(client.clone()), all(), wake, thin::metadata, always),
            // Nobody decides by them; what is to be done about them waits for the next tick.
            services: watch(Api::all(client.clone()), of_jobs(), wake, thin::metadata, never),
            budgets: watch(Api::all(client.clone()), of_jobs(), wake, thin::metadata, never),
            slices: args.progress_service.as_ref().map(|name| {
                watch(Api::namespaced(client.clone(), &args.namespace), named(name), wake, thin::metadata, always)
            }),
            settings: args.config_map.as_ref().map(|(namespace, name)| {
                watch(Api::namespaced(client.clone(), namespace), named(name), wake, thin::metadata, always)
            }),
        }
    }

    /// Waits until every watch has shown all that there is.
    ///
    /// # Errors
    /// When a watch ended before that.
    pub async fn ready(&self) -> Result<(), StoreError> {
        // Destructured whole: a store that is added later must be waited for.
        let Self {
            jobs,
            queues,
            classes,
            accelerator_nodes,
            nodes,
            pods,
            namespaces,
            priority_classes,
            resource_quotas,
            services,
            budgets,
            slices,
            settings,
        } = self;
        complete(jobs).await?;
        complete(queues).await?;
        complete(classes).await?;
        complete(accelerator_nodes).await?;
        complete(nodes).await?;
        complete(pods).await?;
        complete(namespaces).await?;
        complete(priority_classes).await?;
        complete(resource_quotas).await?;
        complete(services).await?;
        complete(budgets).await?;
        if let Some(slices) = slices {
            complete(slices).await?;
        }
        if let Some(settings) = settings {
            complete(settings).await?;
        }
        Ok(())
    }

    /// All objects of this instant, besides jobs. Their pods are under `pod_priority_class`.
    pub fn objects(&self, pod_priority_class: &str) -> Objects {
        Objects {
            nodes: self.nodes.state(),
            pods: self.pods.state(),
            classes: self.classes.state(),
            accelerator_nodes: self.accelerator_nodes.state(),
            queues: self.queues.state(),
            namespaces: self.namespaces.state(),
            priority_classes: self.priority_classes.state(),
            resource_quotas: self.resource_quotas.state(),
            pod_priority_class: pod_priority_class.to_owned(),
        }
    }

    /// What leads the progress Service somewhere.
    pub fn slices(&self) -> Vec<Arc<EndpointSlice>> {
        self.slices.as_ref().map(Store::state).unwrap_or_default()
    }

    /// The ConfigMap with the settings, if one is watched and there.
    pub fn settings(&self) -> Option<Arc<ConfigMap>> {
        self.settings.as_ref().and_then(|store| store.state().into_iter().next())
    }
}

#[cfg(test)]
impl Stores {
    /// Stores of objects that do not change, besides the ConfigMap, which is watched.
    pub fn of(client: &Client, objects: Objects, job: &TrainingJob, wake: &Arc<Notify>) -> Self {
        let one = watcher::Config::default().fields("metadata.name=plimsoll-config");
        let maps = Api::namespaced(client.clone(), "plimsoll-system");
        Self {
            jobs: filled(vec![Arc::new(DeserializeGuard(Ok(job.clone())))]),
            queues: filled(objects.queues),
            classes: filled(objects.classes),
            accelerator_nodes: filled(objects.accelerator_nodes),
            nodes: filled(objects.nodes),
            pods: filled(objects.pods),
            namespaces: filled(objects.namespaces),
            priority_classes: filled(objects.priority_classes),
            resource_quotas: filled(objects.resource_quotas),
            services: filled(vec![]),
            budgets: filled(vec![]),
            slices: None,
            settings: Some(watch(maps, one, wake, thin::metadata, always)),
        }
    }
}

#[cfg(test)]
fn filled<K>(objects: Vec<Arc<K>>) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let (store, mut writer) = reflector::store();
    for object in objects {
        writer.apply_watcher_event(&watcher::Event::Apply(K::clone(&object)));
    }
    store
}

async fn complete<K>(store: &Store<K>) -> Result<(), StoreError>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    store.wait_until_ready().await.map_err(|_| StoreError { kind: K::plural(&()).into_owned() })
}

/// Watches one kind for ever. A watch that fails is begun anew, ever more patiently.
fn watch<K>(
    api: Api<K>,
    config: watcher::Config,
    wake: &Arc<Notify>,
    thin: fn(&mut K),
    wakes: fn(&K) -> bool,
) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Hash + Eq + Clone + Default,
{
    let (store, writer) = reflector::store();
    let (wake, kind) = (wake.clone(), K::plural(&()).into_owned());
    tokio::spawn(async move {
        let stream = watcher(api, config).modify(thin).default_backoff().reflect(writer);
        let mut stream = std::pin::pin!(stream);
        while let Some(event) = stream.next().await {
            match event {
                Ok(watcher::Event::Apply(object) | watcher::Event::Delete(object)) if wakes(&object) => {
                    wake.notify_one()
                }
                Ok(watcher::Event::InitDone) => wake.notify_one(),
                Ok(_) => {}
                Err(error) => tracing::warn!(kind, error = crate::sentence::sentence(&error), "a watch is begun anew"),
            }
        }
    });
    store
}

fn always<K>(_: &K) -> bool {
    true
}

fn never<K>(_: &K) -> bool {
    false
}

/// Pods of jobs, and pods that hold devices. What others do with CPU and memory is seen at the next cycle.
fn matters(pod: &Pod) -> bool {
    let ours = pod.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(labels::JOB_NAME));
    ours || thin::holds_devices(pod)
}
