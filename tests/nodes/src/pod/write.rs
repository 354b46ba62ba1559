//! Writes what the kubelet says to the apiserver.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use serde_json::Value;
use tokio::sync::watch;

use super::News;
use super::status::{Picture, refusal};

/// Pause after the first failed write; doubles up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// Writes about one pod. A write that fails is tried again until the pod is known to be gone: an apiserver that is away
/// must not lose how a container ended.
#[derive(Clone)]
pub struct Writer {
    pods: Api<Pod>,
    name: String,
    uid: Option<String>,
}

impl Writer {
    /// Writes about a pod.
    pub fn of(client: &Client, pod: &Pod) -> Self {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
        let name = pod.metadata.name.clone().unwrap_or_default();
        Self { pods: Api::namespaced(client.clone(), namespace), name, uid: pod.metadata.uid.clone() }
    }

    /// Writes its status.
    pub async fn status(&self, pod: &Pod, picture: &Picture) {
        self.patch(picture.patch(pod, Timestamp::now())).await;
    }

    /// Writes its newest status beside whoever changes it, so that an apiserver that is away holds up nothing else. Ends
    /// once the last status is written and no other can come.
    pub async fn follow(self, news: News, mut pictures: watch::Receiver<Picture>) {
        while pictures.changed().await.is_ok() {
            let (pod, picture) = (news.borrow().clone(), pictures.borrow_and_update().clone());
            self.status(&pod, &picture).await;
        }
    }

    /// Says that the kubelet does not take it.
    pub async fn refuse(&self, pod: &Pod, reason: &str, message: &str) {
        self.patch(refusal(pod, reason, message, Timestamp::now())).await;
    }

    /// Lets go of a pod whose containers have ended. It stays while somebody's finalizer is on it.
    pub async fn let_go(&self) {
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid: self.uid.clone(), resource_version: None }),
            ..DeleteParams::default()
        };
        let mut pause = PAUSE;
        while let Err(error) = self.pods.delete(&self.name, &params).await {
            if !self.is_worth_another_try(&error, &mut pause).await {
                return;
            }
        }
    }

    async fn patch(&self, patch: Value) {
        let params = PatchParams { field_manager: Some("plimsoll-fleet".to_owned()), ..PatchParams::default() };
        let mut pause = PAUSE;
        while let Err(error) = self.pods.patch_status(&self.name, &params, &Patch::Strategic(&patch)).await {
            if !self.is_worth_another_try(&error, &mut pause).await {
                return;
            }
        }
    }

    async fn is_worth_another_try(&self, error: &kube::Error, pause: &mut Duration) -> bool {
        if let kube::Error::Api(status) = error {
            // Gone, or another pod of the same name.
            if matches!(status.code, 404 | 409) {
                return false;
            }
            if matches!(status.code, 400..=499) && status.code != 429 {
                tracing::error!(pod = self.name, %error, "the apiserver refuses what the kubelet says");
                return false;
            }
        }
        tracing::warn!(pod = self.name, %error, "the apiserver did not take what the kubelet says");
        tokio::time::sleep(*pause).await;
        *pause = (*pause * 2).min(LONGEST_PAUSE);
        true
    }
}
