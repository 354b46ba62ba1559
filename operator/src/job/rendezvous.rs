//! The headless Service that gives the pods of a revision names: `<pod>.<job>-r<revision>.<namespace>.svc`.
//!
//! Only a revision of two pods or more has one. Names resolve before pods are ready, because ranks meet before anything
//! else; the revision stands in the name and in the selector, so that no rank meets one of another revision.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, ResourceExt as _};
use plimsoll_crds::training_job::Allocation;
use plimsoll_crds::{TrainingJob, labels};
use plimsoll_lifecycle::Phase;
use plimsoll_scheduling::JobKey;

use super::apply::{ApplyError, Hands, PodError, call, is_refusal};
use super::build::env::MASTER_PORT;
use super::memory::natural;
use super::{Turn, owned};

/// Who writes Services.
const SERVICE_MANAGER: &str = "plimsoll/services";
/// Services that are written at once.
const AT_ONCE: usize = 16;

/// What is to be done about the Services of all jobs.
#[derive(Debug, Default, PartialEq)]
struct Chores {
    /// Somebody deleted it while its revision runs.
    missing: Vec<(JobKey, Service)>,
    /// Their revision is over.
    over: Vec<Arc<Service>>,
}

/// The Service of a revision; `None` if it has one pod.
pub fn service(job: &TrainingJob, allocation: &Allocation) -> Option<Service> {
    if allocation.pods <= 1 {
        return None;
    }
    let name = job.name_any();
    let mut metadata = owned::metadata(job, plimsoll_observe::revision_name(&name, natural(allocation.revision)));
    metadata.labels.get_or_insert_default().insert(labels::REVISION.into(), allocation.revision.to_string());
    Some(Service {
        metadata,
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".into()),
            publish_not_ready_addresses: Some(true),
            selector: Some(owned::selector(&name, allocation.revision)),
            ports: Some(vec![ServicePort {
                name: Some("rendezvous".into()),
                port: i32::from(MASTER_PORT),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    })
}

/// Deletes Services whose revision is over, also those that an earlier operator left, and makes those anew that somebody
/// deleted. Goes on after an error and returns the first. What belongs to no job that is there is the garbage
/// collector's.
///
/// # Errors
/// When the apiserver refuses a write.
pub async fn keep(hands: &Hands, services: &[Arc<Service>], turns: &BTreeMap<JobKey, Turn>) -> Result<(), ApplyError> {
    let Chores { missing, over } = chores(services, turns);
    let mut result = Ok(());
    for (key, service) in &missing {
        let params = PostParams { dry_run: false, field_manager: Some(SERVICE_MANAGER.into()) };
        let api: Api<Service> = Api::namespaced(hands.client.clone(), &key.namespace);
        hands.fence.check()?;
        let outcome = match api.create(&params, service).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
            Err(source) => Err(call("create Service", service.name_any(), source)),
        };
        result = result.and(outcome);
    }
    let deleted = futures::stream::iter(over.iter().map(|service| delete(hands, service)));
    let outcomes: Vec<_> = deleted.buffer_unordered(AT_ONCE).collect().await;
    outcomes.into_iter().fold(result, Result::and)
}

fn chores(services: &[Arc<Service>], turns: &BTreeMap<JobKey, Turn>) -> Chores {
    let mut found: BTreeMap<JobKey, Vec<&Arc<Service>>> = BTreeMap::new();
    for service in services {
        if let Some(name) = service.labels().get(labels::JOB_NAME) {
            let key = JobKey { namespace: service.namespace().unwrap_or_default(), name: name.clone() };
            found.entry(key).or_default().push(service);
        }
    }
    let mut chores = Chores::default();
    for (key, turn) in turns {
        let own: Vec<_> =
            found.remove(key).into_iter().flatten().filter(|s| owned::is_of(s.as_ref(), &turn.uid)).collect();
        chores.over.extend(own.iter().filter(|service| is_over(turn, service)).map(|service| Arc::clone(service)));
        // Before that the pods are created, and their Service with them.
        let settled = turn.was.revision == turn.state.revision
            && matches!(turn.state.phase, Phase::Starting { .. } | Phase::Running { .. });
        let wanted = turn.status.allocation.as_ref().filter(|_| settled).and_then(|a| service(&turn.job, a));
        if let Some(wanted) = wanted.filter(|wanted| !own.iter().any(|service| service.name_any() == wanted.name_any()))
        {
            chores.missing.push((key.clone(), wanted));
        }
    }
    chores
}

/// A revision that is not known yet is another leader's: it is left alone.
fn is_over(turn: &Turn, service: &Service) -> bool {
    let revision = service.labels().get(labels::REVISION).and_then(|text| text.parse::<u32>().ok());
    let over = |revision| {
        revision < turn.state.revision || (revision == turn.state.revision && turn.status.allocation.is_none())
    };
    service.metadata.deletion_timestamp.is_none() && revision.is_some_and(over)
}

async fn delete(hands: &Hands, service: &Service) -> Result<(), ApplyError> {
    hands.fence.check()?;
    let api: Api<Service> = Api::namespaced(hands.client.clone(), &service.namespace().unwrap_or_default());
    let preconditions = Some(Preconditions { uid: service.uid(), resource_version: None });
    match api.delete(&service.name_any(), &DeleteParams { preconditions, ..DeleteParams::default() }).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(source) => Err(call("delete Service", service.name_any(), source)),
    }
}

impl Hands {
    /// Creates the Service of a revision that needs one. One that is there and is this job's is a success.
    pub(super) async fn create_service(&self, turn: &Turn, allocation: &Allocation) -> Result<(), PodError> {
        let Some(service) = service(&turn.job, allocation) else { return Ok(()) };
        self.fence.check().map_err(ApplyError::from)?;
        let api: Api<Service> = Api::namespaced(self.client.clone(), &turn.key.namespace);
        let (name, params) =
            (service.name_any(), PostParams { dry_run: false, field_manager: Some(SERVICE_MANAGER.into()) });
        let refused = match api.create(&params, &service).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                let existing = api.get_metadata_opt(&name).await;
                match existing.map_err(|source| call("read Service", name.clone(), source))? {
                    Some(existing) if owned::is_of(&existing, &turn.uid) => return Ok(()),
                    Some(_) => format!("a Service named {name} exists and belongs to something else"),
                    None => format!("a Service named {name} was still going away"),
                }
            }
            Err(kube::Error::Api(status)) if is_refusal(status.code) => status.message.clone(),
            Err(source) => return Err(call("create Service", name, source).into()),
        };
        Err(PodError::Refused(refused))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::{ended, holding, job, pod, runs, think, world};
    use crate::job::Known;

    fn allocation(status: &Value) -> Allocation {
        serde_json::from_value(status["allocation"].clone()).unwrap()
    }

    fn turns(status: Value, pods: Vec<Value>) -> BTreeMap<JobKey, Turn> {
        let turn = think(&world(pods), &job(Some(status)), Known::default());
        BTreeMap::from([(turn.key.clone(), turn)])
    }

    fn running() -> BTreeMap<JobKey, Turn> {
        turns(holding("Running"), vec![pod(0, runs()), pod(1, runs())])
    }

    fn of(revision: i32, uid: &str) -> Arc<Service> {
        let mut allocation = allocation(&holding("Running"));
        allocation.revision = revision;
        let mut service = service(&job(None), &allocation).unwrap();
        service.metadata.owner_references.as_mut().unwrap()[0].uid = uid.into();
        Arc::new(service)
    }

    #[test]
    fn names_of_pods_resolve_before_they_are_ready_and_only_within_their_revision() {
        let made = service(&job(None), &allocation(&holding("Running"))).unwrap();
        let expected = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": "llm-r1", "namespace": "nlp",
                "labels": {"plimsoll.dev/job-name": "llm", "plimsoll.dev/revision": "1",
                    "app.kubernetes.io/name": "trainingjob", "app.kubernetes.io/instance": "llm",
                    "app.kubernetes.io/part-of": "plimsoll", "app.kubernetes.io/managed-by": "plimsoll"},
                "ownerReferences": [{"apiVersion": "plimsoll.dev/v1alpha1", "kind": "TrainingJob", "name": "llm",
                    "uid": "job-uid", "controller": true, "blockOwnerDeletion": false}]},
            "spec": {"clusterIP": "None", "publishNotReadyAddresses": true,
                "selector": {"plimsoll.dev/job-name": "llm", "plimsoll.dev/revision": "1"},
                "ports": [{"name": "rendezvous", "port": 29500}]},
        });
        assert_eq!(serde_json::to_value(made).unwrap(), expected);
    }

    #[test]
    fn a_revision_of_one_pod_has_no_service() {
        let mut allocation = allocation(&holding("Running"));
        allocation.pods = 1;
        assert_eq!(service(&job(None), &allocation), None);
    }

    #[test]
    fn the_service_of_a_running_revision_stays_and_is_made_again_when_somebody_deletes_it() {
        assert_eq!(chores(&[of(1, "job-uid")], &running()), Chores::default());
        let missing = chores(&[], &running()).missing;
        assert_eq!(missing.iter().map(|(_, service)| service.name_any()).collect::<Vec<_>>(), ["llm-r1"]);
    }

    #[test]
    fn what_an_earlier_operator_left_is_found_by_its_labels() {
        let mut status = holding("Running");
        status["lifecycle"]["lastRevision"] = json!(3);
        status["allocation"]["revision"] = json!(3);
        let services = [of(1, "job-uid"), of(2, "job-uid"), of(4, "job-uid"), of(1, "earlier job of the name")];
        let over = chores(&services, &turns(status, vec![])).over;
        assert_eq!(over, services[..2], "a later revision and another job's stay");
    }

    #[test]
    fn the_service_goes_with_the_last_pod_of_the_revision() {
        let half = turns(holding("Running"), vec![pod(0, ended(0, "")), pod(1, runs())]);
        assert_eq!(chores(&[of(1, "job-uid")], &half), Chores::default());
        let done = turns(holding("Running"), vec![pod(0, ended(0, "")), pod(1, ended(0, ""))]);
        assert_eq!(chores(&[of(1, "job-uid")], &done).over.len(), 1);
    }
}
