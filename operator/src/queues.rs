//! The status of TrainingQueues: what their jobs hold and how many wait.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kube::{Api, Client, ResourceExt as _, core::Selector};
use plimsoll_crds::{TrainingQueue, TrainingQueueStatus, condition, training_queue::HeldClass};
use plimsoll_observe::{Objects, Planned};
use plimsoll_scheduling::{Reason, Standing};
use thiserror::Error;

use crate::accounts::Accounts;
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
pub(crate) async fn reconcile(
    client: &Client,
    objects: &Objects,
    jobs: &[Planned],
    accounts: &mut Accounts,
    now: Timestamp,
) -> Result<(), Error> {
    let api: Api<TrainingQueue> = Api::all(client.clone());
    let classes: BTreeSet<String> = objects.classes.iter().map(|class| class.name_any()).collect();
    let mut result = Ok(());
    for queue in &objects.queues {
        let name = queue.name_any();
        let mut status = status(queue, objects, &classes, jobs, now);
        let account = accounts.news(&name, now);
        if let Some(account) = account {
            account.write(&queue.spec.budgets, &mut status);
        }
        if queue.status.as_ref() != Some(&status) {
            let counted = account.is_some();
            let outcome = apply_status(&api, STATUS_MANAGER, &name, &status).await;
            if counted && outcome.is_ok() {
                accounts.wrote(&name, now);
            }
            result = result.and(outcome.map_err(|source| Error { name, source }));
        }
    }
    result
}

fn status(
    queue: &TrainingQueue,
    objects: &Objects,
    classes: &BTreeSet<String>,
    jobs: &[Planned],
    now: Timestamp,
) -> TrainingQueueStatus {
    let name = queue.name_any();
    let own: Vec<&Planned> = jobs.iter().filter(|planned| planned.job.spec.queue_name == name).collect();
    let mut held: BTreeMap<&str, u32> = BTreeMap::new();
    for allocation in own.iter().filter_map(|planned| planned.held()) {
        *held.entry(allocation.shape.class.as_str()).or_default() += allocation.shape.gpus();
    }
    // The figures stay as they were written until the account says more.
    let before = queue.status.clone().unwrap_or_default();
    let mut conditions = before.conditions.clone();
    let (ready, reason, message) = readiness(queue, objects, classes);
    let held: Vec<HeldClass> = held.iter().map(|(class, gpus)| held_class(queue, class, *gpus)).collect();
    let generation = queue.metadata.generation;
    condition::set(&mut conditions, condition::other::READY, ready, reason, &message, generation, now);
    TrainingQueueStatus {
        conditions,
        waiting_jobs: count(own.iter().filter(|planned| waits(planned)).count()),
        running_jobs: count(own.iter().filter(|planned| planned.held().is_some()).count()),
        summary: summary(queue, &held),
        borrowed_gpus: held.iter().fold(0, |sum, held| sum.saturating_add(held.borrowed)),
        held,
        ..before
    }
}

