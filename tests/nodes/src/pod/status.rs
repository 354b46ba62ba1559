//! The status of a pod, as its kubelet would write it. Pure.

use jiff::{Timestamp, Unit};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Phase of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its containers are being made.
    Pending,
    /// At least one runs.
    Running,
    /// All ended well.
    Succeeded,
    /// All ended, one of them badly.
    Failed,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code.
    pub code: i32,
    /// Its last word.
    pub message: String,
}

/// What a container does.
#[derive(Clone, Debug, PartialEq)]
pub enum ContainerState {
    /// It is not there yet, for this reason.
    Waiting(&'static str),
    /// It runs.
    Running {
        /// Since when.
        since: Timestamp,
        /// Whether it says that it is ready.
        ready: bool,
    },
    /// It has ended.
    Ended {
        /// Since when it ran.
        since: Timestamp,
        /// When it ended.
        at: Timestamp,
        /// How.
        how: Ended,
    },
}

/// All that a kubelet says of a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// When the kubelet first saw it.
    pub started: Timestamp,
    /// Its containers, by name.
    pub containers: Vec<(String, ContainerState)>,
    /// How often its containers were restarted.
    pub restarts: u32,
    /// How its container ended before.
    pub last: Option<ContainerState>,
}

impl Ended {
    /// An end with nothing to say.
    pub fn with(code: i32) -> Self {
        Self { code, message: String::new() }
    }

    fn reason(&self) -> &'static str {
        if self.code == 0 { "Completed" } else { "Error" }
    }
}

impl Picture {
    /// A pod whose containers are being made.
    pub fn new(pod: &Pod, now: Timestamp) -> Self {
        let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
        let waiting = |name: &String| (name.clone(), ContainerState::Waiting("ContainerCreating"));
        let containers = containers.iter().map(|container| waiting(&container.name)).collect();
        Self { started: now, containers, restarts: 0, last: None }
    }

    /// Lets every container do the same.
    pub fn set_all(&mut self, state: &ContainerState) {
        for (_, own) in &mut self.containers {
            *own = state.clone();
        }
    }

    /// Ends containers that still run; all, or the one of this name.
    pub fn end(&mut self, only: Option<&str>, how: &Ended, now: Timestamp) {
        for (name, state) in &mut self.containers {
            let since = match state {
                ContainerState::Ended { .. } => continue,
                ContainerState::Running { since, .. } => *since,
                ContainerState::Waiting(_) => now,
            };
            if only.is_none_or(|only| only == name) {
                *state = ContainerState::Ended { since, at: now, how: how.clone() };
            }
        }
    }

    /// The phase that follows from the containers, for a pod that is not restarted.
    pub fn phase(&self) -> Phase {
        let states = || self.containers.iter().map(|(_, state)| state);
        if states().all(|state| matches!(state, ContainerState::Waiting("ContainerCreating"))) {
            return Phase::Pending;
        }
        if !states().all(|state| matches!(state, ContainerState::Ended { .. })) {
            return Phase::Running;
        }
        let well = states().all(|state| matches!(state, ContainerState::Ended { how, .. } if how.code == 0));
        if well { Phase::Succeeded } else { Phase::Failed }
    }

    /// The patch of a pod's status: strategic, so that conditions of others stay.
    pub fn patch(&self, pod: &Pod, now: Timestamp) -> Value {
        let phase = self.phase();
        let ready = self.containers.iter().all(|(_, s)| matches!(s, ContainerState::Running { ready: true, .. }));
        let conditions = [
            ("PodReadyToStartContainers", phase == Phase::Running),
            ("Initialized", true),
            ("ContainersReady", ready),
            ("Ready", ready),
        ];
        let (ip, host) = addresses(pod);
        let mut status = json!({
            "phase": format!("{phase:?}"),
            "startTime": time(self.started),
            "conditions": conditions.map(|(kind, holds)| condition(pod, kind, holds, phase, now)),
            "containerStatuses": self.containers.iter().map(|c| self.container(pod, c)).collect::<Vec<_>>(),
            "hostIP": host,
            "hostIPs": [{"ip": host}],
        });
        if phase == Phase::Running {
            status["podIP"] = json!(ip);
            status["podIPs"] = json!([{"ip": ip}]);
        }
        if let Some(init) = init_containers(pod, phase, self.started) {
            status["initContainerStatuses"] = init;
        }
        json!({"metadata": {"uid": pod.metadata.uid}, "status": status})
    }

    fn container(&self, pod: &Pod, (name, state): &(String, ContainerState)) -> Value {
        let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
        let image = containers.iter().find(|container| container.name == *name).and_then(|c| c.image.clone());
        let mut status = json!({
            "name": name, "image": image.unwrap_or_default(), "imageID": "", "restartCount": self.restarts,
            "ready": matches!(state, ContainerState::Running { ready: true, .. }),
            "started": matches!(state, ContainerState::Running { .. }),
            "state": state.value(),
        });
        if let Some(last) = &self.last {
            status["lastState"] = last.value();
        }
        status
    }
}

