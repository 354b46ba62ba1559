//! A snapshot that is kept up to date: objects that have changed become events, and nothing else is looked at.

mod pods;
mod seen;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::{
    core::v1::{Namespace, Node, Pod, ResourceQuota},
    scheduling::v1::PriorityClass,
};
use kube::ResourceExt as _;
use plimsoll_crds::{AcceleratorClass, AcceleratorClassSpec, AcceleratorNode, TrainingQueue};
use plimsoll_menu::ClassName;
use plimsoll_scheduling::{Event, JobKey, Sizes, Snapshot};

use self::pods::Pods;
use self::seen::{Changes, Seen};
use crate::snapshot::{self, Derived, Objects, Planned, Settings, class_resources};
use crate::{namespace_quotas, nodes, queues};

/// A snapshot, and what it was made of.
///
/// An object that is the same `Arc` as before is unchanged and costs a look at its address. One that has changed is read
/// again, with the little that depends on it: a pod changes its node, a job the nodes that it holds, and so on. What a clock
/// alone changes (an agent's word that grows old, a budget's period that ends) is read again when its time has come. The
/// snapshot is always what [`snapshot()`](crate::snapshot()) makes of the same objects.
#[derive(Debug, Default)]
pub struct Follower {
    snapshot: Snapshot,
    classes: Seen<AcceleratorClass>,
    class_specs: BTreeMap<String, AcceleratorClassSpec>,
    accelerators: BTreeSet<String>,
    nodes: Seen<Node>,
    nodes_by_name: BTreeMap<String, Arc<Node>>,
    agents: Seen<AcceleratorNode>,
    agents_by_name: BTreeMap<String, Arc<AcceleratorNode>>,
    nodes_due: BTreeMap<String, Timestamp>,
    pods: Seen<Pod>,
    pods_by_place: Pods,
    queues: Seen<TrainingQueue>,
    queues_by_name: BTreeMap<String, Arc<TrainingQueue>>,
    queues_due: BTreeMap<String, Timestamp>,
    namespaces: Seen<Namespace>,
    priority_classes: Seen<PriorityClass>,
    resource_quotas: Seen<ResourceQuota>,
    pod_priority_class: String,
    jobs: BTreeMap<JobKey, Followed>,
    round: u64,
}

/// A job as it was last seen.
#[derive(Debug)]
struct Followed {
    planned: Planned,
    /// When it was last there.
    round: u64,
    /// It was read from its live pods.
    reads_pods: bool,
}

/// What is to be read again.
#[derive(Debug, Default)]
struct Stale {
    nodes: BTreeSet<String>,
    queues: BTreeSet<String>,
    /// Namespaces whose quotas are.
    quotas: BTreeSet<String>,
    all_jobs: bool,
    jobs_of_queues: BTreeSet<String>,
    jobs_of_namespaces: BTreeSet<String>,
}

impl Stale {
    fn has(&self, planned: &Planned, key: &JobKey) -> bool {
        self.all_jobs
            || self.jobs_of_queues.contains(&planned.job.spec.queue_name)
            || self.jobs_of_namespaces.contains(&key.namespace)
    }
}

impl Follower {
    /// The snapshot as of the last look.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Carries the sizes that a plan chose on to the next snapshot, so that they stay for a whole round.
    pub fn carry(&mut self, sizes: Sizes) {
        self.snapshot.apply(Event::Sizes(sizes));
    }

    /// Looks at all objects there are, in any order, and at all jobs that are neither complete nor failed. Returns what has
    /// changed in the snapshot.
    pub fn follow(&mut self, objects: &Objects, jobs: &[Planned], settings: &Settings, now: Timestamp) -> Vec<Event> {
        let mut events = vec![Event::Rules(settings.rules), Event::Topology(settings.topology.clone())];
        let mut stale = Stale::default();
        self.see_classes(objects, &mut stale, &mut events);
        self.see_queues(objects, now, &mut stale);
        self.see_quotas(objects, &mut stale);
        self.see_pods(objects, &mut stale);
        self.see_nodes(objects, now, &mut stale);
        // What depends on others comes after them: quotas and nodes read what jobs hold.
        for name in std::mem::take(&mut stale.queues) {
            events.push(self.queue(name, objects, now));
        }
        self.follow_jobs(objects, jobs, &mut stale, now, &mut events);
        for name in std::mem::take(&mut stale.nodes) {
            events.push(self.node(name, objects, now));
        }
        events.retain(|event| self.snapshot.apply(event.clone()));
        // Which quotas count a job is in the snapshot by now.
        let mut of_quotas = Vec::new();
        for namespace in std::mem::take(&mut stale.quotas) {
            self.quotas(&namespace, objects, now, &mut of_quotas);
        }
        of_quotas.retain(|event| self.snapshot.apply(event.clone()));
        events.extend(of_quotas);
        events
    }

