//! Gangs from their first pod to their last, in time that is skipped. No apiserver: nothing here reports.

use std::path::Path;
use std::sync::atomic::AtomicU32;

use http::{Request, Response};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::client::Body;
use kube::config::Kubeconfig;
use plimsoll_protocol::TerminationMessage;
use serde_json::json;
use tokio::sync::watch;

use super::*;
use crate::access::Door;
use crate::fleet::{Binaries, FleetSpec};
use crate::record::{Account, Record};
use crate::training::gang::Seat;
use crate::truth::Truth;

struct Stage {
    world: Arc<World>,
    folder: tempfile::TempDir,
    _stop: watch::Sender<bool>,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (stop, stopped) = watch::channel(false);
        let nobody = tower::service_fn(|_: Request<Body>| async {
            Err::<Response<Body>, _>(std::io::Error::from(std::io::ErrorKind::ConnectionRefused))
        });
        let kubeconfig: Kubeconfig = serde_json::from_value(json!({"current-context": "x",
            "clusters": [{"name": "c", "cluster": {}}], "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}]}))
        .unwrap();
        let nothing = Path::new("/").to_owned();
        let world = World {
            spec: FleetSpec {
                kubeconfig: nothing.clone(),
                folder: folder.path().to_owned(),
                seed: 0,
                time_scale: 60.0,
                truth: None,
                binaries: Binaries { operator: None, agent: nothing.clone(), nvml_mock: nothing },
                report_interval: 2.0,
                startup_seconds: 1.0,
                progress_bind: "127.0.0.1:1".parse().unwrap(),
                pod_resources_folder: None,
            },
            client: Client::new(nobody, "default"),
            door: Door::of(&kubeconfig).unwrap(),
            truth: Truth::built_in(0).unwrap(),
            record: Record::new(folder.path()),
            gangs: Gangs::default(),
            storage: Storage::new(folder.path()),
            stop: stopped,
            addresses: AtomicU32::new(0),
        };
        Self { world: Arc::new(world), folder, _stop: stop }
    }

    fn node(&self, name: &str, product: &str, gpus: u32) -> Arc<Node> {
        let object = json!({
            "metadata": {"name": name, "annotations": {"kwok.x-k8s.io/node": "fake"},
                "labels": {"nvidia.com/gpu.product": product}},
            "status": {"allocatable": {"nvidia.com/gpu": gpus.to_string()}}});
        Arc::new(Node::of(&serde_json::from_value(object).unwrap(), self.folder.path()).unwrap())
    }

    /// A pod that was admitted and runs.
    fn join(&self, node: &Arc<Node>, gpus: u32, rank: u32, profile: &str, environment: &[(&str, &str)]) -> Seat {
        let env: Vec<_> = environment.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": format!("job-r1-{rank}"), "namespace": "ns", "uid": format!("{}-{rank}", node.name),
                "labels": {"plimsoll.dev/job-name": "job", "plimsoll.dev/pod-index": rank.to_string()},
                "annotations": {"fleet.plimsoll.dev/profile": profile, "fleet.plimsoll.dev/steps": "10000"}},
            "spec": {"containers": [{"name": "t", "env": env,
                "resources": {"limits": {"nvidia.com/gpu": gpus.to_string()}}}]}}))
        .unwrap();
        assert!(crate::pod::admit(&self.world, node, &pod));
        let trainer = crate::pod::trainer(&pod).unwrap();
        let addresses = Addresses { pod: "", host: "" };
        let environment = variables(&pod, trainer, addresses, &crate::pod::contents::Contents::default());
        self.world.gangs.join(&self.world, Member::new(&pod, node, trainer, Orders::read(&pod, &environment)))
    }

    fn account(&self) -> Account {
        self.world.record.write();
        serde_json::from_slice(&std::fs::read(self.folder.path().join("fleet.json")).unwrap()).unwrap()
    }
}

const TWO_PODS: [(&str, &str); 4] = [
    ("PET_NNODES", "2"),
    ("PLIMSOLL_MICRO_BATCH", "32"),
    ("PLIMSOLL_DP", "8"),
    ("PLIMSOLL_CHECKPOINT_DIR", "/c/job/r1"),
];

async fn settle() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}

