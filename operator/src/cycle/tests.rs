use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use plimsoll_crds::TrainingJob;
use plimsoll_telemetry::Registry;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tower_test::mock;

use super::Cycle;
use crate::fixtures::{holding, job, now, pod, runs, world};
use crate::job::apply::Hands;
use crate::lease::Fence;
use crate::metrics::Metrics;
use crate::notes::Notes;
use crate::progress::state::Progress;
use crate::settings::Settings;
use crate::stores::Stores;

/// Longest that a test waits for the cycle to be woken.
const PATIENCE: Duration = Duration::from_secs(10);

fn config_map(version: &str, text: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {crate::config::KEY: text},
        "metadata": {"name": "plimsoll-config", "namespace": "plimsoll-system", "uid": "c", "resourceVersion": version}})
}

/// An apiserver with one ConfigMap, that changes to `moves: {enabled: false}` when told; and the statuses that it gets.
fn apiserver(change: Arc<Notify>) -> (Client, Arc<Mutex<Vec<Value>>>) {
    let (service, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
    let statuses: Arc<Mutex<Vec<Value>>> = Arc::default();
    let seen = statuses.clone();
    tokio::spawn(async move {
        let mut watched = false;
        while let Some((request, send)) = handle.next_request().await {
            let (parts, body) = request.into_parts();
            let bytes = body.collect_bytes().await.unwrap_or_default();
            let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
            let is_map = parts.method == Method::GET && path.ends_with("/configmaps");
            if is_map && query.contains("watch") {
                let (change, first) = (change.clone(), !std::mem::replace(&mut watched, true));
                tokio::spawn(async move {
                    if first {
                        change.notified().await;
                        let event = json!({"type": "MODIFIED", "object": config_map("2", "moves: {enabled: false}")});
                        send.send_response(Response::new(format!("{event}\n").into_bytes().into()));
                    } else {
                        // Nothing happens any more.
                        std::future::pending::<()>().await;
                    }
                });
                continue;
            }
            let answer = if is_map {
                json!({"apiVersion": "v1", "kind": "ConfigMapList", "metadata": {"resourceVersion": "1"},
                    "items": [config_map("1", "moves: {enabled: true}")]})
            } else {
                body
            };
            if parts.method == Method::PUT {
                seen.lock().unwrap().push(answer["status"].clone());
            }
            send.send_response(Response::new(serde_json::to_vec(&answer).unwrap().into()));
        }
    });
    (Client::new(service, "default"), statuses)
}

/// The status that the first cycle writes about a running job of at least so many devices: after the ConfigMap was seen, or after it changed and
/// woke the cycle.
async fn written(least: u32, status: Value, changes: bool) -> Value {
    let (wake, change) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (client, statuses) = apiserver(change.clone());
    let objects = world(vec![pod(0, runs()), pod(1, runs())]).objects;
    let mut job = TrainingJob::clone(&job(Some(status)));
    job.spec.accelerators.min = Some(least.cast_signed());
    let stores = Stores::of(&client, objects, &job, &wake);
    tokio::time::timeout(PATIENCE, wake.notified()).await.expect("the ConfigMap was not seen");
    let fence = Fence::default();
    fence.set(Some(Instant::now() + Duration::from_secs(60)));
    let hands = Hands { notes: Notes::new(client.clone(), "me"), client, fence, leader: None, authority: "CA".into() };
    let metrics = Metrics::register(&Registry::new("test", "0").unwrap()).unwrap();
    let mut cycle = Cycle::new(stores, hands, Settings::new(None, None).unwrap(), Progress::default(), metrics);
    if changes {
        change.notify_one();
        tokio::time::timeout(PATIENCE, wake.notified()).await.expect("the change woke nobody");
    }
    cycle.run(now()).await;
    assert_eq!(cycle.config().moves.enabled, !changes);
    let written = statuses.lock().unwrap().first().cloned();
    written.expect("the first cycle about a job writes its status")
}

/// The job while its devices were seen to be used so much, with steps of so many milliseconds at its micro-batch.
fn observed(percent: i32, milliseconds: i64, micro_batch: i32) -> Value {
    let mut status = holding("Running");
    let accumulation = 4 / micro_batch;
    let allocation = &mut status["allocation"];
    allocation["microBatch"] = json!(micro_batch);
    allocation["gradientAccumulation"] = json!(accumulation);
    status["observed"] = json!({"stepMilliseconds": milliseconds, "windowSeconds": 60,
        "use": format!("{percent}%"), "smActivityPercent": percent});
    status["evidence"] = json!({"memory": [], "steps": [{"class": "h100", "pods": 2, "gpusPerPod": 8, "tensor": 1,
        "sharding": "None", "recompute": "None", "microBatch": micro_batch, "accumulation": accumulation,
        "stepMicroseconds": milliseconds * 1000, "smActivityPermille": percent * 10}]});
    status
}

#[tokio::test]
async fn moves_stop_with_the_very_next_plan_after_the_config_map_changes() {
    let under_used = || observed(5, 400, 4);
    assert_eq!(written(4, under_used(), false).await["summary"], "Resizing");
    let stopped = written(4, under_used(), true).await;
    assert_eq!((&stopped["summary"], &stopped["next"]), (&json!("Running"), &Value::Null));
}

#[tokio::test]
async fn changes_of_batches_stop_with_the_very_next_plan_after_the_config_map_changes() {
    let cut_small = || {
        let mut status = observed(60, 400, 1);
        let faster = observed(60, 200, 4)["evidence"]["steps"][0].clone();
        status["evidence"]["steps"].as_array_mut().unwrap().insert(0, faster);
        status
    };
    let changed = written(16, cut_small(), false).await;
    assert_eq!((&changed["summary"], &changed["counters"]["liveBatches"]), (&json!("Running"), &json!(1)));
    let stopped = written(16, cut_small(), true).await;
    assert_eq!(stopped["allocation"]["microBatch"], 1);
    assert!(stopped["allocation"]["liveBatchAt"].is_null() && stopped["counters"]["liveBatches"].is_null());
}
