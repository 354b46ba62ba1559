//! All objects of a cluster at one instant, as a [`Snapshot`].

use std::{cmp::Reverse, collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::api::{
    core::v1::{Namespace, Node, Pod, ResourceQuota},
    scheduling::v1::PriorityClass,
};
use kube::ResourceExt as _;
use plimsoll_crds::{
    AcceleratorClass, AcceleratorNode, TrainingJob, TrainingQueue,
    training_job::{Elasticity as ApiElasticity, RightsizingMode},
};
use plimsoll_menu::{ClassName, LoadLine, Menu};
use plimsoll_scheduling::{
    Allocation, Class, Elasticity, Job, JobKey, Mode, PodNeeds, Reason, Rules, Snapshot, Standing, TopologyAsk,
};

use crate::quantity::Amount;
use crate::{TemplateError, TemplateView, host_memory, namespace_quotas, needs, nodes, queues};

/// The objects of a cluster that a plan may depend on, besides jobs. Their order does not matter.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// Nodes, with and without accelerators.
    pub nodes: Vec<Arc<Node>>,
    /// Pods of all namespaces.
    pub pods: Vec<Arc<Pod>>,
    /// Classes of accelerator.
    pub classes: Vec<Arc<AcceleratorClass>>,
    /// What the agents say.
    pub accelerator_nodes: Vec<Arc<AcceleratorNode>>,
    /// Queues.
    pub queues: Vec<Arc<TrainingQueue>>,
    /// Namespaces, for the selectors of queues.
    pub namespaces: Vec<Arc<Namespace>>,
    /// Priority classes.
    pub priority_classes: Vec<Arc<PriorityClass>>,
    /// Quotas of namespaces.
    pub resource_quotas: Vec<Arc<ResourceQuota>>,
    /// The priority class that the operator gives to the pods of all jobs, for the scopes of those quotas.
    pub pod_priority_class: String,
}

impl Objects {
    /// The agent's object of a node.
    pub fn accelerator_node(&self, node: &str) -> Option<&AcceleratorNode> {
        self.accelerator_nodes.iter().find(|a| a.metadata.name.as_deref() == Some(node)).map(Arc::as_ref)
    }

    /// A pod.
    pub fn pod(&self, namespace: &str, name: &str) -> Option<&Pod> {
        let is = |pod: &&Arc<Pod>| {
            pod.metadata.name.as_deref() == Some(name) && pod.metadata.namespace.as_deref() == Some(namespace)
        };
        self.pods.iter().find(is).map(Arc::as_ref)
    }

    /// A queue.
    pub fn queue(&self, name: &str) -> Option<&TrainingQueue> {
        self.queues.iter().find(|q| q.metadata.name.as_deref() == Some(name)).map(Arc::as_ref)
    }
}

/// What the administrator has set.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Rules of every plan.
    pub rules: Rules,
    /// Keys of the node labels that say where a node stands, the widest domain first.
    pub topology: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        let Snapshot { rules, topology, .. } = Snapshot::default();
        Self { rules, topology }
    }
}

/// A job that is neither complete nor failed, with what sizing and lifecycle say of it.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The job.
    pub job: Arc<TrainingJob>,
    /// Ways to run it, after learned corrections.
    pub menu: Arc<Menu>,
    /// Where it stands.
    pub standing: Standing,
    /// Seconds that a restart costs it.
    pub restart_seconds: f64,
    /// Optimizer steps still to go, where known.
    pub remaining_steps: Option<u64>,
    /// Since when it has held nothing, where it held something before.
    pub waiting_since: Option<Timestamp>,
}

impl Planned {
    /// Which job it is.
    pub fn key(&self) -> JobKey {
        JobKey { namespace: self.job.namespace().unwrap_or_default(), name: self.job.name_any() }
    }

    /// What it holds or is giving back.
    pub fn held(&self) -> Option<&Allocation> {
        match &self.standing {
            Standing::Placed(from) | Standing::Leaving(from) | Standing::Moving { from, .. } => Some(from),
            Standing::Waiting | Standing::Held { .. } => None,
        }
    }
}

