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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use plimsoll_protocol::TerminationMessage;

    use super::*;
    use crate::node::tests::node;

    /// Programs that cannot report.
    fn programs(folder: &Path, time_scale: f64) -> Programs {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let nowhere = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
        Programs::new(World {
            client: Client::try_from(nowhere).unwrap(),
            truth: Truth::load(&Truth::default_file(), 0).unwrap(),
            checkpoints: Checkpoints::under(folder.join("checkpoints")),
            time_scale,
            report_interval: Duration::from_secs(1),
        })
    }

    /// A pod of a revision of two pods.
    fn pod(rank: u32, micro_batch: &str) -> Arc<Pod> {
        let mut pod = settings::tests::pod();
        pod.metadata.uid = Some(format!("u{rank}"));
        let labels = [("plimsoll.dev/job-name", "a"), ("plimsoll.dev/revision", "2")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let index = ("plimsoll.dev/pod-index".to_owned(), rank.to_string());
        pod.metadata.labels = Some(labels.into_iter().chain([index]).collect());
        let annotations = pod.metadata.annotations.as_mut().unwrap();
        annotations.insert("fleet.plimsoll.dev/checkpoint-seconds".to_owned(), "0".to_owned());
        let variables = pod.spec.as_mut().unwrap().containers[1].env.as_mut().unwrap();
        variables.retain(|variable| variable.name != "KUBEFLOW_TRAINER_SERVER_URL");
        let batch = variables.iter_mut().find(|variable| variable.name == "PLIMSOLL_MICRO_BATCH");
        batch.unwrap().value = Some(micro_batch.to_owned());
        Arc::new(pod)
    }

    #[tokio::test]
    async fn a_program_begins_when_all_its_pods_run_and_ends_well_in_all() {
        let folder = tempfile::tempdir().unwrap();
        let (programs, node) = (programs(folder.path(), 1e9), Arc::new(node(folder.path(), 8)));
        let mut first = programs.join(&pod(0, "8"), &node);
        let alone = tokio::time::timeout(Duration::from_millis(50), first.ended()).await;
        assert!(alone.is_err(), "it must wait for the other");
        let mut second = programs.join(&pod(1, "8"), &node);
        assert_eq!((first.ended().await, second.ended().await), (Ended::with(0), Ended::with(0)));
    }

    #[tokio::test]
    async fn a_program_that_is_told_to_end_writes_a_checkpoint_that_the_next_one_begins_at() {
        let folder = tempfile::tempdir().unwrap();
        let (programs, node) = (programs(folder.path(), 1e3), Arc::new(node(folder.path(), 8)));
        let mut joined = programs.join(&pod(0, "8"), &node);
        let _other = programs.join(&pod(1, "8"), &node);
        tokio::time::sleep(Duration::from_millis(100)).await;
        joined.terminate().await;
        let checkpoint = programs.world.checkpoints.read("n", "/checkpoints/a/r2").unwrap();
        assert!(checkpoint.step > 0);
        let again = tokio::time::timeout(Duration::from_millis(100), joined.terminate()).await;
        assert!(again.is_ok(), "it trains no more and has nothing to write");
        assert_eq!(programs.world.checkpoints.read("n", "/checkpoints/a/r2"), Some(checkpoint));
    }

    #[tokio::test]
    async fn a_program_that_does_not_fit_ends_in_its_first_rank() {
        let folder = tempfile::tempdir().unwrap();
        let (programs, node) = (programs(folder.path(), 1.0), Arc::new(node(folder.path(), 8)));
        let mut second = programs.join(&pod(1, "100000"), &node);
        let mut first = programs.join(&pod(0, "100000"), &node);
        let ended = first.ended().await;
        let message = TerminationMessage::parse(&ended.message).unwrap();
        assert_eq!((ended.code, message.reason.as_str()), (1, TerminationMessage::OUT_OF_MEMORY));
        let other = tokio::time::timeout(Duration::from_millis(50), second.ended()).await;
        assert!(other.is_err(), "it hangs in a collective");
    }

    #[tokio::test]
    async fn a_program_that_nobody_takes_part_in_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let (programs, node) = (programs(folder.path(), 1.0), Arc::new(node(folder.path(), 8)));
        drop(programs.join(&pod(0, "8"), &node));
        while !programs.lock().is_empty() {
            tokio::task::yield_now().await;
        }
    }
}
