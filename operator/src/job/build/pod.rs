//! One pod of a revision. Pure.

use plimsoll_crds::labels;
use plimsoll_observe::needs::{SHM_BYTES_PER_GPU, adds_shm};
use serde_json::{Map, Value, json};

use super::patch::{list, object};
use super::{BuildError, Plan, env, nodes, resources, volumes};
use crate::job::memory::natural;

/// Builds the pod at `index`, pinned to its node.
///
/// # Errors
/// When the template has a form that Kubernetes would refuse too.
pub fn pod(plan: &Plan<'_>, index: usize) -> Result<Value, BuildError> {
    let template = plan.job.spec.template.as_object().ok_or(BuildError::Form("template"))?;
    let mut spec = match template.get("spec") {
        Some(Value::Object(spec)) => spec.clone(),
        _ => return Err(BuildError::Form("spec")),
    };
    fill_spec(&mut spec, plan, index)?;
    let mut metadata = match template.get("metadata") {
        Some(Value::Object(metadata)) => metadata.clone(),
        _ => Map::new(),
    };
    fill_metadata(&mut metadata, plan, index)?;
    Ok(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}))
}

fn fill_metadata(metadata: &mut Map<String, Value>, plan: &Plan<'_>, index: usize) -> Result<(), BuildError> {
    metadata.remove("generateName");
    metadata.insert("name".into(), json!(plan.pod_name(index)));
    metadata.insert("namespace".into(), json!(plan.namespace));
    let own = [
        (labels::JOB_NAME, plan.name.to_owned()),
        (labels::REVISION, plan.allocation.revision.to_string()),
        (labels::POD_INDEX, index.to_string()),
        (labels::QUEUE_NAME, plan.job.spec.queue_name.clone()),
        (labels::APP_NAME, "trainingjob".to_owned()),
        (labels::APP_INSTANCE, plan.name.to_owned()),
        (labels::PART_OF, "plimsoll".to_owned()),
        (labels::MANAGED_BY, "plimsoll".to_owned()),
    ];
    let texts = object(metadata, "labels", "metadata.labels")?;
    texts.extend(own.map(|(key, value)| (key.to_owned(), json!(value))));
    let annotations = object(metadata, "annotations", "metadata.annotations")?;
    annotations.insert("karpenter.sh/do-not-disrupt".into(), json!("true"));
    annotations.insert("cluster-autoscaler.kubernetes.io/safe-to-evict".into(), json!("false"));
    annotations
        .entry(plimsoll_observe::template::DEFAULT_CONTAINER)
        .or_insert_with(|| json!(plan.validated.template.trainer_container));
    let owner = json!({
        "apiVersion": "plimsoll.dev/v1alpha1", "kind": "TrainingJob", "name": plan.name,
        "uid": plan.job.metadata.uid, "controller": true, "blockOwnerDeletion": false,
    });
    metadata.insert("ownerReferences".into(), json!([owner]));
    list(metadata, "finalizers", "metadata.finalizers")?.push(json!(labels::POD_FINALIZER));
    Ok(())
}

fn fill_spec(spec: &mut Map<String, Value>, plan: &Plan<'_>, index: usize) -> Result<(), BuildError> {
    let node = plan.allocation.nodes.get(index).ok_or(BuildError::Form("the count of its nodes"))?;
    let gpus = u64::from(natural(plan.allocation.gpus_per_pod));
    spec.insert("restartPolicy".into(), json!("Never"));
    spec.insert("hostname".into(), json!(plan.pod_name(index)));
    spec.insert("subdomain".into(), json!(plan.revision_name()));
    spec.insert("priorityClassName".into(), json!(plan.config.pods.priority_class_name));
    spec.insert("terminationGracePeriodSeconds".into(), json!(plan.validated.policy.grace_seconds()));
    nodes::pin(spec, node)?;
    nodes::tolerate(spec, plan.resource)?;
    let shm = adds_shm(&plan.validated.template);
    if shm {
        volumes::add_shm(spec, SHM_BYTES_PER_GPU * gpus)?;
    }
    volumes::add_report(spec, plan)?;

    let ours = env::variables(plan, index);
    let trainer = list(spec, "containers", "containers")?
        .get_mut(plan.validated.template.trainer_index)
        .and_then(Value::as_object_mut)
        .ok_or(BuildError::Form("the trainer container"))?;
    env::put(trainer, &ours)?;
    resources::put(trainer, plan)?;
    volumes::mount_report(trainer)?;
    if shm {
        volumes::mount_shm(trainer)?;
    }
    if spec.get("initContainers").is_some_and(|list| !list.is_null()) {
        for container in list(spec, "initContainers", "initContainers")? {
            let container = container.as_object_mut().ok_or(BuildError::Form("an init container"))?;
            env::put(container, &ours)?;
            volumes::mount_report(container)?;
        }
    }
    Ok(())
}
