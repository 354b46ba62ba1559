//! The job of a scenario: the demo trainer on one accelerator, and what is special about it.

use serde_json::{Value, json};

/// The image of the trainer, as the stage imports it.
const IMAGE: &str = concat!("localhost/plimsoll-demo-trainer:", env!("CARGO_PKG_VERSION"));

/// A job of this name, in a namespace of this name, that trains for so many seconds. `changes` is merged into it.
pub(crate) fn job(name: &str, seconds: u32, changes: Value) -> Value {
    let mut job = json!({
        "apiVersion": "plimsoll.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name, "namespace": name},
        "spec": {
            "queueName": "default",
            "rightsizing": {"mode": "Off"},
            "model": {"custom": {
                "parameters": 10_000_000, "forwardFlopsPerSample": 20_000_000, "activationBytesPerSample": 4_000_000}},
            "data": {"samples": 64_000},
            "batch": {"global": {"preferred": 64}},
            "accelerators": {"classes": ["l4"], "requested": 1},
            "failurePolicy": {"maxFailures": 0},
            "template": {"spec": {"containers": [program("trainer", &[&format!("--seconds={seconds}")])]}},
        },
    });
    merge(&mut job, changes);
    job
}

/// What makes a job keep its checkpoints where its next revision finds them.
pub(crate) fn with_checkpoints() -> Value {
    let volume = json!({"name": "state", "hostPath": {"path": "$STATE", "type": "DirectoryOrCreate"}});
    json!({"spec": {
        "checkpoint": {"path": "/checkpoints", "seconds": 1, "onRequest": true, "onSignal": true},
        "template": {"spec": {
            // The folder is made by the kubelet, and so root's.
            "securityContext": {"runAsUser": 0},
            "volumes": [volume],
            "containers": {"0": {"volumeMounts": [{"name": "state", "mountPath": "/checkpoints"}]}},
        }},
    }})
}

/// A container that runs the trainer as something else: it neither reports nor saves.
pub(crate) fn beside(name: &str, arguments: &[&str]) -> Value {
    program(name, &[arguments, &["--server-url=", "--checkpoint-dir=", "--resume-dir="]].concat())
}

fn program(name: &str, arguments: &[&str]) -> Value {
    json!({
        "name": name,
        "image": IMAGE,
        "args": arguments,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
    })
}

/// Merges objects; a number as a key is an index into a list, which may be the one after its last.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Object(from)) => {
            for (key, value) in from {
                let index: usize = key.parse().unwrap();
                if index == into.len() {
                    into.push(Value::Null);
                }
                merge(&mut into[index], value);
            }
        }
        (into, from) => *into = from,
    }
}
