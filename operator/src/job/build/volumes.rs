//! Volumes that every training pod gets: shared memory, and what it needs to report. Pure.

use serde_json::{Map, Value, json};

use super::patch::list;
use super::{BuildError, Plan};

/// Where the token and the certificate authority are mounted.
const FOLDER: &str = "/var/run/secrets/plimsoll.dev";
/// File with the bearer token.
pub const TOKEN_FILE: &str = "/var/run/secrets/plimsoll.dev/token";
/// File with the certificate authority of the progress endpoint.
pub const CA_FILE: &str = "/var/run/secrets/plimsoll.dev/ca.crt";
/// ConfigMap with that authority, in every namespace that has jobs.
pub const CA_CONFIG_MAP: &str = "plimsoll-progress-ca";

/// Seconds for which a token holds; the kubelet renews it at four fifths.
const TOKEN_SECONDS: u32 = 3600;

/// The audience of a job's tokens: a token of one job says nothing for another.
pub fn audience(namespace: &str, job: &str) -> String {
    format!("plimsoll.dev/{namespace}/{job}")
}

/// Adds the volume that a program reports with.
pub(super) fn add_report(spec: &mut Map<String, Value>, plan: &Plan<'_>) -> Result<(), BuildError> {
    let sources = json!([
        {"serviceAccountToken": {
            "audience": audience(plan.namespace, plan.name), "expirationSeconds": TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": CA_CONFIG_MAP, "items": [{"key": "ca.crt", "path": "ca.crt"}], "optional": true}},
    ]);
    list(spec, "volumes", "volumes")?.push(json!({"name": "plimsoll-report", "projected": {"sources": sources}}));
    Ok(())
}

/// Mounts the volume that a program reports with.
pub(super) fn mount_report(container: &mut Map<String, Value>) -> Result<(), BuildError> {
    let mount = json!({"name": "plimsoll-report", "mountPath": FOLDER, "readOnly": true});
    list(container, "volumeMounts", "volumeMounts of a container")?.push(mount);
    Ok(())
}

/// Adds shared memory: data loaders and collectives of a node pass tensors through it, and 64 MiB are not enough.
pub(super) fn add_shm(spec: &mut Map<String, Value>, bytes: u64) -> Result<(), BuildError> {
    let volume = json!({"name": "plimsoll-shm", "emptyDir": {"medium": "Memory", "sizeLimit": bytes.to_string()}});
    list(spec, "volumes", "volumes")?.push(volume);
    Ok(())
}

/// Mounts shared memory.
pub(super) fn mount_shm(container: &mut Map<String, Value>) -> Result<(), BuildError> {
    let mount = json!({"name": "plimsoll-shm", "mountPath": "/dev/shm"});
    list(container, "volumeMounts", "volumeMounts of a container")?.push(mount);
    Ok(())
}
