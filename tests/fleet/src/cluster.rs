//! What the apiserver has, followed: nodes that are ours to play and pods that stand on them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Node as NodeObject, Pod};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt as _};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::device_plugin;
use crate::node::{self, Node};
use crate::pod::{self, Seen, Sight};
use crate::residents::{self, Residents};
use crate::world::World;

/// A node that is played.
struct Played {
    node: Arc<Node>,
    uid: Option<String>,
    /// Pods that are not ours to play, since the node is real.
    residents: watch::Sender<Residents>,
    /// What is done for the node besides its pods; ends with it.
    _tasks: JoinSet<()>,
}

/// All that is played.
pub(crate) struct Cluster {
    world: Arc<World>,
    nodes: BTreeMap<String, Played>,
    /// Nodes for the ticker.
    shown: watch::Sender<Vec<Arc<Node>>>,
    /// Pods that are played, by UID.
    playing: BTreeMap<String, watch::Sender<Seen>>,
    /// Pods on nodes that we do not know (yet), by UID.
    elsewhere: BTreeMap<String, Arc<Pod>>,
    tasks: JoinSet<()>,
}

impl Played {
    /// Begins to play a node that has its folder.
    fn begin(world: &Arc<World>, node: Arc<Node>, uid: Option<String>) -> Self {
        let (residents, pods) = watch::channel(Residents::new());
        let mut tasks = JoinSet::new();
        if node.is_real {
            tasks.spawn(device_plugin::offer(Arc::clone(&node)));
            tasks.spawn(residents::follow(Arc::clone(world), Arc::clone(&node), pods));
        } else if node.has_gpus() {
            tasks.spawn(answer(Arc::clone(&node)));
        }
        Self { node, uid, residents, _tasks: tasks }
    }
}

/// Answers the node's agent.
async fn answer(node: Arc<Node>) {
    if let Err(error) = node::serve(node).await {
        tracing::error!(error = &error as &dyn std::error::Error, "a node tells nobody who holds its devices");
    }
}

impl Cluster {
    /// Nothing yet.
    pub(crate) fn new(world: Arc<World>) -> (Self, watch::Receiver<Vec<Arc<Node>>>) {
        let (shown, nodes) = watch::channel(Vec::new());
        let (playing, elsewhere, tasks) = (BTreeMap::new(), BTreeMap::new(), JoinSet::new());
        (Self { world, nodes: BTreeMap::new(), shown, playing, elsewhere, tasks }, nodes)
    }

    /// Follows the apiserver until the fleet ends, then waits for those who play.
    pub(crate) async fn follow(mut self) {
        let config = watcher::Config::default;
        let nodes: Api<NodeObject> = Api::all(self.world.client.clone());
        let pods: Api<Pod> = Api::all(self.world.client.clone());
        let mut nodes = watcher(nodes, config()).default_backoff().boxed();
        let mut pods = watcher(pods, config()).default_backoff().boxed();
        let mut stop = self.world.stop.clone();
        let (mut listed_nodes, mut listed_pods) = (BTreeSet::new(), BTreeSet::new());
        loop {
            tokio::select! {
                Some(event) = nodes.next() => match event {
                    Ok(event) => self.node_event(event, &mut listed_nodes),
                    Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "nodes are not followed"),
                },
                Some(event) = pods.next() => match event {
                    Ok(event) => self.pod_event(event, &mut listed_pods),
                    Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "pods are not followed"),
                },
                Some(_) = self.tasks.join_next() => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        while self.tasks.join_next().await.is_some() {}
    }

    fn node_event(&mut self, event: Event<NodeObject>, listed: &mut BTreeSet<String>) {
        match event {
            Event::Apply(object) => self.node(&object),
            Event::Delete(object) => self.node_gone(&object.name_any()),
            Event::Init => listed.clear(),
            Event::InitApply(object) => {
                listed.insert(object.name_any());
                self.node(&object);
            }
            Event::InitDone => {
                let gone: Vec<_> = self.nodes.keys().filter(|name| !listed.contains(*name)).cloned().collect();
                gone.iter().for_each(|name| self.node_gone(name));
            }
        }
    }

