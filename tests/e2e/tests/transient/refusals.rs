//! Pods that the apiserver refuses. The job keeps its sentence, and starts by itself once the cause is gone.

use plimsoll_e2e::scenario::{Scenario, Sight, Step};
use serde_json::{Value, json};

use crate::containers::completes;
use crate::job::job;

pub(crate) fn all() -> Vec<Scenario> {
    vec![quota(), limits(), pod_security()]
}

fn refused(cause: Value, sight: Sight, cure: &'static str, name: &'static str) -> Scenario {
    let waits = Sight { state: "Waiting", ..sight };
    Scenario {
        name,
        manifests: vec![cause, job(name, 1, json!({}))],
        steps: vec![Step::See(waits), Step::Kubectl(cure), completes()],
    }
}

fn limits() -> Scenario {
    let small = json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "small", "namespace": "limits"},
        "spec": {"limits": [{"type": "Container", "max": {"memory": "16Mi"}}]},
    });
    let says = "maximum memory usage per Container is 16Mi";
    let rejected = Sight { reason: "PodsRejected", says, ..Sight::default() };
    refused(small, rejected, "delete limitrange small", "limits")
}

fn pod_security() -> Scenario {
    let strict = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "pod-security", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    });
    let lenient = "label namespace pod-security pod-security.kubernetes.io/enforce-";
    let says = "violates PodSecurity \"restricted:latest\"";
    let rejected = Sight { reason: "PodsRejected", says, ..Sight::default() };
    refused(strict, rejected, lenient, "pod-security")
}

fn quota() -> Scenario {
    let none = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team-a", "namespace": "quota"},
        "spec": {"hard": {"pods": "0"}},
    });
    let more = r#"patch resourcequota team-a --patch={"spec":{"hard":{"pods":"5"}}}"#;
    // The planner or the apiserver says so; both name the quota.
    refused(none, Sight { says: "team-a", ..Sight::default() }, more, "quota")
}
