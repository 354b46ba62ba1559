//! What changes a snapshot.

use std::sync::Arc;

use plimsoll_menu::ClassName;

use super::{Class, Job, JobKey, NamespaceQuota, Node, Queue, Rules, Sizes, Snapshot};

/// One thing that is new, different or gone.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A class as it is now.
    Class(Arc<Class>),
    /// A class that is gone.
    ClassGone(ClassName),
    /// A node as it is now.
    Node(Arc<Node>),
    /// A node that is gone.
    NodeGone(String),
    /// A queue as it is now.
    Queue(Arc<Queue>),
    /// A queue that is gone.
    QueueGone(String),
    /// A ResourceQuota as it is now.
    NamespaceQuota(Arc<NamespaceQuota>),
    /// A ResourceQuota that is gone, by namespace and name.
    NamespaceQuotaGone(String, String),
    /// A job as it is now.
    Job(Arc<Job>),
    /// A job that is complete, failed or gone.
    JobGone(JobKey),
    /// The rules as they are now.
    Rules(Rules),
    /// Sizes that a plan chose or carried on.
    Sizes(Sizes),
    /// The levels of the topology as they are now.
    Topology(Vec<String>),
}

impl Snapshot {
    /// Takes one event in, in time that grows with the logarithm of the cluster. Returns whether it changed anything.
    pub fn apply(&mut self, event: Event) -> bool {
        match event {
            Event::Class(class) => self.classes.put(class),
            Event::ClassGone(name) => self.classes.remove(&name),
            Event::Node(node) => self.nodes.put(node),
            Event::NodeGone(name) => self.nodes.remove(&name),
            Event::Queue(queue) => self.queues.put(queue),
            Event::QueueGone(name) => self.queues.remove(&name),
            Event::NamespaceQuota(quota) => self.namespace_quotas.put(quota),
            Event::NamespaceQuotaGone(namespace, name) => self.namespace_quotas.remove(&(namespace, name)),
            Event::Job(job) => self.jobs.put(job),
            Event::JobGone(key) => self.jobs.remove(&key),
            Event::Rules(rules) => std::mem::replace(&mut self.rules, rules) != rules,
            Event::Sizes(sizes) => {
                let changes = self.sizes.as_ref() != Some(&sizes);
                self.sizes = Some(sizes);
                changes
            }
            Event::Topology(levels) => {
                let changes = self.topology != levels;
                self.topology = levels;
                changes
            }
        }
    }
}
