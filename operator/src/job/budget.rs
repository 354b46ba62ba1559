//! The PodDisruptionBudget of a job: whoever drains a node waits until the job has moved off it.
//!
//! A job gets one once it has run for a while, so that one that has nothing to lose yet holds up no drain. From then on
//! it follows the live revision, so that no pod is ever matched twice, and goes when the job holds nothing. It counts
//! pods: for pods of an owner that has no scale the API takes no percentage and no `maxUnavailable`.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, ResourceExt as _};
use plimsoll_crds::training_job::Allocation;
use plimsoll_crds::{TrainingJob, labels};
use plimsoll_lifecycle::Phase;
use plimsoll_scheduling::JobKey;
use serde_json::json;

use super::apply::{ApplyError, Hands, call};
use super::{Turn, owned};

/// For how long a job has run before it gets one.
const AFTER: SignedDuration = SignedDuration::from_secs(60);
/// Who writes them.
const MANAGER: &str = "plimsoll/disruption-budgets";
/// Budgets that are written at once.
const AT_ONCE: usize = 16;

/// One thing to be done.
#[derive(Clone, Debug, PartialEq)]
enum Chore {
    /// The job has run for long enough.
    Create(Box<PodDisruptionBudget>),
    /// It is about another revision, or somebody changed it.
    Correct(Arc<PodDisruptionBudget>, Box<PodDisruptionBudgetSpec>),
    /// The job holds nothing.
    Delete(Arc<PodDisruptionBudget>),
}

/// When a running job gets its budget.
pub fn due(phase: &Phase) -> Option<Timestamp> {
    match phase {
        Phase::Running { since } => since.checked_add(AFTER).ok(),
        _ => None,
    }
}

/// Brings the budgets of all jobs up to date. Goes on after an error and returns the first. What belongs to no job that
/// is there is the garbage collector's.
///
/// # Errors
/// When the apiserver refuses a write.
pub async fn keep(
    hands: &Hands,
    budgets: &[Arc<PodDisruptionBudget>],
    turns: &BTreeMap<JobKey, Turn>,
    now: Timestamp,
) -> Result<(), ApplyError> {
    let chores = chores(budgets, turns, now);
    let outcomes: Vec<_> = futures::stream::iter(chores.into_iter().map(|chore| carry_out(hands, chore)))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    outcomes.into_iter().collect()
}

fn chores(budgets: &[Arc<PodDisruptionBudget>], turns: &BTreeMap<JobKey, Turn>, now: Timestamp) -> Vec<Chore> {
    let mut found: BTreeMap<JobKey, Vec<&Arc<PodDisruptionBudget>>> = BTreeMap::new();
    for budget in budgets {
        if let Some(name) = budget.labels().get(labels::JOB_NAME) {
            let key = JobKey { namespace: budget.namespace().unwrap_or_default(), name: name.clone() };
            found.entry(key).or_default().push(budget);
        }
    }
    let chore = |(key, turn): (&JobKey, &Turn)| {
        let own = found.get(key).into_iter().flatten().find(|budget| owned::is_of(budget.as_ref(), &turn.uid));
        let wanted = turn.status.allocation.as_ref().map(|allocation| spec(&key.name, allocation));
        match (own, wanted) {
            (Some(own), _) if own.metadata.deletion_timestamp.is_some() => None,
            (Some(own), None) => Some(Chore::Delete(Arc::clone(own))),
            (Some(own), Some(wanted)) => {
                (!agrees(own, &wanted)).then(|| Chore::Correct(Arc::clone(own), Box::new(wanted)))
            }
            (None, Some(wanted)) => due(&turn.state.phase)
                .is_some_and(|due| due <= now)
                .then(|| Chore::Create(Box::new(budget(&turn.job, wanted)))),
            (None, None) => None,
        }
    };
    turns.iter().filter_map(chore).collect()
}

fn spec(job: &str, allocation: &Allocation) -> PodDisruptionBudgetSpec {
    PodDisruptionBudgetSpec {
        min_available: Some(IntOrString::Int(allocation.pods)),
        selector: Some(LabelSelector {
            match_labels: Some(owned::selector(job, allocation.revision)),
            match_expressions: None,
        }),
        ..PodDisruptionBudgetSpec::default()
    }
}

fn budget(job: &TrainingJob, spec: PodDisruptionBudgetSpec) -> PodDisruptionBudget {
    PodDisruptionBudget { metadata: owned::metadata(job, job.name_any()), spec: Some(spec), status: None }
}

/// Whether a budget says what we want, whatever else somebody made it say.
fn agrees(budget: &PodDisruptionBudget, wanted: &PodDisruptionBudgetSpec) -> bool {
    let selected = |spec: &PodDisruptionBudgetSpec| spec.selector.as_ref().and_then(|s| s.match_labels.clone());
    budget
        .spec
        .as_ref()
        .is_some_and(|spec| spec.min_available == wanted.min_available && selected(spec) == selected(wanted))
}

