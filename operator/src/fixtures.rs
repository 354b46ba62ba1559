//! A small cluster and a job for tests.

use std::sync::Arc;

use jiff::Timestamp;
use plimsoll_crds::training_job::TrainingJobStatus;
use plimsoll_crds::{AcceleratorClass, TrainingJob, TrainingQueue};
use plimsoll_observe::Objects;
use plimsoll_sizing::Cache;
use serde_json::json;

use crate::config::Config;
use crate::job::dereference::dereference;
use crate::job::{Known, Turn};
use crate::world::World;

/// The time of all tests.
pub fn now() -> Timestamp {
    "2026-11-25T12:00:00Z".parse().unwrap()
}

/// A job that may run on 4 to 16 devices, with a template that has something of everything.
pub const JOB: &str = r#"
apiVersion: plimsoll.dev/v1alpha1
kind: TrainingJob
metadata: {name: llm, namespace: nlp, uid: job-uid, generation: 1, resourceVersion: "7", creationTimestamp: "2026-11-25T11:00:00Z"}
spec:
  queueName: research
  rightsizing: {mode: Auto}
  model: {transformer: {layers: 12, hidden: 768, heads: 12, vocabulary: 50257}}
  data: {tokens: 400000000, sequenceLength: 1024}
  batch: {global: {preferred: 64}, live: true}
  accelerators: {min: 4, max: 16, perPod: 8, requested: 16, resourcesPerGPU: {cpu: 1500m, memory: 16Gi}}
  checkpoint: {path: /checkpoints/, seconds: 60, onRequest: true, portableAcross: [Data]}
  elasticity: Elastic
  template:
    metadata:
      labels: {team: nlp}
      annotations: {example.com/kept: "yes"}
    spec:
      futureField: {of: a newer Kubernetes}
      affinity:
        nodeAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
            nodeSelectorTerms:
            - matchExpressions: [{key: zone, operator: In, values: [a]}]
            - matchExpressions: [{key: zone, operator: In, values: [b]}]
      initContainers:
      - {name: fetch, image: fetcher}
      containers:
      - name: sidecar
        image: logs
      - name: train
        image: trainer
        args: ["--micro-batch=$(PLIMSOLL_MICRO_BATCH)"]
        env:
        - {name: OUT, value: "$(PLIMSOLL_CHECKPOINT_DIR)/out"}
        - {name: MASTER_PORT, value: "1"}
        resources: {requests: {cpu: 500m, memory: 8Gi}, limits: {memory: 16Gi}}
  trainerContainer: train
"#;

/// The job, with a status if it has one.
pub fn job(status: Option<serde_json::Value>) -> Arc<TrainingJob> {
    let mut job: TrainingJob = serde_yaml::from_str(JOB).unwrap();
    job.status = status.map(|status| serde_json::from_value::<TrainingJobStatus>(status).unwrap());
    Arc::new(job)
}

/// Two nodes of eight H100 and the queue of the job.
pub fn world(pods: Vec<serde_json::Value>) -> World {
    let class: AcceleratorClass = serde_json::from_value(json!({
        "metadata": {"name": "h100"},
        "spec": {"nodeSelector": {"gpu": "h100"}, "resourceName": "nvidia.com/gpu", "memory": "80Gi",
            "bandwidthBytesPerSecond": "3350G", "peakFlops": {"bf16": "989T"}, "linkBytesPerSecond": "450G",
            "networkBytesPerSecond": "50G"}
    }))
    .unwrap();
    let node = |name: &str, zone: &str| {
        let node = json!({
            "metadata": {"name": name, "labels": {"gpu": "h100", "zone": zone}},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "capacity": {"nvidia.com/gpu": "8"},
                "allocatable": {"nvidia.com/gpu": "8", "cpu": "96", "memory": "1Ti", "pods": "110",
                    "ephemeral-storage": "1Ti"}},
        });
        Arc::new(serde_json::from_value(node).unwrap())
    };
    let queue: TrainingQueue = serde_json::from_value(json!({"metadata": {"name": "research"}, "spec": {}})).unwrap();
    let objects = Objects {
        nodes: vec![node("n1", "a"), node("n2", "b")],
        pods: pods.into_iter().map(|pod| Arc::new(serde_json::from_value(pod).unwrap())).collect(),
        classes: vec![Arc::new(class)],
        queues: vec![Arc::new(queue)],
        ..Objects::default()
    };
    World::of(objects, None)
}

/// A pod of the job's first revision, on n1 or n2.
pub fn pod(index: usize, status: serde_json::Value) -> serde_json::Value {
    json!({
        "metadata": {"name": format!("llm-r1-{index}"), "namespace": "nlp", "uid": format!("pod-{index}"),
            "labels": {"plimsoll.dev/job-name": "llm", "plimsoll.dev/revision": "1",
                "plimsoll.dev/pod-index": index.to_string()},
            "finalizers": ["plimsoll.dev/outcome"],
            "ownerReferences": [{"apiVersion": "plimsoll.dev/v1alpha1", "kind": "TrainingJob", "name": "llm",
                "uid": "job-uid"}]},
        "spec": {"nodeName": format!("n{}", index + 1), "containers": [
            {"name": "train", "resources": {"requests": {"nvidia.com/gpu": "8"}}}]},
        "status": status,
    })
}

/// The status of a pod whose trainer runs.
pub fn runs() -> serde_json::Value {
    json!({"phase": "Running", "containerStatuses": [{"name": "train", "image": "", "imageID": "", "ready": true,
        "restartCount": 0, "state": {"running": {"startedAt": "2026-11-25T11:30:00Z"}}}]})
}

/// The status of a pod whose trainer has ended.
pub fn ended(code: i32, message: &str) -> serde_json::Value {
    json!({"phase": if code == 0 { "Succeeded" } else { "Failed" }, "containerStatuses": [{"name": "train", "image": "",
        "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": code, "reason": "Error", "message": message}}}]})
}

/// The status of the job while its first revision of 16 devices is in a state.
pub fn holding(state: &str) -> serde_json::Value {
    json!({
        "summary": state,
        "conditions": [{"type": "Sized", "status": "True", "reason": "Sized", "message": "",
            "lastTransitionTime": "2026-11-25T11:29:00Z"}],
        "allocation": {
            "revision": 1, "class": "h100", "gpus": 16, "pods": 2, "gpusPerPod": 8, "nodes": ["n1", "n2"],
            "dataParallel": 16, "tensorParallel": 1, "sharding": "None", "recompute": "None", "microBatch": 4,
            "gradientAccumulation": 1, "globalBatch": 64, "batch": "4 x 1 x 16", "committedAt": "2026-11-25T11:29:00Z"},
        "lifecycle": {"state": state, "since": "2026-11-25T11:30:00Z", "lastRevision": 1},
    })
}

/// The first half of a turn.
pub fn think(world: &World, job: &Arc<TrainingJob>, known: Known) -> Turn {
    Turn::think(world, dereference(world, job), known, (&Config::default(), &mut Cache::default()), now())
}