    fn see_classes(&mut self, objects: &Objects, stale: &mut Stale, events: &mut Vec<Event>) {
        let changes = self.classes.look(&objects.classes);
        if changes.is_empty() {
            return;
        }
        let specs = objects.classes.iter().map(|class| (class.name_any(), class.spec.clone())).collect();
        let before = std::mem::replace(&mut self.class_specs, specs);
        // Their status says what is held, and is written often.
        if before == self.class_specs {
            return;
        }
        events.extend(
            before
                .keys()
                .filter(|name| !self.class_specs.contains_key(*name))
                .map(|name| Event::ClassGone(ClassName::new(name.clone()))),
        );
        events.extend(changes.new.iter().map(|class| Event::Class(Arc::new(snapshot::class(class)))));
        stale.nodes.extend(self.nodes_by_name.keys().cloned());
        let accelerators = class_resources(&objects.classes);
        stale.all_jobs |= accelerators != self.accelerators;
        self.accelerators = accelerators;
    }

    fn see_queues(&mut self, objects: &Objects, now: Timestamp, stale: &mut Stale) {
        let namespaces = self.namespaces.look(&objects.namespaces);
        let changes = self.queues.look(&objects.queues);
        for queue in changes.all() {
            stale.queues.insert(queue.name_any());
        }
        // Which priority classes a queue allows is what its jobs read of it.
        let allowed = |queue: Option<&Arc<TrainingQueue>>| queue.map(|q| q.spec.allowed_priority_classes.clone());
        let before: Vec<_> =
            stale.queues.iter().map(|name| (name.clone(), allowed(self.queues_by_name.get(name)))).collect();
        keep(&mut self.queues_by_name, changes);
        let changed = before.into_iter().filter(|(name, before)| allowed(self.queues_by_name.get(name)) != *before);
        stale.jobs_of_queues.extend(changed.map(|(name, _)| name));
        if !namespaces.is_empty() {
            stale.queues.extend(self.queues_by_name.keys().cloned());
        }
        stale.queues.extend(self.queues_due.iter().filter(|(_, due)| **due <= now).map(|(name, _)| name.clone()));
        let priority_classes = self.priority_classes.look(&objects.priority_classes);
        stale.all_jobs |= !priority_classes.is_empty() || self.pod_priority_class != objects.pod_priority_class;
        self.pod_priority_class.clone_from(&objects.pod_priority_class);
    }

    fn see_quotas(&mut self, objects: &Objects, stale: &mut Stale) {
        for quota in self.resource_quotas.look(&objects.resource_quotas).all() {
            let namespace = quota.namespace().unwrap_or_default();
            stale.jobs_of_namespaces.insert(namespace.clone());
            stale.quotas.insert(namespace);
        }
    }

    fn see_pods(&mut self, objects: &Objects, stale: &mut Stale) {
        let changes = self.pods.look(&objects.pods);
        for pod in changes.all() {
            stale.nodes.extend(nodes::bound_to(pod).map(str::to_owned));
            stale.quotas.extend(nodes::job_of(pod).map(|job| job.namespace));
        }
        for pod in &changes.gone {
            self.pods_by_place.remove(pod);
        }
        for pod in &changes.new {
            self.pods_by_place.put(pod);
        }
        stale.quotas.extend(self.pods_by_place.leaving());
    }

    fn see_nodes(&mut self, objects: &Objects, now: Timestamp, stale: &mut Stale) {
        let nodes = self.nodes.look(&objects.nodes);
        let agents = self.agents.look(&objects.accelerator_nodes);
        stale.nodes.extend(nodes.all().map(|node| node.name_any()));
        stale.nodes.extend(agents.all().map(|agent| agent.name_any()));
        keep(&mut self.nodes_by_name, nodes);
        keep(&mut self.agents_by_name, agents);
        stale.nodes.extend(self.nodes_due.iter().filter(|(_, due)| **due < now).map(|(name, _)| name.clone()));
    }

    fn follow_jobs(
        &mut self,
        objects: &Objects,
        jobs: &[Planned],
        stale: &mut Stale,
        now: Timestamp,
        events: &mut Vec<Event>,
    ) {
        self.round += 1;
        for planned in jobs {
            let key = planned.key();
            let before = self.jobs.get_mut(&key);
            let unchanged = before.as_ref().is_some_and(|b| is_same(&b.planned, planned) && !b.reads_pods);
            if let Some(before) = before {
                before.round = self.round;
                if unchanged && !stale.has(planned, &key) {
                    continue;
                }
            }
            let Derived { job, reads_pods } = snapshot::derive(planned, objects, &self.accelerators, now);
            events.push(Event::Job(Arc::new(job)));
            let followed = Followed { planned: planned.clone(), round: self.round, reads_pods };
            let before = self.jobs.insert(key.clone(), followed);
            self.see_held(&key, before.as_ref().map(|before| &before.planned), Some(planned), stale);
        }
        if self.jobs.len() > jobs.len() {
            let round = self.round;
            let gone: Vec<_> = self.jobs.extract_if(.., |_, job| job.round != round).collect();
            for (key, Followed { planned, .. }) in gone {
                self.see_held(&key, Some(&planned), None, stale);
                events.push(Event::JobGone(key));
            }
        }
    }