async fn carry_out(hands: &Hands, chore: Chore) -> Result<(), ApplyError> {
    hands.fence.check()?;
    let api = |of: &PodDisruptionBudget| -> Api<PodDisruptionBudget> {
        Api::namespaced(hands.client.clone(), &of.namespace().unwrap_or_default())
    };
    let (verb, name, outcome) = match chore {
        Chore::Create(budget) => {
            let params = PostParams { dry_run: false, field_manager: Some(MANAGER.into()) };
            ("create", budget.name_any(), api(&budget).create(&params, &budget).await.map(drop))
        }
        Chore::Correct(budget, spec) => {
            // Under the UID: one that was made anew in the meantime may be somebody else's.
            let patch = json!({"metadata": {"uid": budget.uid()}, "spec": spec});
            let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
            let name = budget.name_any();
            let outcome = api(&budget).patch(&name, &params, &Patch::Merge(patch)).await.map(drop);
            ("change", name, outcome)
        }
        Chore::Delete(budget) => {
            let preconditions = Some(Preconditions { uid: budget.uid(), resource_version: None });
            let params = DeleteParams { preconditions, ..DeleteParams::default() };
            let name = budget.name_any();
            let outcome = api(&budget).delete(&name, &params).await.map(drop);
            ("delete", name, outcome)
        }
    };
    match outcome {
        // Gone, or there already; one of the name that somebody else made is left alone.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        outcome => outcome.map_err(|source| call(verb, format!("PodDisruptionBudget {name}"), source)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::{ended, holding, job, now, pod, runs, think, world};
    use crate::job::Known;

    fn turns(status: Value, pods: Vec<Value>) -> BTreeMap<JobKey, Turn> {
        let turn = think(&world(pods), &job(Some(status)), Known::default());
        BTreeMap::from([(turn.key.clone(), turn)])
    }

    fn running_since(since: &str) -> BTreeMap<JobKey, Turn> {
        let mut status = holding("Running");
        status["lifecycle"]["since"] = json!(since);
        turns(status, vec![pod(0, runs()), pod(1, runs())])
    }

    fn existing(revision: i32, pods: i32) -> Arc<PodDisruptionBudget> {
        let mut allocation: Allocation = serde_json::from_value(holding("Running")["allocation"].clone()).unwrap();
        (allocation.revision, allocation.pods) = (revision, pods);
        Arc::new(budget(&job(None), spec("llm", &allocation)))
    }

    #[test]
    fn a_job_that_has_run_for_a_minute_gets_a_budget_of_all_its_pods() {
        assert_eq!(chores(&[], &running_since("2026-11-25T11:59:01Z"), now()), []);
        let due = chores(&[], &running_since("2026-11-25T11:59:00Z"), now());
        let [Chore::Create(made)] = due.as_slice() else { unreachable!("{due:?}") };
        let json = serde_json::to_value(made).unwrap();
        assert_eq!((&json["metadata"]["name"], &json["metadata"]["namespace"]), (&json!("llm"), &json!("nlp")));
        assert_eq!(json["metadata"]["ownerReferences"][0]["uid"], "job-uid");
        let selector = json!({"matchLabels": {"plimsoll.dev/job-name": "llm", "plimsoll.dev/revision": "1"}});
        assert_eq!(json["spec"], json!({"minAvailable": 2, "selector": selector}));
    }

    #[test]
    fn a_budget_that_says_so_already_is_left_alone_and_one_of_another_revision_is_moved() {
        let turns = running_since("2026-11-25T11:00:00Z");
        assert_eq!(chores(&[existing(1, 2)], &turns, now()), []);
        for other in [existing(0, 2), existing(1, 1)] {
            let due = chores(std::slice::from_ref(&other), &turns, now());
            let wanted = existing(1, 2).spec.clone().unwrap();
            assert_eq!(due, [Chore::Correct(other, Box::new(wanted))]);
        }
    }

    #[test]
    fn the_next_revision_has_its_budget_from_its_commit_on() {
        let mut status = holding("Starting");
        status["allocation"]["revision"] = json!(2);
        status["allocation"]["pods"] = json!(1);
        status["lifecycle"]["lastRevision"] = json!(2);
        let mut next = pod(0, json!({"phase": "Pending"}));
        next["metadata"]["labels"]["plimsoll.dev/revision"] = json!("2");
        let starting = turns(status, vec![next]);
        let due = chores(&[existing(1, 2)], &starting, now());
        assert!(matches!(due.as_slice(), [Chore::Correct(_, spec)] if spec.min_available == Some(IntOrString::Int(1))));
        assert_eq!(chores(&[], &starting, now()), [], "a job that never ran gets none");
    }

    #[test]
    fn a_job_that_holds_nothing_has_no_budget() {
        let done = turns(holding("Running"), vec![pod(0, ended(0, "")), pod(1, ended(0, ""))]);
        assert_eq!(chores(&[existing(1, 2)], &done, now()), [Chore::Delete(existing(1, 2))]);
        assert_eq!(chores(&[], &done, now()), []);
    }

    #[test]
    fn a_budget_of_an_earlier_job_of_the_name_is_not_touched() {
        let mut other = PodDisruptionBudget::clone(&existing(0, 2));
        other.metadata.owner_references.as_mut().unwrap()[0].uid = "earlier".into();
        assert_eq!(chores(&[Arc::new(other)], &running_since("2026-11-25T11:59:30Z"), now()), []);
    }
}