#[tokio::test(start_paused = true)]
async fn a_gang_trains_once_all_of_it_is_there_and_ends_as_one() {
    let stage = Stage::new();
    let (a, b) = (stage.node("t4-0", "Tesla-T4", 4), stage.node("t4-1", "Tesla-T4", 4));
    let mut first = stage.join(&a, 4, 0, "cifar10", &TWO_PODS);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(a.devices().all()[0].load.busy, 0.0, "it waits");
    let mut second = stage.join(&b, 4, 1, "cifar10", &TWO_PODS);
    settle().await;
    let load = b.devices().all()[3].load;
    assert!(load.busy > 0.9 && load.sm > 0.05 && load.sm < 0.3 && load.memory_bytes > 0, "{load:?}");
    let began = tokio::time::Instant::now();
    assert_eq!(first.exit().await, Exit { code: 0, message: None });
    assert_eq!(second.exit().await.code, 0);
    let training = stage.account().training["ns/job/1"].clone();
    assert_eq!((training.ended.as_deref(), training.step), (Some("completed"), 10_000));
    let expected = 10_000.0 * training.step_seconds / 60.0;
    let took = began.elapsed().as_secs_f64();
    assert!((took / expected - 1.0).abs() < 0.1, "{took} s, expected {expected}");
    assert_eq!(b.devices().all()[3].load.busy, 0.0, "idle again");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_too_large_runs_out_of_memory_and_says_so() {
    let stage = Stage::new();
    let node = stage.node("a100-0", "NVIDIA-A100-SXM4-40GB", 8);
    let environment = [("PLIMSOLL_MICRO_BATCH", "4"), ("PLIMSOLL_DP", "8"), ("PLIMSOLL_SHARDING", "Optimizer")];
    let mut seat = stage.join(&node, 8, 0, "transformer", &environment);
    let exit = seat.exit().await;
    let message = TerminationMessage::parse(exit.message.as_deref().unwrap()).unwrap();
    assert_eq!((exit.code, message.reason.as_str()), (1, TerminationMessage::OUT_OF_MEMORY));
    assert!(message.peak_memory_bytes.unwrap() > 38 << 30);
    assert_eq!(stage.account().training["ns/job/1"].ended.as_deref(), Some("out of memory"));
}

#[tokio::test(start_paused = true)]
async fn a_terminated_gang_leaves_a_checkpoint_that_the_next_revision_begins_with() {
    let stage = Stage::new();
    let (a, b) = (stage.node("t4-0", "Tesla-T4", 4), stage.node("t4-1", "Tesla-T4", 4));
    let mut first = stage.join(&a, 4, 0, "cifar10", &TWO_PODS);
    let mut second = stage.join(&b, 4, 1, "cifar10", &TWO_PODS);
    tokio::time::sleep(Duration::from_secs(3)).await;
    first.terminate();
    second.terminate();
    assert_eq!((first.exit().await.code, second.exit().await.code), (0, 0));
    drop((first, second));
    let step = stage.world.storage.read("ns", "/c/job/r1").unwrap().step;
    assert!(step > 100, "{step}");
    a.devices().release("t4-0-0");
    let next = [
        ("PLIMSOLL_REVISION", "2"),
        ("PLIMSOLL_MICRO_BATCH", "64"),
        ("PLIMSOLL_DP", "4"),
        ("PLIMSOLL_RESUME_DIR", "/c/job/r1"),
        ("PLIMSOLL_CHECKPOINT_DIR", "/c/job/r2"),
    ];
    let _seat = stage.join(&a, 4, 0, "cifar10", &next);
    settle().await;
    assert_eq!(stage.account().training["ns/job/2"].step, step);
    assert_eq!(stage.world.storage.read("ns", "/c/job/r2"), None, "it writes its own folder alone");
}

#[tokio::test(start_paused = true)]
async fn what_a_job_of_the_same_name_left_behind_is_not_taken_up() {
    let stage = Stage::new();
    stage.world.storage.write("ns", "/c/job/r1", 5000).unwrap();
    let node = stage.node("t4-0", "Tesla-T4", 4);
    let _seat = stage.join(&node, 4, 0, "cifar10", &[("PLIMSOLL_DP", "4"), ("PLIMSOLL_CHECKPOINT_DIR", "/c/job/r1")]);
    settle().await;
    assert_eq!(stage.account().training["ns/job/1"].step, 0);
}

#[tokio::test(start_paused = true)]
async fn a_rank_that_is_lost_takes_the_others_with_it() {
    let stage = Stage::new();
    let (a, b) = (stage.node("t4-0", "Tesla-T4", 4), stage.node("t4-1", "Tesla-T4", 4));
    let first = stage.join(&a, 4, 0, "gang", &[("PET_NNODES", "2")]);
    let mut second = stage.join(&b, 4, 1, "gang", &[("PET_NNODES", "2")]);
    settle().await;
    drop(first);
    assert_eq!(second.exit().await, Exit { code: 1, message: None });
    assert_eq!(stage.account().training["ns/job/1"].ended.as_deref(), Some("broken"));
}

#[tokio::test(start_paused = true)]
async fn a_program_that_does_not_mind_signals_ends_by_them() {
    let stage = Stage::new();
    let (a, b) = (stage.node("t4-0", "Tesla-T4", 4), stage.node("t4-1", "Tesla-T4", 4));
    let mut first = stage.join(&a, 4, 0, "gang", &TWO_PODS);
    let mut second = stage.join(&b, 4, 1, "gang", &TWO_PODS);
    settle().await;
    first.terminate();
    second.terminate();
    assert_eq!((first.exit().await.code, second.exit().await.code), (143, 143));
    assert_eq!(stage.world.storage.read("ns", "/c/job/r1"), None);
}

#[tokio::test]
async fn more_than_a_node_has_is_refused_and_counted() {
    let stage = Stage::new();
    let node = stage.node("t4-0", "Tesla-T4", 4);
    let pod = |uid: &str| -> Pod {
        serde_json::from_value(json!({"metadata": {"name": uid, "uid": uid}, "spec": {"containers": [
            {"name": "t", "resources": {"limits": {"nvidia.com/gpu": "3"}}}]}}))
        .unwrap()
    };
    assert!(crate::pod::admit(&stage.world, &node, &pod("a")));
    assert!(!crate::pod::admit(&stage.world, &node, &pod("b")));
    assert_eq!(stage.account().overcommitted, 1);
}
