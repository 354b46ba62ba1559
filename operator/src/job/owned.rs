//! What the objects of a job have in common, its pods aside. Pure.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt as _};
use plimsoll_crds::{TrainingJob, labels};

/// Metadata of an object that goes when its job goes.
pub fn metadata(job: &TrainingJob, name: String) -> ObjectMeta {
    let job_name = job.name_any();
    let labels = [
        (labels::JOB_NAME, job_name.as_str()),
        (labels::APP_NAME, "trainingjob"),
        (labels::APP_INSTANCE, job_name.as_str()),
        (labels::PART_OF, "plimsoll"),
        (labels::MANAGED_BY, "plimsoll"),
    ];
    ObjectMeta {
        name: Some(name),
        namespace: job.namespace(),
        labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
        owner_references: Some(vec![OwnerReference {
            api_version: TrainingJob::api_version(&()).into_owned(),
            kind: TrainingJob::kind(&()).into_owned(),
            name: job_name,
            uid: job.uid().unwrap_or_default(),
            controller: Some(true),
            block_owner_deletion: Some(false),
        }]),
        ..ObjectMeta::default()
    }
}

/// What selects the pods of one revision.
pub fn selector(job: &str, revision: i32) -> BTreeMap<String, String> {
    [(labels::JOB_NAME, job.to_owned()), (labels::REVISION, revision.to_string())]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
}

/// Whether an object belongs to the job of this UID; one of the same name that was deleted is another job.
pub fn is_of<K: Resource>(object: &K, uid: &str) -> bool {
    object.owner_references().iter().any(|owner| owner.uid == uid)
}
