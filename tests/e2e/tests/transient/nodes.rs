//! Pods and nodes that are taken away, or do not answer for a while.

use plimsoll_e2e::scenario::{Scenario, Sight, Step};

use crate::job::{job, with_checkpoints};

/// Whether the log of a trainer says that it went on from a checkpoint.
pub(crate) fn went_on(log: &str) -> bool {
    let number = log.split("\"resumedFromStep\":").nth(1).and_then(|rest| rest.chars().next());
    number.is_some_and(|first| first.is_ascii_digit())
}

pub(crate) fn runs(revision: i32, failures_and_disruptions: (i32, i32)) -> Step {
    Step::See(Sight {
        state: "Running",
        reason: "Running",
        revision: Some(revision),
        failures_and_disruptions: Some(failures_and_disruptions),
        ..Sight::default()
    })
}

pub(crate) fn completes(revision: i32, failures_and_disruptions: (i32, i32)) -> Step {
    Step::See(Sight {
        state: "Complete",
        revision: Some(revision),
        failures_and_disruptions: Some(failures_and_disruptions),
        ..Sight::default()
    })
}

/// The program saves within the moment that it is given, and exits with 0. That is no end of the training.
pub(crate) fn force_deleted() -> Scenario {
    Scenario {
        name: "force-deleted",
        manifests: vec![job("force-deleted", 20, with_checkpoints())],
        steps: vec![
            runs(1, (0, 0)),
            Step::Kubectl("delete pod force-deleted-r1-0 --force --grace-period=0"),
            runs(2, (0, 1)),
            Step::Prints("logs force-deleted-r2-0", went_on),
            completes(2, (0, 1)),
        ],
    }
}

/// The node does not answer for a while. Its containers run on, and nothing starts beside them.
pub(crate) fn kubelet() -> Scenario {
    Scenario {
        name: "kubelet",
        manifests: vec![job("kubelet", 75, with_checkpoints())],
        steps: vec![
            runs(1, (0, 0)),
            Step::StopKubelet,
            Step::See(Sight {
                state: "Running",
                reason: "Running",
                says: "real-0 is not ready; pods there count as running",
                revision: Some(1),
                ..Sight::default()
            }),
            Step::StartKubelet,
            completes(1, (0, 0)),
        ],
    }
}

/// A drain waits until the job has saved and left; the job waits, and goes on where it was once it may.
pub(crate) fn drained() -> Scenario {
    Scenario {
        name: "drained",
        manifests: vec![job("drained", 130, with_checkpoints())],
        steps: vec![
            runs(1, (0, 0)),
            Step::Kubectl("wait --for=create poddisruptionbudget/drained --timeout=90s"),
            Step::Kubectl(
                "drain real-0 --pod-selector=plimsoll.dev/job-name=drained --delete-emptydir-data --timeout=90s",
            ),
            Step::Prints("get events --field-selector=reason=NodeCordoned", |events| {
                events.contains("real-0 is cordoned")
            }),
            Step::See(Sight {
                state: "Waiting",
                reason: "WaitingForCapacity",
                says: "1 node is closed (is cordoned)",
                failures_and_disruptions: Some((0, 1)),
                ..Sight::default()
            }),
            Step::Kubectl("uncordon real-0"),
            Step::See(Sight { reason: "Admitted", says: "real-0 is cordoned; ", ..Sight::default() }),
            runs(2, (0, 1)),
            Step::Prints("logs drained-r2-0", went_on),
            completes(2, (0, 1)),
        ],
    }
}
