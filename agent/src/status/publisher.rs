//! Writes the status of the node's AcceleratorNode.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource};
use plimsoll_crds::accelerator_node::{AcceleratorNode, AcceleratorNodeStatus};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Pace, Written, should_write, status};
use crate::metrics::AgentMetrics;
use crate::snapshot::Snapshot;

/// Under which name the agent owns the status.
const FIELD_MANAGER: &str = "plimsoll-agent";

/// How long the apiserver may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// First and longest wait after a write that failed.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// Writes the status of the node's AcceleratorNode when there is something to say. Never creates the object.
#[derive(Debug)]
pub struct Publisher {
    nodes: Api<AcceleratorNode>,
    node: String,
    pace: Pace,
    metrics: AgentMetrics,
    last: Option<Written>,
    /// Not before, after a failure; and how long that wait was.
    retry: Option<(Instant, Duration)>,
}

/// The status did not reach the apiserver.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error("failed to write status: the apiserver did not answer in time")]
    Late,
    #[error("failed to write status")]
    Refused(#[source] Box<kube::Error>),
}

/// The whole intent, and nothing that is not ours: what an apply leaves out is taken away.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Intent<'a> {
    api_version: String,
    kind: String,
    metadata: Name<'a>,
    status: &'a AcceleratorNodeStatus,
}

#[derive(Debug, Serialize)]
struct Name<'a> {
    name: &'a str,
}

impl Publisher {
    /// Writes for a node.
    #[must_use]
    pub fn new(client: Client, node: &str, pace: Pace, metrics: AgentMetrics) -> Self {
        Self { nodes: Api::all(client), node: node.to_owned(), pace, metrics, last: None, retry: None }
    }

    /// Follows the snapshots until they end.
    pub async fn run(mut self, mut snapshots: watch::Receiver<Arc<Snapshot>>) {
        while snapshots.changed().await.is_ok() {
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            self.look(&snapshot).await;
        }
    }

    async fn look(&mut self, snapshot: &Snapshot) {
        let now = Instant::now();
        if self.retry.is_some_and(|(until, _)| now < until) {
            return;
        }
        let Some(new) = status(snapshot, Timestamp::now()) else { return };
        let Some(cause) = should_write(self.last.as_ref(), &new, now, &self.pace) else { return };
        match self.write(&new).await {
            Ok(()) => {
                self.metrics.status_writes.with_label_values(&["written"]).inc();
                tracing::debug!(?cause, "status written");
                self.retry = None;
                self.last = Some(Written { status: new, at: now });
            }
            Err(WriteError::Refused(error)) if is_absent(&error) => {
                self.metrics.status_writes.with_label_values(&["absent"]).inc();
                tracing::info!(node = self.node, "no AcceleratorNode of this name yet");
                self.last = None;
                self.back_off();
            }
            Err(error) => {
                self.metrics.status_writes.with_label_values(&["failed"]).inc();
                tracing::warn!(error = &error as &dyn std::error::Error, "status not written");
                self.back_off();
            }
        }
    }

    async fn write(&self, new: &AcceleratorNodeStatus) -> Result<(), WriteError> {
        let intent = Intent {
            api_version: AcceleratorNode::api_version(&()).into_owned(),
            kind: AcceleratorNode::kind(&()).into_owned(),
            metadata: Name { name: &self.node },
            status: new,
        };
        // By force, because nobody else may own any of it.
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(&intent);
        let write = self.nodes.patch_status(&self.node, &parameters, &patch);
        match timeout(PATIENCE, write).await {
            Err(_) => Err(WriteError::Late),
            Ok(answer) => answer.map(drop).map_err(|error| WriteError::Refused(Box::new(error))),
        }
    }

    fn back_off(&mut self) {
        let (first, longest) = BACKOFF;
        let wait = self.retry.map_or(first, |(_, last)| (last * 2).min(longest)).min(self.pace.interval);
        self.retry = Some((Instant::now() + wait, wait));
    }
}

fn is_absent(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_not_found())
}
