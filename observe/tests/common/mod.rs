//! Clusters from YAML.

#![allow(dead_code, reason = "every test file uses a part of it")]
#![allow(clippy::panic, reason = "helpers of tests")]

use std::sync::Arc;

use jiff::Timestamp;
use plimsoll_crds::{TrainingJob, TrainingJobSpec};
use plimsoll_menu::{Layout, Shape};
use plimsoll_observe::{Objects, Planned, Settings, current};
use plimsoll_scheduling::{Allocation, Snapshot, Standing};
use serde_json::Value;

/// The instant of every test.
pub fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().expect("a time")
}

/// Objects of a cluster and its jobs; a job with an allocation is placed.
pub fn cluster(yaml: &str) -> (Objects, Vec<Planned>) {
    let mut objects = Objects { pod_priority_class: "training".to_owned(), ..Objects::default() };
    let mut jobs = Vec::new();
    for document in serde_yaml::from_multiple::<Value>(yaml).expect("YAML documents") {
        match document["kind"].as_str().expect("a kind") {
            "Node" => objects.nodes.push(read(document)),
            "Pod" => objects.pods.push(read(document)),
            "AcceleratorClass" => objects.classes.push(read(document)),
            "AcceleratorNode" => objects.accelerator_nodes.push(read(document)),
            "TrainingQueue" => objects.queues.push(read(document)),
            "Namespace" => objects.namespaces.push(read(document)),
            "PriorityClass" => objects.priority_classes.push(read(document)),
            "ResourceQuota" => objects.resource_quotas.push(read(document)),
            "TrainingJob" => jobs.push(planned(read(document))),
            other => panic!("no place for a {other}"),
        }
    }
    (objects, jobs)
}

fn read<K: serde::de::DeserializeOwned>(document: Value) -> Arc<K> {
    Arc::new(serde_json::from_value(document).expect("an object of its kind"))
}

/// A job as the operator would hand it over.
pub fn planned(job: Arc<TrainingJob>) -> Planned {
    let allocation = job.status.as_ref().and_then(|status| status.allocation.as_ref());
    let standing = allocation.map_or(Standing::Waiting, |a| {
        let runs = current(a).expect("an allocation that makes sense");
        Standing::Placed(placed(a.revision as u32, runs.shape, runs.layout, a.nodes.clone()))
    });
    Planned {
        job,
        menu: Arc::default(),
        standing,
        restart_seconds: 120.0,
        remaining_steps: Some(1000),
        waiting_since: None,
    }
}

fn placed(revision: u32, shape: Shape, layout: Layout, nodes: Vec<String>) -> Allocation {
    Allocation {
        revision,
        batch: plimsoll_menu::Batch { micro: 1, accumulation: 1, global: layout.data },
        shape,
        layout,
        nodes,
        since: now(),
        running: true,
        observed: false,
        step_seconds: None,
        live_batch: false,
        moves_last_hour: 0,
        last_move: None,
        checkpoint_age_seconds: 0.0,
    }
}

/// The snapshot of a cluster.
pub fn snapshot(yaml: &str) -> Snapshot {
    let (objects, jobs) = cluster(yaml);
    plimsoll_observe::snapshot(&objects, &jobs, &Settings::default(), now())
}

/// A specification around a pod template, with further fields before it.
pub fn spec(fields: &str, template: &str) -> TrainingJobSpec {
    let yaml = format!(
        "{{model: {{custom: {{parameters: 1000000, forwardFlopsPerSample: 1000000, activationBytesPerSample: 0}}}}, data: {{samples: 1000}}, batch: {{global: {{preferred: 8}}}}, accelerators: {{}}, {fields} template: {template}}}"
    );
    serde_yaml::from_str(&yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"))
}

/// A node with devices of class h100.
pub fn node(name: &str, fields: &str) -> String {
    format!(
        "
---
kind: Node
apiVersion: v1
metadata: {{name: {name}, labels: {{nvidia.com/gpu.product: H100, kubernetes.io/hostname: {name}}}}}
spec: {{{fields}}}
status:
  allocatable: {{cpu: 95500m, memory: 1000Gi, ephemeral-storage: 400Gi, pods: '110', nvidia.com/gpu: '8'}}
  conditions: [{{type: Ready, status: 'True'}}]
"
    )
}

/// The class of those devices, under any name.
pub fn class(name: &str) -> String {
    format!(
        "
---
kind: AcceleratorClass
apiVersion: plimsoll.dev/v1alpha1
metadata: {{name: {name}}}
spec:
  nodeSelector: {{nvidia.com/gpu.product: H100}}
  resourceName: nvidia.com/gpu
  memory: 80998Mi
  bandwidthBytesPerSecond: 3350G
  peakFlops: {{bf16: 989500G}}
"
    )
}

/// A pod bound to a node, with devices of it.
pub fn pod(name: &str, node: &str, gpus: u32, phase: &str, labels: &str) -> String {
    format!(
        "
---
kind: Pod
apiVersion: v1
metadata: {{name: {name}, namespace: team, labels: {{{labels}}}}}
spec:
  nodeName: {node}
  containers: [{{name: main, resources: {{requests: {{cpu: '4', memory: 16Gi, nvidia.com/gpu: '{gpus}'}}}}}}]
status: {{phase: {phase}}}
"
    )
}

/// A job that holds two devices of each node by revision 2.
pub fn running_job(nodes: &[&str]) -> String {
    let (pods, gpus) = (nodes.len(), 2 * nodes.len());
    format!(
        "
---
kind: TrainingJob
apiVersion: plimsoll.dev/v1alpha1
metadata: {{name: llama, namespace: team, uid: u1, creationTimestamp: '2026-11-20T10:00:00Z'}}
spec:
  model: {{custom: {{parameters: 1000000, forwardFlopsPerSample: 1000000, activationBytesPerSample: 0}}}}
  data: {{samples: 1000}}
  batch: {{global: {{preferred: {gpus}}}}}
  template: {{spec: {{containers: [{{name: main}}]}}}}
status:
  allocation: {{revision: 2, class: h100, gpus: {gpus}, pods: {pods}, gpusPerPod: 2, nodes: [{}], dataParallel: {gpus},
    tensorParallel: 1, sharding: None, recompute: None, microBatch: 1, gradientAccumulation: 1, globalBatch: {gpus}, batch: 1x1x{gpus}}}
",
        nodes.join(", ")
    )
}
