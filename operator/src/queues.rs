//! The status of TrainingQueues: what their jobs hold and how many wait.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kube::{Api, Client, ResourceExt as _, core::Selector};
use plimsoll_crds::{TrainingQueue, TrainingQueueStatus, condition, training_queue::HeldClass};
use plimsoll_observe::{Objects, Planned};
use plimsoll_scheduling::{Reason, Standing};
use thiserror::Error;

use crate::classes::apply_status;

/// Field manager of the status.
pub const STATUS_MANAGER: &str = "plimsoll-operator/queue-status";

/// What the API allows a summary to be.
const LONGEST_SUMMARY: usize = 1024;

/// Why a status could not be written.
#[derive(Debug, Error)]
#[error("failed to apply the status of TrainingQueue {name}")]
pub struct Error {
    /// Which queue.
    name: String,
    /// Why.
    #[source]
    source: kube::Error,
}

/// Brings the status of all queues up to date. Goes on after an error and returns the first.
///
/// # Errors
/// When the apiserver refuses a write.
pub async fn reconcile(client: &Client, objects: &Objects, jobs: &[Planned], now: Timestamp) -> Result<(), Error> {
    let api: Api<TrainingQueue> = Api::all(client.clone());
    let classes: BTreeSet<String> = objects.classes.iter().map(|class| class.name_any()).collect();
    let mut result = Ok(());
    for queue in &objects.queues {
        let status = status(queue, &classes, jobs, now);
        if queue.status.as_ref() != Some(&status) {
            let name = queue.name_any();
            let outcome = apply_status(&api, STATUS_MANAGER, &name, &status).await;
            result = result.and(outcome.map_err(|source| Error { name, source }));
        }
    }
    result
}

fn status(queue: &TrainingQueue, classes: &BTreeSet<String>, jobs: &[Planned], now: Timestamp) -> TrainingQueueStatus {
    let name = queue.name_any();
    let own: Vec<&Planned> = jobs.iter().filter(|planned| planned.job.spec.queue_name == name).collect();
    let mut held: BTreeMap<&str, u32> = BTreeMap::new();
    for allocation in own.iter().filter_map(|planned| planned.held()) {
        *held.entry(allocation.shape.class.as_str()).or_default() += allocation.shape.gpus();
    }
    let mut conditions = queue.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
    let (ready, reason, message) = readiness(queue, classes);
    let generation = queue.metadata.generation;
    condition::set(&mut conditions, condition::other::READY, ready, reason, &message, generation, now);
    TrainingQueueStatus {
        conditions,
        waiting_jobs: count(own.iter().filter(|planned| waits(planned)).count()),
        running_jobs: count(own.iter().filter(|planned| planned.held().is_some()).count()),
        summary: summary(queue, &held),
        held: held
            .into_iter()
            .map(|(class, gpus)| HeldClass { class: class.to_owned(), gpus: i32::try_from(gpus).unwrap_or(i32::MAX) })
            .collect(),
    }
}

/// Whether a job waits for the cluster. One that is invalid or suspended waits for its user.
fn waits(planned: &Planned) -> bool {
    match &planned.standing {
        Standing::Waiting => true,
        Standing::Held { reason, .. } => !matches!(reason, Reason::Invalid | Reason::Suspended),
        Standing::Placed(_) | Standing::Leaving(_) | Standing::Moving { .. } => false,
    }
}

/// Held of what the queue may hold, such as `h100-sxm5-80gb 8/16, l4 0/4`; only what is held where there is no limit.
fn summary(queue: &TrainingQueue, held: &BTreeMap<&str, u32>) -> Option<String> {
    let mut parts: Vec<String> = Vec::new();
    for limit in &queue.spec.classes {
        let gpus = held.get(limit.class.as_str()).copied().unwrap_or(0);
        parts.push(format!("{} {gpus}/{}", limit.class, limit.nominal_quota));
    }
    let limited = |class: &str| queue.spec.classes.iter().any(|limit| limit.class == class);
    parts.extend(held.iter().filter(|(class, _)| !limited(class)).map(|(class, gpus)| format!("{class} {gpus}")));
    let mut summary = parts.join(", ");
    // Names of classes are ASCII, so that no character is cut.
    summary.truncate(LONGEST_SUMMARY);
    if summary.is_empty() { None } else { Some(summary) }
}

