//! A job that gives way to another of a higher priority, and goes on where it was.

use plimsoll_e2e::scenario::{Scenario, Sight, Step};
use serde_json::{Value, json};

use crate::job::{job, with_checkpoints};
use crate::nodes::{completes, runs, went_on};

/// All four accelerators of the node, of this scenario's queue.
fn all_of_it(name: &str, seconds: u32) -> Value {
    let mut job = job("gives-way", seconds, with_checkpoints());
    job["metadata"]["name"] = json!(name);
    job["spec"]["queueName"] = json!("gives-way");
    job["spec"]["accelerators"]["requested"] = json!(4);
    job
}

/// The urgent job takes nothing before the other has saved; the other starts again once it has ended.
pub(crate) fn gives_way() -> Scenario {
    let class = json!({
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "gives-way-urgent"},
        "value": 1000, "description": "For what cannot wait.",
    });
    let queue = json!({
        "apiVersion": "plimsoll.dev/v1alpha1", "kind": "TrainingQueue", "metadata": {"name": "gives-way"},
        "spec": {"allowedPriorityClasses": ["gives-way-urgent"]},
    });
    let mut urgent = all_of_it("urgent", 15);
    urgent["spec"]["priorityClassName"] = json!("gives-way-urgent");
    urgent["spec"]["suspend"] = json!(true);
    Scenario {
        name: "gives-way",
        manifests: vec![class, queue, all_of_it("gives-way", 60), urgent],
        steps: vec![
            runs(1, (0, 0)),
            Step::Kubectl("patch trainingjob urgent --type=merge --patch={\"spec\":{\"suspend\":false}}"),
            Step::See(Sight { state: "Waiting", reason: "WaitingForCapacity", ..Sight::default() }),
            Step::Prints("get events --field-selector=reason=Preempted", |events| {
                events.contains("urgent has priority 1000 in queue gives-way, this job 0")
            }),
            Step::See(Sight { reason: "Admitted", says: "preempted: ", ..Sight::default() }),
            runs(2, (0, 0)),
            Step::Prints("logs gives-way-r2-0", went_on),
            completes(2, (0, 0)),
            Step::Kubectl("wait trainingjob/urgent --for=condition=Complete --timeout=1s"),
        ],
    }
}
