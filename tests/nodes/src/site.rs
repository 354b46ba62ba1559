//! What all parts of the fleet share.

use std::path::PathBuf;
use std::time::Duration;

use kube::Client;
use tokio::sync::watch;

use crate::access::Door;
use crate::program::Programs;
use crate::register::Register;
use crate::spec::FleetSpec;

/// What all parts of the fleet share.
pub(crate) struct Site {
    /// What was asked for.
    pub spec: FleetSpec,
    /// The administrator's client.
    pub client: Client,
    /// Where programs of pods find the apiserver.
    pub door: Door,
    /// The fleet's own account.
    pub register: Register,
    /// The training programs.
    pub programs: Programs,
    /// True once the fleet is to end.
    pub stop: watch::Receiver<bool>,
}

impl Site {
    /// How long a container takes to start.
    pub fn startup(&self) -> Duration {
        self.spec.startup
    }

    /// A folder of a pod's own.
    pub fn pod_folder(&self, namespace: &str, name: &str) -> PathBuf {
        self.spec.folder.join("pods").join(format!("{namespace}_{name}"))
    }
}

/// Waits until the fleet is to end.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Whoever held the other end is gone: that is an end too.
    let _ = stop.wait_for(|stop| *stop).await;
}