/// Whether jobs can use the queue as it is written.
fn readiness(queue: &TrainingQueue, classes: &BTreeSet<String>) -> (bool, &'static str, String) {
    if let Some(selector) = queue.spec.namespace_selector.clone()
        && let Err(error) = Selector::try_from(selector)
    {
        return (
            false,
            "InvalidSelector",
            format!("namespaceSelector admits no namespace, because it cannot be read: {error}"),
        );
    }
    let missing: Vec<&str> =
        queue.spec.classes.iter().map(|limit| limit.class.as_str()).filter(|class| !classes.contains(*class)).collect();
    if missing.is_empty() {
        (true, "Usable", String::new())
    } else {
        (false, "ClassMissing", format!("there is no AcceleratorClass {}", missing.join(" and no ")))
    }
}

fn count(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plimsoll_crds::TrainingJob;
    use plimsoll_menu::{Batch, ClassName, Layout, Menu, Shape};
    use plimsoll_scheduling::Allocation;

    use super::*;

    fn queue(spec: &str) -> TrainingQueue {
        let yaml =
            format!("{{apiVersion: plimsoll.dev/v1alpha1, kind: TrainingQueue, metadata: {{name: q}}, spec: {spec}}}");
        serde_yaml::from_str(&yaml).expect("a queue")
    }

    fn job(queue: &str, standing: Standing) -> Planned {
        let mut job = TrainingJob::default();
        job.spec.queue_name = queue.to_owned();
        Planned { job: Arc::new(job), menu: Menu::default(), standing, restart_seconds: 0.0, remaining_steps: None }
    }

    fn placed(class: &str, gpus_per_pod: u32) -> Standing {
        Standing::Placed(Allocation {
            revision: 1,
            shape: Shape { class: ClassName::new(class), pods: 2, gpus_per_pod },
            layout: Layout::data_parallel(2 * gpus_per_pod),
            batch: Batch { micro: 1, accumulation: 1, global: 2 * gpus_per_pod },
            nodes: vec!["n1".to_owned(), "n2".to_owned()],
            since: Timestamp::UNIX_EPOCH,
            running: true,
            observed: false,
            step_seconds: None,
            live_batch: false,
            moves_last_hour: 0,
            last_move: None,
            checkpoint_age_seconds: 0.0,
        })
    }

    fn held(reason: Reason) -> Standing {
        Standing::Held { reason, message: String::new() }
    }

    fn of(queue: &TrainingQueue, jobs: &[Planned]) -> TrainingQueueStatus {
        status(queue, &BTreeSet::from(["h100".to_owned()]), jobs, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn held_and_waiting_jobs_of_the_queue_are_counted() {
        let jobs = [
            job("q", placed("h100", 4)),
            job("q", placed("h100", 1)),
            job("q", Standing::Waiting),
            job("q", held(Reason::BackoffAfterFailure)),
            job("q", held(Reason::Suspended)),
            job("other", placed("h100", 8)),
        ];
        let status = of(&queue("{classes: [{class: h100, nominalQuota: 16}]}"), &jobs);
        assert_eq!((status.running_jobs, status.waiting_jobs), (2, 2));
        assert_eq!(status.summary.as_deref(), Some("h100 10/16"));
        assert_eq!(status.held, [HeldClass { class: "h100".to_owned(), gpus: 10 }]);
        assert!(condition::is_true(&status.conditions, condition::other::READY));
    }

    #[test]
    fn without_limits_only_what_is_held_is_named() {
        assert_eq!(of(&queue("{}"), &[]).summary, None);
        assert_eq!(of(&queue("{}"), &[job("q", placed("l4", 1))]).summary.as_deref(), Some("l4 2"));
    }

    #[test]
    fn a_queue_that_names_an_unknown_class_or_has_a_selector_that_says_nothing_is_not_ready() {
        let missing = of(&queue("{classes: [{class: h1000, nominalQuota: 1}]}"), &[]);
        assert_eq!(missing.conditions[0].message, "there is no AcceleratorClass h1000");
        let spec = "{namespaceSelector: {matchExpressions: [{key: team, operator: Near, values: [a]}]}}";
        assert_eq!(of(&queue(spec), &[]).conditions[0].reason, "InvalidSelector");
    }

    #[test]
    fn the_status_settles() {
        let mut queue = queue("{}");
        let first = of(&queue, &[]);
        queue.status = Some(first.clone());
        assert_eq!(status(&queue, &BTreeSet::new(), &[], Timestamp::from_second(99).expect("a time")), first);
    }
}