/// Resource names of all classes: what no template may ask for by itself.
pub fn class_resources(classes: &[Arc<AcceleratorClass>]) -> BTreeSet<String> {
    classes.iter().map(|class| class.spec.resource_name.clone()).collect()
}

/// The cluster at one instant. `jobs` are all that are neither complete nor failed. [`Follower`](crate::Follower) comes to the
/// same, without looking at what has not changed.
pub fn snapshot(objects: &Objects, jobs: &[Planned], settings: &Settings, now: Timestamp) -> Snapshot {
    let accelerators = class_resources(&objects.classes);
    let jobs_seen: Vec<Job> = jobs.iter().map(|planned| derive(planned, objects, &accelerators, now).job).collect();
    let counted: Vec<_> = jobs.iter().zip(jobs_seen.iter().map(|job| &job.namespace_quotas)).collect();
    let quotas = namespace_quotas::namespace_quotas(&objects.resource_quotas, &objects.pods, &counted, now);
    Snapshot {
        classes: objects.classes.iter().map(|class| self::class(class)).collect(),
        nodes: nodes::nodes(objects, jobs, now).into_iter().collect(),
        topology: settings.topology.clone(),
        queues: objects.queues.iter().map(|queue| queues::queue(queue, objects, now)).collect(),
        namespace_quotas: quotas.into_iter().collect(),
        jobs: jobs_seen.into_iter().collect(),
        rules: settings.rules,
        ..Snapshot::default()
    }
}

/// Money for an hour of one device; one that cannot be read is not known.
fn price(class: &AcceleratorClass) -> Option<f64> {
    let price = Amount::try_from(class.spec.price_per_hour.as_ref()?).ok()?;
    price.is_positive().then(|| price.as_f64())
}

pub(crate) fn class(class: &AcceleratorClass) -> Class {
    let share = |percent: Option<i32>| percent.map(|percent| f64::from(percent) / 100.0);
    let line = class.spec.load_line.as_ref();
    Class {
        name: ClassName::new(class.name_any()),
        resource: class.spec.resource_name.clone(),
        price_per_hour: price(class),
        watts: class.spec.watts.filter(|watts| *watts > 0).map(f64::from),
        line: LoadLine {
            low_activity: share(line.and_then(|l| l.low_activity_percent)).unwrap_or(LoadLine::DEFAULT.low_activity),
            memory: share(line.and_then(|l| l.memory_percent)).unwrap_or(LoadLine::DEFAULT.memory),
        },
    }
}

/// A job of a snapshot, and where that is from.
pub(crate) struct Derived {
    pub(crate) job: Job,
    /// Its template cannot be read any more: what its live pods request stands in for it.
    pub(crate) reads_pods: bool,
}

/// What a job is to the plan. `accelerators` are the resources of all classes.
pub(crate) fn derive(planned: &Planned, objects: &Objects, accelerators: &BTreeSet<String>, now: Timestamp) -> Derived {
    let (key, spec) = (planned.key(), &planned.job.spec);
    let view = TemplateView::parse(spec, accelerators);
    // A template that cannot be read any more says nothing of the pods that run: they count as somebody else's.
    let readable = view.as_ref().ok();
    let (namespace_quotas, counted) =
        readable.map(|view| namespace_quotas::of_job(planned, view, objects)).unwrap_or_default();
    let per_gpu = host_memory::per_gpu(spec, planned.job.status.as_ref());
    let needs = view.and_then(|view| needs::pod_needs(&view, per_gpu?.as_ref()));
    let standing = standing(planned, objects, needs.as_ref().err());
    let reads_pods = needs.is_err() && planned.held().is_some();
    let job = Job {
        uid: planned.job.uid().unwrap_or_default(),
        queue: spec.queue_name.clone(),
        priority: priority(spec.priority_class_name.as_deref(), objects),
        arrival: planned.job.metadata.creation_timestamp.as_ref().map_or(now, |at| at.0),
        mode: match spec.rightsizing.as_ref().map(|r| r.mode).unwrap_or_default() {
            RightsizingMode::Off => Mode::Off,
            RightsizingMode::Initial => Mode::Initial,
            RightsizingMode::Auto => Mode::Auto,
        },
        elasticity: elasticity(planned),
        menu: Menu::clone(&planned.menu),
        namespace_quotas,
        counted,
        needs: needs.unwrap_or_else(|_| needs_of_live_pods(&key, planned, objects)),
        standing,
        restart_seconds: planned.restart_seconds,
        remaining_steps: planned.remaining_steps,
        waiting_since: planned.waiting_since,
        weight: 1.0,
        deadline: spec.objective.as_ref().and_then(|objective| objective.deadline.as_ref()).map(|at| at.0),
        topology: spec.topology.as_ref().map_or_else(TopologyAsk::default, |ask| TopologyAsk {
            required: ask.required.clone(),
            preferred: ask.preferred.clone(),
        }),
        preemptible: true,
        key,
    };
    Derived { job, reads_pods }
}

