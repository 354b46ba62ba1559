//! What keeps a pod that was created from running: the scheduler's or the kubelet's own words. Pure.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::end::is_sidecar;
use super::is_unschedulable;

/// What a container waits for in the ordinary course of things.
const ORDINARY: [&str; 3] = ["", "ContainerCreating", "PodInitializing"];

/// What keeps a pod from running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldUp {
    /// A container does not start: the kubelet tries again, but somebody should look.
    Stuck {
        /// The kubelet's word, such as `ImagePullBackOff`.
        reason: String,
        /// Its sentence, with the container that it is about.
        message: String,
    },
    /// It waits for something that may come by itself.
    Waits {
        /// For what.
        message: String,
    },
}

impl HoldUp {
    /// What keeps a pod, as far as it says so.
    pub(super) fn of(pod: &Pod) -> Option<Self> {
        if is_unschedulable(pod) {
            let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
            let words = conditions.filter(|c| c.type_ == "PodScheduled").find_map(|c| c.message.as_deref());
            let message = format!("no node takes it: {}", words.unwrap_or_default());
            return Some(Self::Waits { message });
        }
        let status = pod.status.as_ref()?;
        let init = || status.init_container_statuses.iter().flatten();
        let stuck = |kind: &'static str| move |container: &ContainerStatus| stuck(kind, container);
        init()
            .find_map(stuck("init container"))
            .or_else(|| status.container_statuses.iter().flatten().find_map(stuck("container")))
            .or_else(|| init().find_map(|container| busy(pod, container)))
    }

    /// What it is, in a sentence.
    pub fn message(&self) -> &str {
        match self {
            Self::Stuck { message, .. } | Self::Waits { message } => message,
        }
    }
}

/// A container that waits for something that does not come by itself.
fn stuck(kind: &str, container: &ContainerStatus) -> Option<HoldUp> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().unwrap_or_default();
    if ORDINARY.contains(&reason) {
        return None;
    }
    let what = format!("{kind} {} waits: {reason}", container.name);
    let message = match waiting.message.as_deref() {
        Some(words) => format!("{what}: {words}"),
        None => what,
    };
    Some(HoldUp::Stuck { reason: reason.to_owned(), message })
}

fn busy(pod: &Pod, init: &ContainerStatus) -> Option<HoldUp> {
    let runs = init.state.as_ref()?.running.is_some() && !is_sidecar(pod, &init.name);
    runs.then(|| HoldUp::Waits { message: format!("init container {} runs", init.name) })
}
