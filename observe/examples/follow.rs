//! What it costs to keep the snapshot of a large cluster up to date: `cargo run --release -p plimsoll-observe --example follow`.
//! 2,048 nodes of 8 devices, 5,000 jobs of which 2,000 hold a node, 60 candidates each; medians over many changes.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a program to look at")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use plimsoll_crds::TrainingJob;
use plimsoll_menu::{Batch, Candidate, ClassName, Fit, Layout, Menu, Prediction, Shape};
use plimsoll_observe::{Follower, Objects, Planned, Settings, snapshot};
use plimsoll_scheduling::check::check;
use plimsoll_scheduling::{Allocation, Event, Standing, plan};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const NODES: usize = 2048;
const JOBS: usize = 5000;
const PLACED: usize = 2000;
const CANDIDATES: u32 = 60;
const ROUNDS: usize = 200;

fn main() {
    let now: Timestamp = "2026-11-25T12:00:00Z".parse().expect("a time");
    let mut objects = objects();
    let mut jobs: Vec<Planned> = (0..JOBS).map(|index| planned(index, now)).collect();
    let settings = Settings::default();
    let mut follower = Follower::default();

    let start = Instant::now();
    follower.follow(&objects, &jobs, &settings, now);
    println!("first look at everything              {:>10.3} ms", start.elapsed().as_secs_f64() * 1e3);
    let start = Instant::now();
    black_box(snapshot(&objects, &jobs, &settings, now));
    println!("built anew, for comparison            {:>10.3} ms", start.elapsed().as_secs_f64() * 1e3);

    let mut look = |what: &str, change: &mut dyn FnMut(usize, &mut Objects, &mut Vec<Planned>), least: usize| {
        let mut times: Vec<f64> = (0..ROUNDS)
            .map(|round| {
                change(round, &mut objects, &mut jobs);
                let start = Instant::now();
                let events = follower.follow(&objects, &jobs, &settings, now);
                let seconds = start.elapsed().as_secs_f64();
                assert!(events.len() >= least, "{what}: {} events", events.len());
                seconds
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!("{what:<38}{:>10.3} ms  (p95 {:.3})", times[ROUNDS / 2] * 1e3, times[ROUNDS * 95 / 100] * 1e3);
    };
    look("a look when nothing has changed", &mut |_, _, _| {}, 0);
    look(
        "a look after one node has changed",
        &mut |round, objects, _| {
            let node = Arc::make_mut(&mut objects.nodes[round]);
            node.spec.get_or_insert_default().unschedulable = Some(true);
        },
        1,
    );
    look(
        "a look after one pod has changed",
        &mut |round, objects, _| {
            Arc::make_mut(&mut objects.pods[PLACED + round]).spec.as_mut().expect("a spec").node_name =
                Some(format!("node-{}", round + 1));
        },
        1,
    );
    look(
        "a look after one job has ended",
        &mut |_, _, jobs| {
            jobs.swap_remove(PLACED + 1000);
        },
        1,
    );
    look(
        "a look after one job has changed",
        &mut |round, _, jobs| {
            Arc::make_mut(&mut jobs[round].job).spec.priority_class_name = Some("high".into());
            jobs[round].restart_seconds += 1.0;
        },
        1,
    );

    let start = Instant::now();
    let decided = plan(follower.snapshot(), now);
    println!("a plan                                {:>10.3} ms", start.elapsed().as_secs_f64() * 1e3);
    let start = Instant::now();
    let violations = check(follower.snapshot(), &decided, now);
    println!("proof of it                           {:>10.3} ms", start.elapsed().as_secs_f64() * 1e3);
    assert!(violations.is_empty(), "{violations:?}");

    let mut other = follower.snapshot().clone();
    let nodes: Vec<Event> = other.nodes.iter().cloned().map(changed_node).collect();
    let jobs: Vec<Event> = other.jobs.iter().cloned().map(changed_job).collect();
    for (what, events) in [("node", nodes), ("job", jobs)] {
        let mut times: Vec<f64> = events
            .into_iter()
            .map(|event| {
                let start = Instant::now();
                assert!(other.apply(event), "it changes something");
                start.elapsed().as_secs_f64()
            })
            .collect();
        times.sort_by(f64::total_cmp);
        let (median, p95) = (times[times.len() / 2] * 1e6, times[times.len() * 95 / 100] * 1e6);
        println!("applying one event about a {what:<11}{median:>10.3} us  (p95 {p95:.3})");
    }
}

fn changed_node(mut node: Arc<plimsoll_scheduling::Node>) -> Event {
    Arc::make_mut(&mut node).gpus_held_by_others += 1;
    Event::Node(node)
}

fn changed_job(mut job: Arc<plimsoll_scheduling::Job>) -> Event {
    Arc::make_mut(&mut job).priority += 1;
    Event::Job(job)
}

fn object<K: DeserializeOwned>(value: Value) -> Arc<K> {
    Arc::new(serde_json::from_value(value).expect("an object of its kind"))
}

fn objects() -> Objects {
    let node = |index: usize| {
        object::<Node>(json!({
            "metadata": {"name": format!("node-{index}"), "labels": {"nvidia.com/gpu.product": "H100",
                "kubernetes.io/hostname": format!("node-{index}"), "topology.kubernetes.io/zone": format!("z{}", index / 256)}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}],
                "allocatable": {"cpu": "96", "memory": "1Ti", "ephemeral-storage": "1Ti", "pods": "110", "nvidia.com/gpu": "8"}}}))
    };
    let pod = |name: String, node: usize, gpus: u32, job: Option<String>| {
        let labels = job.map_or(json!({}), |job| json!({"plimsoll.dev/job-name": job}));
        object::<Pod>(json!({"metadata": {"name": name, "namespace": "team", "labels": labels},
            "spec": {"nodeName": format!("node-{node}"), "containers": [{"name": "main",
                "resources": {"requests": {"cpu": "1", "memory": "4Gi", "nvidia.com/gpu": gpus.to_string()}}}]},
            "status": {"phase": "Running"}}))
    };
    let own = (0..PLACED).map(|index| pod(format!("job-{index}-r1-0"), index, 8, Some(format!("job-{index}"))));
    let others = (0..8 * NODES).map(|index| pod(format!("other-{index}"), index % NODES, 0, None));
    Objects {
        nodes: (0..NODES).map(node).collect(),
        pods: own.chain(others).collect(),
        classes: vec![object(
            json!({"metadata": {"name": "h100"}, "spec": {"nodeSelector": {"nvidia.com/gpu.product": "H100"},
            "resourceName": "nvidia.com/gpu", "memory": "80Gi", "bandwidthBytesPerSecond": "3350G", "peakFlops": {"bf16": "989T"}}}),
        )],
        queues: vec![object(json!({"metadata": {"name": "default"}, "spec": {"allowedPriorityClasses": ["high"]}}))],
        ..Objects::default()
    }
}

