//! Training programs: one for each revision of a job, made of the pods that run it.

mod checkpoints;
mod gang;
mod reporter;
mod settings;
mod training;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use tokio::sync::{mpsc, oneshot};

use crate::node::Node;
use crate::pod::Ended;
use crate::truth::Truth;

pub use checkpoints::Checkpoints;
use gang::Gang;

/// What all programs share.
pub(crate) struct World {
    pub client: Client,
    pub truth: Truth,
    pub checkpoints: Checkpoints,
    pub time_scale: f64,
    pub report_interval: Duration,
}

/// A revision of a job: namespace, job, revision.
type Key = (String, String, u32);
type Inboxes = BTreeMap<Key, mpsc::UnboundedSender<Message>>;

/// The programs that run.
#[derive(Clone)]
pub(crate) struct Programs {
    world: Arc<World>,
    inboxes: Arc<Mutex<Inboxes>>,
}

/// What a program is told by its pods.
enum Message {
    /// A pod runs.
    Join(Member),
    /// A pod is told to end: SIGTERM. Answered when the program is ready for that.
    Terminate(oneshot::Sender<()>),
    /// A pod, by its UID, runs no more.
    Leave(String),
}

/// A pod of a program.
struct Member {
    uid: String,
    rank: u32,
    pod: Arc<Pod>,
    node: Arc<Node>,
    exit: oneshot::Sender<Ended>,
}

/// A pod's end of its program. Leaves the program when dropped.
pub(crate) struct Joined {
    uid: String,
    inbox: mpsc::UnboundedSender<Message>,
    exit: oneshot::Receiver<Ended>,
}

impl Programs {
    pub(crate) fn new(world: World) -> Self {
        Self { world: Arc::new(world), inboxes: Arc::default() }
    }

    /// Lets a pod that runs take part in the program of its revision.
    pub(crate) fn join(&self, pod: &Arc<Pod>, node: &Arc<Node>) -> Joined {
        let label = |key: &str| pod.metadata.labels.as_ref().and_then(|labels| labels.get(key)).cloned();
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let job = label(plimsoll_crds::labels::JOB_NAME).unwrap_or_default();
        let number = |key: &str| label(key).and_then(|text| text.parse().ok()).unwrap_or(0);
        let key = (namespace, job, number(plimsoll_crds::labels::REVISION));
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let rank = number(plimsoll_crds::labels::POD_INDEX);
        let (exit, exited) = oneshot::channel();
        let member = Member { uid: uid.clone(), rank, pod: pod.clone(), node: node.clone(), exit };
        let mut inboxes = self.lock();
        let inbox = inboxes.entry(key.clone()).or_insert_with(|| {
            let (inbox, mail) = mpsc::unbounded_channel();
            tokio::spawn(Gang::new(self.clone(), key, mail).run());
            inbox
        });
        // Under the lock, so that a program that is about to end sees it.
        let _ = inbox.send(Message::Join(member));
        Joined { uid, inbox: inbox.clone(), exit: exited }
    }

    /// Ends a program that has no pods, unless one is about to join.
    fn retire(&self, key: &Key, mail: &mpsc::UnboundedReceiver<Message>) -> bool {
        let mut inboxes = self.lock();
        mail.is_empty() && inboxes.remove(key).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Inboxes> {
        self.inboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Joined {
    /// Waits until the program ends in this pod.
    pub(crate) async fn ended(&mut self) -> Ended {
        let lost = || Ended { code: 1, message: "the program was lost".to_owned() };
        (&mut self.exit).await.unwrap_or_else(|_| lost())
    }

    /// Tells the program that this pod is to end, and waits until it is ready for that.
    pub(crate) async fn terminate(&mut self) {
        let (ready, is_ready) = oneshot::channel();
        let _ = self.inbox.send(Message::Terminate(ready));
        // A program that is gone is ready.
        let _ = is_ready.await;
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        let _ = self.inbox.send(Message::Leave(std::mem::take(&mut self.uid)));
    }
}
