//! What a kubelet writes about a pod.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};

use crate::world::World;

/// Longest pause between two tries.
const PATIENCE: Duration = Duration::from_secs(2);

impl World {
    /// Writes a pod's status, however often it takes. False when the pod is gone.
    pub(crate) async fn put_status(&self, pod: &Pod, status: &Value) -> bool {
        let (api, name) = self.of(pod);
        // The UID keeps a status from a later pod of the same name.
        let patch = Patch::Strategic(json!({"metadata": {"uid": pod.metadata.uid}, "status": status}));
        let params = PatchParams { field_manager: Some("kubelet".to_owned()), ..PatchParams::default() };
        self.insist(&name, || api.patch_status(&name, &params, &patch)).await
    }

    /// Takes a pod that has ended out of the apiserver.
    pub(crate) async fn remove(&self, pod: &Pod) -> bool {
        let (api, name) = self.of(pod);
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid: pod.metadata.uid.clone(), resource_version: None }),
            ..DeleteParams::default()
        };
        self.insist(&name, || api.delete(&name, &params)).await
    }

    fn of(&self, pod: &Pod) -> (Api<Pod>, String) {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
        (Api::namespaced(self.client.clone(), namespace), pod.metadata.name.clone().unwrap_or_default())
    }

    async fn insist<T, F: Future<Output = kube::Result<T>>>(&self, pod: &str, mut write: impl FnMut() -> F) -> bool {
        let mut stop = self.stop.clone();
        let mut pause = Duration::from_millis(100);
        loop {
            let error = match write().await {
                Ok(_) => return true,
                // Gone, or another pod of that name.
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => return false,
                Err(error) => error,
            };
            tracing::warn!(pod, error = &error as &dyn std::error::Error, "a pod was not written");
            if matches!(&error, kube::Error::Api(status) if (400..500).contains(&status.code) && status.code != 429) {
                return true;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(PATIENCE),
                _ = stop.wait_for(|stop| *stop) => return false,
            }
        }
    }
}