    fn node(&mut self, object: &NodeObject) {
        let (name, uid) = (object.name_any(), object.uid());
        match self.nodes.get(&name) {
            Some(played) if played.uid == uid => return,
            // Another node of the same name.
            Some(_) => self.node_gone(&name),
            None => {}
        }
        let Some(node) = Node::of(object, &self.world.spec.folder.join("nodes")) else { return };
        let prepared = node.prepare(&self.world.spec.binaries.nvml_mock);
        let shown = prepared.and_then(|()| node.show(Duration::ZERO).map_err(io::Error::other));
        if let Err(error) = shown {
            tracing::error!(node = name, %error, "a node has no folder");
            return;
        }
        tracing::info!(node = name, gpus = node.devices().all().len(), real = node.is_real, "plays a node");
        self.nodes.insert(name, Played::begin(&self.world, Arc::new(node), uid));
        self.show();
        for (uid, pod) in std::mem::take(&mut self.elsewhere) {
            self.pod(uid, pod);
        }
    }

    fn node_gone(&mut self, name: &str) {
        if self.nodes.remove(name).is_none() {
            return;
        }
        tracing::info!(node = name, "a node is gone");
        self.show();
        for sender in self.playing.values() {
            let on_it =
                |seen: &Seen| seen.pod.spec.as_ref().is_some_and(|spec| spec.node_name.as_deref() == Some(name));
            sender.send_if_modified(|seen| {
                let lost = on_it(seen) && !seen.node_gone;
                seen.node_gone |= lost;
                lost
            });
        }
    }

    fn show(&self) {
        self.shown.send_replace(self.nodes.values().map(|played| Arc::clone(&played.node)).collect());
    }

    fn pod_event(&mut self, event: Event<Pod>, listed: &mut BTreeSet<String>) {
        match event {
            Event::Apply(pod) => self.pod(pod.uid().unwrap_or_default(), Arc::new(pod)),
            Event::Delete(pod) => self.pod_gone(&pod.uid().unwrap_or_default()),
            Event::Init => listed.clear(),
            Event::InitApply(pod) => {
                let uid = pod.uid().unwrap_or_default();
                listed.insert(uid.clone());
                self.pod(uid, Arc::new(pod));
            }
            Event::InitDone => {
                let residents = self
                    .nodes
                    .values()
                    .flat_map(|played| played.residents.borrow().keys().cloned().collect::<Vec<_>>());
                let all = self.playing.keys().chain(self.elsewhere.keys()).cloned().chain(residents);
                let gone: Vec<_> = all.filter(|uid| !listed.contains(uid)).collect();
                gone.iter().for_each(|uid| self.pod_gone(uid));
            }
        }
    }

    fn pod(&mut self, uid: String, pod: Arc<Pod>) {
        if let Some(sender) = self.playing.get(&uid) {
            sender.send_modify(|seen| seen.pod = pod);
            return;
        }
        let Some(name) = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) else { return };
        let Some(played) = self.nodes.get(name) else {
            self.elsewhere.insert(uid, pod);
            return;
        };
        if played.node.is_real {
            played.residents.send_modify(|residents| {
                residents.insert(uid, pod);
            });
            return;
        }
        let (sender, seen) = watch::channel(Seen { pod, node_gone: false });
        let sight = Sight::new(seen, self.world.stop.clone());
        self.tasks.spawn(pod::play(Arc::clone(&self.world), Arc::clone(&played.node), sight));
        self.playing.insert(uid, sender);
    }

    fn pod_gone(&mut self, uid: &str) {
        self.elsewhere.remove(uid);
        for played in self.nodes.values().filter(|played| played.node.is_real) {
            played.residents.send_if_modified(|residents| residents.remove(uid).is_some());
        }
        let Some(sender) = self.playing.remove(uid) else { return };
        // At once, so that the next pod which the scheduler puts there finds them free.
        let node = sender.borrow().pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
        if let Some(played) = self.nodes.get(&node) {
            played.node.devices().release(uid);
        }
    }
}