fn planned(index: usize, now: Timestamp) -> Planned {
    let job: Arc<TrainingJob> = object(json!({"metadata": {"name": format!("job-{index}"), "namespace": "team",
            "uid": format!("u{index}"), "creationTimestamp": "2026-11-25T10:00:00Z"},
        "spec": {"model": {"custom": {"parameters": 1_000_000, "forwardFlopsPerSample": 1_000_000, "activationBytesPerSample": 0}},
            "data": {"samples": 1000}, "batch": {"global": {"preferred": 64}},
            "template": {"spec": {"containers": [{"name": "main", "image": "trainer",
                "resources": {"requests": {"cpu": "4", "memory": "16Gi"}}}]}}}}));
    let shape = |pods| Shape { class: ClassName::new("h100"), pods, gpus_per_pod: 8 };
    let candidates = (1..=CANDIDATES).map(|pods| Candidate {
        shape: shape(pods),
        layout: Layout::data_parallel(8 * pods),
        batch: Batch { micro: 1, accumulation: 1, global: 8 * pods },
        predicted: Prediction { device_memory_bytes: 1 << 30, step_seconds: 1.0, sm_activity: 0.8, mfu: 0.4 },
        fit: Fit::Fits,
        in_band: true,
        efficient: true,
    });
    let menu = Menu { candidates: candidates.collect(), rejected: Vec::new() };
    let held = || Allocation {
        revision: 1,
        shape: shape(1),
        layout: Layout::data_parallel(8),
        batch: Batch { micro: 8, accumulation: 1, global: 64 },
        nodes: vec![format!("node-{index}")],
        since: now,
        running: true,
        observed: true,
        step_seconds: Some(1.0),
        live_batch: false,
        moves_last_hour: 0,
        last_move: None,
        checkpoint_age_seconds: 0.0,
    };
    Planned {
        job,
        menu: Arc::new(menu),
        standing: if index < PLACED { Standing::Placed(held()) } else { Standing::Waiting },
        restart_seconds: 60.0,
        remaining_steps: Some(1000),
        waiting_since: None,
    }
}
