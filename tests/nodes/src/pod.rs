//! A pod of a node that we play: what kind it is, and what becomes of it.

mod containers;
mod status;
mod variables;
mod write;

use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use plimsoll_crds::labels;
use tokio::sync::watch;

pub use containers::{trainer, wanted_devices};
pub use status::{ContainerState, Ended, Phase, Picture};
pub use variables::{expand, variables};
pub use write::Writer;

/// What a pod is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A pod of a training job.
    Job,
    /// A pod of Plimsoll itself.
    System,
    /// A pod that kwok plays. It may hold devices.
    Foreign,
}

/// What is told of a pod: its newest object. When nobody tells any more, the pod is gone.
pub type News = watch::Receiver<Arc<core::Pod>>;

/// What became of a pod while its containers were left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Somebody deleted it; its containers have this many seconds.
    Deleted {
        /// Seconds between SIGTERM and SIGKILL.
        grace: u64,
    },
    /// It is there no more.
    Gone,
}

impl Kind {
    /// The kind of a pod.
    pub fn of(pod: &core::Pod) -> Self {
        let label = |key: &str| pod.metadata.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str);
        // Pods of jobs are part of Plimsoll too, so that the job comes first.
        match (label(labels::JOB_NAME), label(labels::PART_OF)) {
            (Some(_), _) => Self::Job,
            (None, Some("plimsoll")) => Self::System,
            _ => Self::Foreign,
        }
    }
}

/// Waits until a pod is deleted or gone.
pub async fn fate(news: &mut News) -> Fate {
    loop {
        let metadata = news.borrow_and_update().metadata.clone();
        if metadata.deletion_timestamp.is_some() {
            let grace = metadata.deletion_grace_period_seconds.unwrap_or(30);
            return Fate::Deleted { grace: u64::try_from(grace).unwrap_or(0) };
        }
        if news.changed().await.is_err() {
            return Fate::Gone;
        }
    }
}

/// Waits until a pod is gone.
pub async fn gone(news: &mut News) {
    while news.changed().await.is_ok() {}
}

/// Node that a pod is bound to.
pub fn node_name(pod: &core::Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|name| !name.is_empty())
}

/// An annotation of a pod.
pub fn annotation<'a>(pod: &'a core::Pod, key: &str) -> Option<&'a str> {
    pod.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

/// Whether its containers can run no more.
pub fn is_final(pod: &core::Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(labels: serde_json::Value) -> core::Pod {
        serde_json::from_value(json!({"metadata": {"labels": labels}})).unwrap()
    }

    #[test]
    fn a_pod_of_a_job_is_one_although_it_is_part_of_plimsoll() {
        let part = "app.kubernetes.io/part-of";
        assert_eq!(Kind::of(&pod(json!({part: "plimsoll", "plimsoll.dev/job-name": "a"}))), Kind::Job);
        assert_eq!(Kind::of(&pod(json!({part: "plimsoll"}))), Kind::System);
        assert_eq!(Kind::of(&pod(json!({part: "other"}))), Kind::Foreign);
    }

    #[tokio::test]
    async fn a_deleted_pod_has_its_grace_and_one_that_nobody_tells_of_is_gone() {
        let (tell, mut news) = watch::channel(Arc::new(pod(json!({}))));
        let mut deleted = pod(json!({}));
        deleted.metadata = serde_json::from_value(
            json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 7}),
        )
        .unwrap();
        tell.send_replace(Arc::new(deleted));
        assert_eq!(fate(&mut news).await, Fate::Deleted { grace: 7 });
        let (tell, mut news) = watch::channel(Arc::new(pod(json!({}))));
        drop(tell);
        assert_eq!(fate(&mut news).await, Fate::Gone);
    }
}