/// A job that holds nothing and may not start is held, with the reason that comes first. What runs is left to run: a
/// queue that changes its mind, or an edit of the template, counts at the next start.
fn standing(planned: &Planned, objects: &Objects, template: Option<&TemplateError>) -> Standing {
    let spec = &planned.job.spec;
    let own = match &planned.standing {
        Standing::Placed(_) | Standing::Leaving(_) | Standing::Moving { .. } => return planned.standing.clone(),
        Standing::Waiting => None,
        Standing::Held { reason, message } => Some((*reason, message.clone())),
    };
    let invalid = template.map(|error| (Reason::Invalid, error.to_string()));
    let forbidden = objects
        .queue(&spec.queue_name)
        .and_then(|queue| queues::forbids_priority_class(queue, spec.priority_class_name.as_deref()))
        .map(|message| (Reason::QueueForbidden, message));
    // The job's own word comes before ours where both give the same reason.
    let first = own.into_iter().chain(invalid).chain(forbidden).min_by_key(|(reason, _)| *reason);
    first.map_or(Standing::Waiting, |(reason, message)| Standing::Held { reason, message })
}

/// Without a checkpoint that another count of ranks can read, a running job's count stays.
fn elasticity(planned: &Planned) -> Elasticity {
    let spec = &planned.job.spec;
    let portable = spec.checkpoint.as_ref().is_some_and(|checkpoint| !checkpoint.portable_across.is_empty());
    match spec.elasticity.unwrap_or_default() {
        ApiElasticity::Fixed => Elasticity::Fixed,
        ApiElasticity::Elastic if portable => Elasticity::Elastic,
        ApiElasticity::Elastic | ApiElasticity::Moldable => Elasticity::Moldable,
    }
}

fn priority(class: Option<&str>, objects: &Objects) -> i32 {
    let named = |p: &&Arc<PriorityClass>| class.is_some() && p.metadata.name.as_deref() == class;
    objects.priority_classes.iter().find(named).map_or(0, |p| p.value)
}

/// A template that cannot be read any more says nothing about the pods that were built before it was edited; they
/// still hold what they request.
fn needs_of_live_pods(key: &JobKey, planned: &Planned, objects: &Objects) -> PodNeeds {
    let Some(allocation) = planned.held() else { return PodNeeds::default() };
    let pods = (0..allocation.nodes.len()).filter_map(|index| {
        let pod = objects.pod(&key.namespace, &crate::pod_name(&key.name, allocation.revision, index))?;
        crate::requests::of_pod(pod.spec.as_ref()?, pod.status.as_ref()).ok()
    });
    let largest = pods.max_by_key(|requests| (requests.get("memory"), Reverse(requests.get("cpu"))));
    PodNeeds { base: largest.map(|requests| requests.as_pod()).unwrap_or_default(), ..PodNeeds::default() }
}
