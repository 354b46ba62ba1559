//! What all parts of the fleet share.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use tokio::sync::watch;

use crate::access::Door;
use crate::fleet::FleetSpec;
use crate::record::Record;
use crate::training::{Gangs, Storage};
use crate::truth::Truth;

/// What all parts of the fleet share.
pub(crate) struct World {
    /// What was asked for.
    pub(crate) spec: FleetSpec,
    /// The administrator's client.
    pub(crate) client: Client,
    /// Where programs of pods find the apiserver.
    pub(crate) door: Door,
    /// What is really so.
    pub(crate) truth: Truth,
    /// The fleet's own account.
    pub(crate) record: Record,
    /// Training programs that run.
    pub(crate) gangs: Gangs,
    /// Where training programs leave their checkpoints.
    pub(crate) storage: Storage,
    /// True once the fleet is to end.
    pub(crate) stop: watch::Receiver<bool>,
    /// Addresses of pods that were given away.
    pub(crate) addresses: AtomicU32,
}

impl World {
    /// The address of a pod: its own where an earlier fleet gave it one. Nobody listens there: it stands in statuses, and
    /// the apiserver takes no loopback addresses into EndpointSlices.
    pub(crate) fn address(&self, pod: &Pod) -> String {
        if let Some(own) = pod.status.as_ref().and_then(|status| status.pod_ip.clone()) {
            return own;
        }
        let number = self.addresses.fetch_add(1, Ordering::Relaxed);
        // A network for each fleet, so that addresses of an earlier one are not given again.
        format!("10.{}.{}.{}", 64 + std::process::id() % 32, number / 250 % 250, number % 250 + 1)
    }

    /// A folder of a pod's own.
    pub(crate) fn pod_folder(&self, namespace: &str, name: &str) -> PathBuf {
        self.spec.folder.join("pods").join(format!("{namespace}_{name}"))
    }
}