impl ContainerState {
    fn value(&self) -> Value {
        match self {
            Self::Waiting(reason) => json!({"waiting": {"reason": reason}}),
            Self::Running { since, .. } => json!({"running": {"startedAt": time(*since)}}),
            Self::Ended { since, at, how } => json!({"terminated": {
                "exitCode": how.code, "reason": how.reason(), "message": how.message,
                "startedAt": time(*since), "finishedAt": time(*at)}}),
        }
    }
}

/// The patch of a pod that the kubelet does not take.
pub(super) fn refusal(pod: &Pod, reason: &str, message: &str, now: Timestamp) -> Value {
    json!({"metadata": {"uid": pod.metadata.uid}, "status": {
        "phase": "Failed", "reason": reason, "message": message, "startTime": time(now)}})
}

/// A condition keeps its time as long as it keeps its word.
fn condition(pod: &Pod, kind: &str, holds: bool, phase: Phase, now: Timestamp) -> Value {
    let word = if holds { "True" } else { "False" };
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let before = conditions.into_iter().flatten().find(|c| c.type_ == kind && c.status == word);
    let at = before.and_then(|c| Some(c.last_transition_time.as_ref()?.0)).unwrap_or(now);
    let reason = match phase {
        _ if holds || kind == "Initialized" => Value::Null,
        Phase::Succeeded => json!("PodCompleted"),
        Phase::Failed if kind != "PodReadyToStartContainers" => json!("PodFailed"),
        _ if kind == "PodReadyToStartContainers" => Value::Null,
        _ => json!("ContainersNotReady"),
    };
    json!({"type": kind, "status": word, "lastTransitionTime": time(at), "reason": reason})
}

fn init_containers(pod: &Pod, phase: Phase, started: Timestamp) -> Option<Value> {
    let containers = pod.spec.as_ref()?.init_containers.as_ref().filter(|all| !all.is_empty())?;
    let done = phase != Phase::Pending;
    let status = |container: &k8s_openapi::api::core::v1::Container| {
        let stays = container.restart_policy.as_deref() == Some("Always");
        let state = match (done, stays && phase == Phase::Running) {
            (false, _) => json!({"waiting": {"reason": "PodInitializing"}}),
            (true, true) => json!({"running": {"startedAt": time(started)}}),
            (true, false) => json!({"terminated": {"exitCode": 0, "reason": "Completed",
                "startedAt": time(started), "finishedAt": time(started)}}),
        };
        json!({"name": container.name, "image": container.image, "imageID": "", "ready": done, "restartCount": 0,
            "started": done && stays, "state": state})
    };
    Some(containers.iter().map(status).collect())
}

/// Addresses of a pod and of its node. Nothing listens on them; they are no loopback addresses because EndpointSlices
/// refuse those, and always the same for a pod.
pub(super) fn addresses(pod: &Pod) -> (String, String) {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
    let of = |first: u8, text: &str| {
        let digest = Sha256::digest(text);
        // Neither the network's own address nor its broadcast.
        format!("10.{first}.{}.{}", digest[0], 1 + digest[1] % 254)
    };
    (of(244, pod.metadata.uid.as_deref().unwrap_or_default()), of(200, node))
}

/// Kubernetes keeps seconds.
fn time(at: Timestamp) -> String {
    at.round(Unit::Second).unwrap_or(at).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "uid": "u"},
            "spec": {"nodeName": "n", "containers": [{"name": "train", "image": "i"}, {"name": "side"}]},
        }))
        .unwrap()
    }

    #[test]
    fn a_pod_goes_from_pending_over_running_to_its_end() {
        let now = Timestamp::UNIX_EPOCH;
        let mut picture = Picture::new(&pod(), now);
        assert_eq!(picture.phase(), Phase::Pending);
        picture.set_all(&ContainerState::Running { since: now, ready: true });
        assert_eq!(picture.phase(), Phase::Running);
        picture.end(Some("train"), &Ended::with(0), now);
        assert_eq!(picture.phase(), Phase::Running, "the other container still runs");
        picture.end(None, &Ended::with(143), now);
        assert_eq!(picture.phase(), Phase::Failed);
        let patch = picture.patch(&pod(), now);
        assert_eq!(patch["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 0);
        assert_eq!(patch["status"]["containerStatuses"][1]["state"]["terminated"]["exitCode"], 143);
        assert!(patch["status"]["podIP"].is_null());
    }

    #[test]
    fn the_patch_is_a_status_that_kubernetes_knows() {
        let now = Timestamp::UNIX_EPOCH;
        let mut picture = Picture::new(&pod(), now);
        picture.set_all(&ContainerState::Running { since: now, ready: true });
        let patched: Pod = serde_json::from_value(picture.patch(&pod(), now)).unwrap();
        let status = patched.status.unwrap();
        assert_eq!(status.phase.as_deref(), Some("Running"));
        assert!(status.conditions.unwrap().iter().any(|c| c.type_ == "Ready" && c.status == "True"));
        assert!(status.pod_ip.unwrap().starts_with("10.244."));
    }
}
