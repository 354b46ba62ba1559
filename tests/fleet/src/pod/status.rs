//! The status of a pod, as a kubelet writes it. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use serde_json::{Value, json};

/// What a pod's main container does; the others follow it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum State {
    /// It does not run, for this reason.
    Waiting(&'static str),
    /// It runs since then.
    Running(Timestamp),
    /// It has ended.
    Ended(End),
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct End {
    /// Exit code.
    pub(crate) code: i32,
    /// Termination message.
    pub(crate) message: Option<String>,
    /// When it had started.
    pub(crate) started: Timestamp,
    /// When it ended.
    pub(crate) finished: Timestamp,
}

/// All that a status is made of.
#[derive(Clone, Debug)]
pub(crate) struct View<'a> {
    /// Name of the main container.
    pub(crate) main: &'a str,
    /// What it does.
    pub(crate) state: State,
    /// How it ended the last time.
    pub(crate) last: Option<End>,
    /// How often it was started again.
    pub(crate) restarts: i32,
    /// Whether it is ready.
    pub(crate) ready: bool,
    /// The pod's address.
    pub(crate) ip: &'a str,
    /// The node's address.
    pub(crate) host_ip: Option<&'a str>,
    /// Now.
    pub(crate) now: Timestamp,
}

impl End {
    /// Why, in the kubelet's word.
    fn reason(&self) -> &'static str {
        if self.code == 0 { "Completed" } else { "Error" }
    }

    fn json(&self) -> Value {
        let mut text = json!({
            "exitCode": self.code, "reason": self.reason(), "startedAt": self.started, "finishedAt": self.finished,
        });
        if let Some(message) = &self.message {
            text["message"] = json!(message);
        }
        text
    }
}

impl View<'_> {
    /// The status, to be merged into the pod's own.
    pub(crate) fn status(&self, pod: &Pod) -> Value {
        let spec = pod.spec.as_ref();
        let phase = match &self.state {
            State::Ended(end) if end.code == 0 => "Succeeded",
            State::Ended(_) => "Failed",
            State::Running(_) => "Running",
            // What has run once is not pending any more.
            State::Waiting(_) if self.last.is_some() => "Running",
            State::Waiting(_) => "Pending",
        };
        let begun = pod.status.as_ref().and_then(|status| status.start_time.as_ref()).map_or(self.now, |time| time.0);
        let mut status = json!({
            "phase": phase,
            "startTime": begun,
            "conditions": self.conditions(pod, phase),
            "containerStatuses": spec.map_or(&[][..], |spec| &spec.containers).iter().map(|c| self.container(c)).collect::<Vec<_>>(),
            "initContainerStatuses": spec.and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default().iter()
                .map(|container| self.init_container(container, begun)).collect::<Vec<_>>(),
        });
        if phase != "Pending" {
            status["podIP"] = json!(self.ip);
            status["podIPs"] = json!([{"ip": self.ip}]);
        }
        if let Some(ip) = self.host_ip {
            status["hostIP"] = json!(ip);
            status["hostIPs"] = json!([{"ip": ip}]);
        }
        status
    }

    fn conditions(&self, pod: &Pod, phase: &str) -> Vec<Value> {
        let ready = self.ready && matches!(self.state, State::Running(_));
        let why_not = match phase {
            "Succeeded" => "PodCompleted",
            "Failed" => "PodFailed",
            _ => "ContainersNotReady",
        };
        let (sandbox, why) = (phase == "Running", if ready { "" } else { why_not });
        let all = [
            ("PodReadyToStartContainers", sandbox, ""),
            ("Initialized", true, ""),
            ("ContainersReady", ready, why),
            ("Ready", ready, why),
        ];
        all.map(|(kind, holds, reason)| {
            let value = if holds { "True" } else { "False" };
            let old = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
            let old =
                old.and_then(|all| all.iter().find(|condition| condition.type_ == kind && condition.status == value));
            let since =
                old.and_then(|condition| condition.last_transition_time.as_ref()).map_or(self.now, |time| time.0);
            let reason = if reason.is_empty() { Value::Null } else { json!(reason) };
            json!({"type": kind, "status": value, "reason": reason, "lastTransitionTime": since})
        })
        .into()
    }

    fn container(&self, container: &Container) -> Value {
        let main = container.name == self.main;
        let state = match &self.state {
            State::Waiting(reason) => json!({"waiting": {"reason": reason}}),
            State::Running(since) => json!({"running": {"startedAt": since}}),
            State::Ended(end) if main => json!({"terminated": end.json()}),
            // What stands beside the main container ends in order.
            State::Ended(end) => json!({"terminated": End { code: 0, message: None, ..end.clone() }.json()}),
        };
        let running = matches!(self.state, State::Running(_));
        let mut status = named(container);
        status["state"] = state;
        status["ready"] = json!(running && self.ready);
        status["started"] = json!(running);
        status["restartCount"] = json!(if main { self.restarts } else { 0 });
        if let Some(last) = self.last.as_ref().filter(|_| main) {
            status["lastState"] = json!({"terminated": last.json()});
        }
        status
    }

    fn init_container(&self, container: &Container, begun: Timestamp) -> Value {
        let end = End { code: 0, message: None, started: begun, finished: begun };
        let mut status = named(container);
        status["state"] = json!({"terminated": end.json()});
        status["ready"] = json!(true);
        status["restartCount"] = json!(0);
        status
    }
}