/// What it holds of a class, and how much of that is not its own. A queue without limits borrows nothing.
fn held_class(queue: &TrainingQueue, class: &str, gpus: u32) -> HeldClass {
    let gpus = i32::try_from(gpus).unwrap_or(i32::MAX);
    let own = queue.spec.classes.iter().find(|share| share.class == class).map_or(0, |share| share.nominal_quota);
    let borrowed = if queue.spec.classes.is_empty() { 0 } else { gpus.saturating_sub(own).max(0) };
    HeldClass { class: class.to_owned(), gpus, borrowed }
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
fn summary(queue: &TrainingQueue, held: &[HeldClass]) -> Option<String> {
    let mut parts: Vec<String> = Vec::new();
    for limit in &queue.spec.classes {
        let gpus = held.iter().find(|held| held.class == limit.class).map_or(0, |held| held.gpus);
        parts.push(format!("{} {gpus}/{}", limit.class, limit.nominal_quota));
    }
    let limited = |class: &str| queue.spec.classes.iter().any(|limit| limit.class == class);
    parts.extend(held.iter().filter(|held| !limited(&held.class)).map(|held| format!("{} {}", held.class, held.gpus)));
    let mut summary = parts.join(", ");
    // Names of classes are ASCII, so that no character is cut.
    summary.truncate(LONGEST_SUMMARY);
    if summary.is_empty() { None } else { Some(summary) }
}

/// Whether jobs can use the queue as it is written.
fn readiness(queue: &TrainingQueue, objects: &Objects, classes: &BTreeSet<String>) -> (bool, &'static str, String) {
    if let Some(selector) = queue.spec.namespace_selector.clone()
        && let Err(error) = Selector::try_from(selector)
    {
        return (
            false,
            "InvalidSelector",
            format!("namespaceSelector admits no namespace, because it cannot be read: {error}"),
        );
    }
    if let Some((reason, message)) = ancestry(queue, objects) {
        return (false, reason, message);
    }
    let missing: Vec<&str> =
        queue.spec.classes.iter().map(|limit| limit.class.as_str()).filter(|class| !classes.contains(*class)).collect();
    if missing.is_empty() {
        (true, "Usable", String::new())
    } else {
        (false, "ClassMissing", format!("there is no AcceleratorClass {}", missing.join(" and no ")))
    }
}

/// What is wrong with the queues above a queue.
fn ancestry(queue: &TrainingQueue, objects: &Objects) -> Option<(&'static str, String)> {
    let mut path = vec![queue.name_any()];
    let mut queue = queue;
    while let Some(name) = &queue.spec.parent_name {
        let Some(parent) = objects.queue(name) else {
            return Some(("ParentMissing", format!("there is no TrainingQueue {name}, of which it is to be a part")));
        };
        let circle = path.contains(name);
        path.push(name.clone());
        if circle {
            return Some(("ParentCycle", format!("parentName leads in a circle: {}", path.join(" is part of "))));
        }
        queue = parent;
    }
    None
}

fn count(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plimsoll_crds::TrainingJob;
    use plimsoll_menu::{Batch, ClassName, Layout, Shape};
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
        Planned {
            job: Arc::new(job),
            menu: Arc::default(),
            standing,
            restart_seconds: 0.0,
            remaining_steps: None,
            waiting_since: None,
        }
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
        let classes = BTreeSet::from(["h100".to_owned()]);
        status(queue, &Objects::default(), &classes, jobs, Timestamp::UNIX_EPOCH)
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
        assert_eq!(status.held, [HeldClass { class: "h100".to_owned(), gpus: 10, borrowed: 0 }]);
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
    fn what_a_queue_holds_beyond_its_own_is_borrowed() {
        let lent = queue("{parentName: p, classes: [{class: h100, nominalQuota: 6}]}");
        let status = of(&lent, &[job("q", placed("h100", 4))]);
        assert_eq!((status.borrowed_gpus, status.held[0].borrowed), (2, 2));
    }

    #[test]
    fn a_queue_whose_parents_are_missing_or_lead_in_a_circle_is_not_ready() {
        let part_of = |name: &str, parent: &str| {
            let yaml = format!("{{metadata: {{name: {name}}}, spec: {{parentName: {parent}}}}}");
            Arc::new(serde_yaml::from_str::<TrainingQueue>(&yaml).expect("a queue"))
        };
        let objects = Objects { queues: vec![part_of("a", "b"), part_of("b", "a")], ..Objects::default() };
        let said = |queue: &TrainingQueue| readiness(queue, &objects, &BTreeSet::new());
        assert_eq!(said(&objects.queues[0]).2, "parentName leads in a circle: a is part of b is part of a");
        assert_eq!(said(&part_of("c", "gone")).2, "there is no TrainingQueue gone, of which it is to be a part");
    }

    #[test]
    fn the_status_settles() {
        let mut queue = queue("{}");
        let first = of(&queue, &[]);
        queue.status = Some(first.clone());
        let later = Timestamp::from_second(99).expect("a time");
        assert_eq!(status(&queue, &Objects::default(), &BTreeSet::new(), &[], later), first);
    }
}
