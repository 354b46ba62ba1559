//! Who trains together: the pods of one revision of a job.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::{Container, Pod};
use plimsoll_crds::labels;
use tokio::sync::{mpsc, oneshot};

use super::orders::Orders;
use super::program;
use crate::node::{Load, Node};
use crate::pod;
use crate::world::World;

/// Which revision of which job. The owner's UID tells a job from a later one of the same name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) namespace: String,
    pub(super) job: String,
    pub(super) owner: String,
    pub(super) revision: u32,
}

/// One pod among others.
#[derive(Debug)]
pub(crate) struct Member {
    pub(super) pod: Pod,
    pub(super) uid: String,
    pub(super) container: Container,
    pub(super) node: Arc<Node>,
    pub(super) gpus: u32,
    pub(super) orders: Orders,
    /// An earlier fleet had brought it to life.
    pub(super) ran_before: bool,
}

/// How a pod's program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    /// Exit code.
    pub(crate) code: i32,
    /// Termination message.
    pub(crate) message: Option<String>,
}

/// What a gang is told.
#[derive(Debug)]
pub(super) enum Word {
    /// A pod runs.
    Join(Box<Member>, oneshot::Sender<Exit>),
    /// A pod got SIGTERM.
    Terminate(String),
    /// A pod is not there any more.
    Leave(String),
}

/// All gangs that train, or wait for their last pod.
#[derive(Debug, Default)]
pub(crate) struct Gangs(Mutex<BTreeMap<Key, mpsc::UnboundedSender<Word>>>);

/// A pod's place in its gang; it leaves when this is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    uid: String,
    words: mpsc::UnboundedSender<Word>,
    exit: oneshot::Receiver<Exit>,
}

/// The pods of a gang, by rank.
#[derive(Debug, Default)]
pub(super) struct Crew {
    members: BTreeMap<u32, (Member, Option<oneshot::Sender<Exit>>)>,
    terminated: BTreeSet<String>,
}

impl Member {
    /// A pod that runs on a node, as it was seen first.
    pub(super) fn new(pod: &Pod, node: &Arc<Node>, container: &Container, orders: Orders) -> Self {
        let ran_before = pod::is_running(pod);
        let gpus = pod::gpus(container);
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        Self { pod: pod.clone(), uid, container: container.clone(), node: Arc::clone(node), gpus, orders, ran_before }
    }

    fn key(&self) -> Key {
        let metadata = &self.pod.metadata;
        let job = metadata.labels.as_ref().and_then(|all| all.get(labels::JOB_NAME)).cloned();
        let owner = metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
        Key {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            job: job.unwrap_or_default(),
            owner: owner.map(|owner| owner.uid.clone()).unwrap_or_default(),
            revision: self.orders.revision,
        }
    }
}

impl Gangs {
    /// Lets a pod that runs take its place. The first of a gang brings its program to life.
    pub(crate) fn join(&self, world: &Arc<World>, member: Member) -> Seat {
        let (key, uid) = (member.key(), member.uid.clone());
        let (sender, exit) = oneshot::channel();
        let mut word = Word::Join(Box::new(member), sender);
        // Every change leaves the map whole, so that a panic elsewhere does no harm.
        let mut gangs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gangs.retain(|_, words| !words.is_closed());
        if let Some(words) = gangs.get(&key) {
            match words.send(word) {
                Ok(()) => return Seat { uid, words: words.clone(), exit },
                // It ended between the two lines.
                Err(refused) => word = refused.0,
            }
        }
        let (words, receiver) = mpsc::unbounded_channel();
        // The receiver is in our hands.
        let _ = words.send(word);
        tokio::spawn(program::run(Arc::clone(world), key.clone(), receiver));
        gangs.insert(key, words.clone());
        Seat { uid, words, exit }
    }
}

impl Seat {
    /// Waits for the program's end. A program that is not there any more has failed.
    pub(crate) async fn exit(&mut self) -> Exit {
        (&mut self.exit).await.unwrap_or(Exit { code: 1, message: None })
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        let _ = self.words.send(Word::Terminate(self.uid.clone()));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let _ = self.words.send(Word::Leave(self.uid.clone()));
    }
}

impl Crew {
    /// Takes a pod in.
    pub(super) fn join(&mut self, member: Member, exit: oneshot::Sender<Exit>) {
        self.members.insert(member.orders.rank, (member, Some(exit)));
    }

    /// Whether every pod of the revision is there.
    pub(super) fn is_complete(&self) -> bool {
        self.first().is_some_and(|first| self.members.len() >= first.orders.pods as usize)
    }

    /// Whether nobody is left.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The pod of the lowest rank.
    pub(super) fn first(&self) -> Option<&Member> {
        self.members.values().next().map(|(member, _)| member)
    }

    /// All pods, by rank.
    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values().map(|(member, _)| member)
    }

    /// Notes that a pod got SIGTERM.
    pub(super) fn terminate(&mut self, uid: String) {
        self.terminated.insert(uid);
    }

    /// Takes a pod out. False when its program had ended already.
    pub(super) fn leave(&mut self, uid: &str) -> bool {
        let open = self.members.values().any(|(member, exit)| member.uid == uid && exit.is_some());
        self.members.retain(|_, (member, _)| member.uid != uid);
        open
    }

    /// Ends the programs of the pods that `which` names.
    pub(super) fn exit(&mut self, exit: &Exit, which: impl Fn(&Member) -> bool) {
        for (member, sender) in self.members.values_mut().filter(|(member, _)| which(member)) {
            if let Some(sender) = sender.take() {
                // A pod that is gone needs no exit code.
                let _ = sender.send(exit.clone());
                member.node.devices().work(&member.uid, Load::default());
            }
        }
    }

    /// Ends the programs of the pods that got SIGTERM.
    pub(super) fn exit_terminated(&mut self, code: i32) {
        let terminated = std::mem::take(&mut self.terminated);
        self.exit(&Exit { code, message: None }, |member| terminated.contains(&member.uid));
        self.terminated = terminated;
    }

    /// Whether a program still runs.
    pub(super) fn runs(&self) -> bool {
        self.members.values().any(|(_, exit)| exit.is_some())
    }

    /// Lets all devices do the same.
    pub(super) fn work(&self, load: Load) {
        for member in self.members() {
            member.node.devices().work(&member.uid, load);
        }
    }
}