fn named(container: &Container) -> Value {
    json!({"name": container.name, "image": container.image.as_deref().unwrap_or_default(), "imageID": ""})
}

/// The status of a pod that the kubelet does not take in.
pub(crate) fn rejected(message: &str) -> Value {
    let message = format!("Pod was rejected: {message}");
    json!({"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": message})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn view(state: State) -> View<'static> {
        View { main: "train", state, last: None, restarts: 0, ready: true, ip: "10.0.0.1", host_ip: None, now: at(9) }
    }

    fn pod() -> Pod {
        serde_json::from_value(json!({"metadata": {}, "spec": {"containers": [{"name": "train"}, {"name": "proxy"}]}}))
            .unwrap()
    }

    #[test]
    fn a_failed_trainer_fails_the_pod_and_says_why() {
        let end = End { code: 1, message: Some("{}".into()), started: at(1), finished: at(5) };
        let status = view(State::Ended(end)).status(&pod());
        assert_eq!(status["phase"], "Failed");
        let ended = &status["containerStatuses"][0]["state"]["terminated"];
        assert_eq!(
            (&ended["exitCode"], &ended["reason"], &ended["message"]),
            (&json!(1), &json!("Error"), &json!("{}"))
        );
        assert_eq!(status["containerStatuses"][1]["state"]["terminated"]["exitCode"], 0);
        assert_eq!(status["conditions"][3]["reason"], "PodFailed");
    }

    #[test]
    fn a_pod_is_pending_until_it_runs_and_has_no_address_till_then() {
        let waiting = view(State::Waiting("ContainerCreating")).status(&pod());
        assert_eq!((&waiting["phase"], waiting.get("podIP")), (&json!("Pending"), None));
        let running = view(State::Running(at(3))).status(&pod());
        assert_eq!((&running["phase"], &running["podIP"]), (&json!("Running"), &json!("10.0.0.1")));
        assert_eq!(running["conditions"][3]["status"], "True");
    }

    #[test]
    fn a_condition_that_does_not_change_keeps_its_time() {
        let mut pod = pod();
        let status = json!({"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": at(2)}]});
        pod.status = Some(serde_json::from_value(status).unwrap());
        let running = view(State::Running(at(3))).status(&pod);
        assert_eq!(running["conditions"][3]["lastTransitionTime"], json!(at(2)));
        assert_eq!(running["conditions"][2]["lastTransitionTime"], json!(at(9)));
    }
}