    /// What a job holds is not held by others, neither of its nodes nor of its namespace's quotas.
    fn see_held(&self, key: &JobKey, before: Option<&Planned>, after: Option<&Planned>, stale: &mut Stale) {
        let (old, new) = (before.and_then(Planned::held), after.and_then(Planned::held));
        stale.quotas.insert(key.namespace.clone());
        let is_where_it_was = match (old, new) {
            (None, None) => true,
            (Some(old), Some(new)) => old.revision == new.revision && old.nodes == new.nodes,
            _ => false,
        };
        if !is_where_it_was {
            stale.nodes.extend(old.into_iter().chain(new).flat_map(|held| held.nodes.iter().cloned()));
            stale.nodes.extend(self.pods_by_place.nodes_of(key).map(str::to_owned));
        }
    }

    fn queue(&mut self, name: String, objects: &Objects, now: Timestamp) -> Event {
        self.queues_due.remove(&name);
        let Some(object) = self.queues_by_name.get(&name) else { return Event::QueueGone(name) };
        let queue = queues::queue(object, objects, now);
        if let Some(due) = queues::due(&queue) {
            self.queues_due.insert(name, due);
        }
        Event::Queue(Arc::new(queue))
    }

    fn node(&mut self, name: String, objects: &Objects, now: Timestamp) -> Event {
        self.nodes_due.remove(&name);
        let agent = self.agents_by_name.get(&name).map(Arc::as_ref);
        let held = |job: &JobKey| self.jobs.get(job).and_then(|followed| followed.planned.held());
        let others = self.pods_by_place.on_node(&name).map(Arc::as_ref);
        let others = others.filter(|pod| nodes::is_other(pod, &name, held)).collect();
        let node = self.nodes_by_name.get(&name);
        let Some(node) = node.and_then(|node| nodes::node(node, others, agent, &objects.classes, now)) else {
            return Event::NodeGone(name);
        };
        if let Some(due) = agent.and_then(|agent| nodes::due(agent, now)) {
            self.nodes_due.insert(name, due);
        }
        Event::Node(Arc::new(node))
    }

    fn quotas(&self, namespace: &str, objects: &Objects, now: Timestamp, events: &mut Vec<Event>) {
        let of_namespace = |quota: &&Arc<ResourceQuota>| quota.metadata.namespace.as_deref() == Some(namespace);
        let mut known = self.snapshot.namespace_quotas.iter().filter(|quota| quota.namespace == namespace).peekable();
        if known.peek().is_none() && !objects.resource_quotas.iter().any(|quota| of_namespace(&quota)) {
            return;
        }
        let first = JobKey { namespace: namespace.to_owned(), name: String::new() };
        let jobs = self.jobs.range(first..).take_while(|(key, _)| key.namespace == namespace);
        let jobs = jobs.filter_map(|(key, job)| Some((&job.planned, &self.snapshot.jobs.get(key)?.namespace_quotas)));
        let jobs: Vec<_> = jobs.filter(|(_, quotas)| !quotas.is_empty()).collect();
        let quotas = objects.resource_quotas.iter().filter(of_namespace);
        let quotas = namespace_quotas::namespace_quotas(quotas, self.pods_by_place.of_namespace(namespace), &jobs, now);
        let gone = known.filter(|known| !quotas.iter().any(|quota| quota.name == known.name));
        events.extend(gone.map(|quota| Event::NamespaceQuotaGone(quota.namespace.clone(), quota.name.clone())));
        events.extend(quotas.into_iter().map(|quota| Event::NamespaceQuota(Arc::new(quota))));
    }
}

/// Brings what is known by name up to date.
fn keep<K: kube::Resource>(known: &mut BTreeMap<String, Arc<K>>, changes: Changes<K>) {
    for object in changes.gone {
        known.remove(&object.name_any());
    }
    for object in changes.new {
        known.insert(object.name_any(), object);
    }
}

fn is_same(a: &Planned, b: &Planned) -> bool {
    let Planned { job, menu, standing, restart_seconds, remaining_steps, waiting_since } = a;
    Arc::ptr_eq(job, &b.job)
        && (Arc::ptr_eq(menu, &b.menu) || *menu == b.menu)
        && *standing == b.standing
        && *restart_seconds == b.restart_seconds
        && *remaining_steps == b.remaining_steps
        && *waiting_since == b.waiting_since
}
