//! Containers that do not start, start late, fail early or never end.

use plimsoll_e2e::scenario::{Scenario, Sight, Step};
use serde_json::json;

use crate::job::{beside, job};

pub(crate) fn all() -> Vec<Scenario> {
    vec![image(), configuration(), slow(), init(), sidecar(), native_sidecar()]
}

/// The job completes at its first revision, and nothing counts against it.
pub(crate) fn completes() -> Step {
    Step::See(Sight {
        state: "Complete",
        revision: Some(1),
        failures_and_disruptions: Some((0, 0)),
        ..Sight::default()
    })
}

fn image() -> Scenario {
    let wrong = json!({"spec": {"template": {"spec": {"containers": {"0": {"image": "localhost/none:1"}}}}}});
    Scenario {
        name: "image",
        manifests: vec![job("image", 1, wrong)],
        steps: vec![
            Step::See(Sight {
                state: "Starting",
                reason: "Starting",
                says: "1 of 1 pods are bound, 0 have started; image-r1-0: container trainer waits: ",
                ..Sight::default()
            }),
            Step::See(Sight {
                state: "Starting",
                reason: "ImagePullBackOff",
                says: "image-r1-0: container trainer waits: ImagePullBackOff: Back-off pulling image",
                ..Sight::default()
            }),
            Step::See(Sight {
                state: "Failed",
                reason: "TooManyFailures",
                says: "not all of its containers started in time: image-r1-0: container trainer waits: ",
                failures_and_disruptions: Some((1, 0)),
                ..Sight::default()
            }),
        ],
    }
}

fn configuration() -> Scenario {
    let wants = json!({"0": {"envFrom": [{"configMapRef": {"name": "later"}}]}});
    Scenario {
        name: "configuration",
        manifests: vec![job("configuration", 1, json!({"spec": {"template": {"spec": {"containers": wants}}}}))],
        steps: vec![
            Step::See(Sight {
                state: "Starting",
                reason: "CreateContainerConfigError",
                says: "configmap \"later\" not found",
                ..Sight::default()
            }),
            Step::Kubectl("create configmap later --from-literal=A=b"),
            completes(),
        ],
    }
}

fn slow() -> Scenario {
    let prepare = beside("prepare", &["--seconds=6"]);
    Scenario {
        name: "slow",
        manifests: vec![job("slow", 1, json!({"spec": {"template": {"spec": {"initContainers": [prepare]}}}}))],
        steps: vec![
            Step::See(Sight {
                state: "Starting",
                reason: "Starting",
                says: "1 of 1 pods are bound, 0 have started; slow-r1-0: init container prepare runs",
                ..Sight::default()
            }),
            completes(),
        ],
    }
}

fn init() -> Scenario {
    let fetch = beside("fetch", &["--seconds=nonsense"]);
    Scenario {
        name: "init",
        manifests: vec![job("init", 1, json!({"spec": {"template": {"spec": {"initContainers": [fetch]}}}}))],
        steps: vec![Step::See(Sight {
            state: "Failed",
            reason: "TooManyFailures",
            says: "init container fetch failed with exit code 2: error: invalid value 'nonsense'",
            failures_and_disruptions: Some((1, 0)),
            ..Sight::default()
        })],
    }
}

fn sidecar() -> Scenario {
    let endless = beside("logs", &["--seconds=1000000"]);
    Scenario {
        name: "sidecar",
        manifests: vec![job("sidecar", 2, json!({"spec": {"template": {"spec": {"containers": {"1": endless}}}}}))],
        steps: vec![completes(), Step::Prints("get pods --field-selector=status.phase=Running -o name", str::is_empty)],
    }
}

fn native_sidecar() -> Scenario {
    let mut endless = beside("logs", &["--seconds=1000000"]);
    endless["restartPolicy"] = json!("Always");
    Scenario {
        name: "native-sidecar",
        manifests: vec![job(
            "native-sidecar",
            2,
            json!({"spec": {"template": {"spec": {"initContainers": [endless]}}}}),
        )],
        steps: vec![completes(), Step::Prints("get pods --field-selector=status.phase=Running -o name", str::is_empty)],
    }
}
