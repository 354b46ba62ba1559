//! AcceleratorClasses: made from the catalogue for products that the cluster has, and how many there are of each.
//!
//! The figures are applied field by field and without force: a field that anybody else has set is left out of what is
//! applied, so that an administrator's value wins. Classes that an administrator made are only counted.

mod count;
mod figures;

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{Patch, PatchParams},
    core::Status,
};
use plimsoll_crds::{AcceleratorClass, AcceleratorClassSpec};
use plimsoll_observe::{Objects, Planned, nodes};
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

/// Field manager of the figures.
pub const MANAGER: &str = "plimsoll-operator/classes";
/// Field manager of the status.
pub const STATUS_MANAGER: &str = "plimsoll-operator/class-status";

/// Why classes could not be written.
#[derive(Debug, Error)]
pub enum Error {
    /// A class could not be written as JSON.
    #[error("failed to serialise AcceleratorClass {name}")]
    Serialise {
        /// Which class.
        name: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The apiserver refused a class.
    #[error("failed to apply AcceleratorClass {name}")]
    Apply {
        /// Which class.
        name: String,
        /// Why.
        #[source]
        source: kube::Error,
    },
    /// The apiserver refused the status of a class.
    #[error("failed to apply the status of AcceleratorClass {name}")]
    ApplyStatus {
        /// Which class.
        name: String,
        /// Why.
        #[source]
        source: kube::Error,
    },
}

/// Classes as they were after the operator last applied them, by UID and generation: until one of them is changed,
/// what differs in it from the catalogue is somebody's wish and needs no second attempt.
#[derive(Debug, Default)]
pub struct Applied(BTreeMap<String, (Option<String>, Option<i64>)>);

impl Applied {
    fn remember(&mut self, class: &AcceleratorClass) {
        self.0.insert(class.name_any(), (class.uid(), class.metadata.generation));
    }

    fn covers(&self, class: &AcceleratorClass) -> bool {
        self.0.get(&class.name_any()).is_some_and(|seen| *seen == (class.uid(), class.metadata.generation))
    }
}

/// Makes classes for the products that are present, and brings the status of all classes up to date. Goes on after an
/// error and returns the first.
///
/// # Errors
/// When the apiserver refuses a write.
pub async fn reconcile(
    client: &Client,
    objects: &Objects,
    jobs: &[Planned],
    applied: &mut Applied,
    now: Timestamp,
) -> Result<(), Error> {
    let api = Api::all(client.clone());
    let mut result = Ok(());
    for class in figures::wanted(objects) {
        if is_up_to_date(&class, objects, applied) {
            continue;
        }
        let outcome = apply(&api, &class).await.map(|class| applied.remember(&class));
        result = result.and(outcome);
    }
    let offers = nodes::offers(objects);
    for class in &objects.classes {
        let status = count::status(class, &offers, jobs, now);
        if class.status.as_ref() != Some(&status) {
            let name = class.name_any();
            let outcome = apply_status(&api, STATUS_MANAGER, &name, &status).await;
            result = result.and(outcome.map_err(|source| Error::ApplyStatus { name, source }));
        }
    }
    result
}

/// Writes the status of a cluster-wide object, whose only writer we are.
pub(crate) async fn apply_status<K, S>(api: &Api<K>, manager: &str, name: &str, status: &S) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
    S: Serialize + std::fmt::Debug,
{
    #[derive(Debug, Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Apply<'a, S> {
        api_version: &'a str,
        kind: &'a str,
        metadata: BTreeMap<&'a str, &'a str>,
        status: &'a S,
    }
    let (api_version, kind) = (K::api_version(&()), K::kind(&()));
    let metadata = BTreeMap::from([("name", name)]);
    let patch = Patch::Apply(Apply { api_version: &api_version, kind: &kind, metadata, status });
    api.patch_status(name, &PatchParams::apply(manager).force(), &patch).await.map(drop)
}

/// Whether a class exists and has our figures, or somebody else's by intent.
fn is_up_to_date(class: &AcceleratorClass, objects: &Objects, applied: &Applied) -> bool {
    let name = class.name_any();
    let Some(existing) = objects.classes.iter().find(|c| c.name_any() == name) else { return false };
    applied.covers(existing) || existing.spec == with_wishes_of(existing, class)
}

/// Our figures with the fields added that the catalogue says nothing about.
fn with_wishes_of(existing: &AcceleratorClass, class: &AcceleratorClass) -> AcceleratorClassSpec {
    let mut spec = class.spec.clone();
    spec.load_line.clone_from(&existing.spec.load_line);
    for (key, value) in &existing.spec.node_selector {
        spec.node_selector.entry(key.clone()).or_insert_with(|| value.clone());
    }
    spec
}

/// Applies a class without force; fields that others have set are left to them.
async fn apply(api: &Api<AcceleratorClass>, class: &AcceleratorClass) -> Result<AcceleratorClass, Error> {
    let name = class.name_any();
    let mut wanted = serde_json::to_value(class).map_err(|source| Error::Serialise { name: name.clone(), source })?;
    loop {
        match api.patch(&name, &PatchParams::apply(MANAGER), &Patch::Apply(&wanted)).await {
            // Every round leaves out at least one field more, so that this ends.
            Err(kube::Error::Api(refusal)) if leave_out_contested(&mut wanted, &refusal) => {
                tracing::info!(class = name, refusal = refusal.message, "fields of a class are left to who set them");
            }
            outcome => return outcome.map_err(|source| Error::Apply { name, source }),
        }
    }
}

/// Removes the fields that an apply conflict names; false when it names none that are there.
fn leave_out_contested(wanted: &mut Value, refusal: &Status) -> bool {
    let causes = refusal.details.iter().flat_map(|details| &details.causes);
    let contested = causes.filter(|cause| cause.reason == "FieldManagerConflict");
    contested.fold(false, |any, cause| remove_field(wanted, &cause.field) | any)
}

/// Removes the field at a path such as `.spec.nodeSelector.nvidia.com/gpu.product`, whose keys may hold dots, and what
/// is empty without it.
fn remove_field(value: &mut Value, path: &str) -> bool {
    let Some(object) = value.as_object_mut() else { return false };
    let path = path.strip_prefix('.').unwrap_or(path);
    if object.remove(path).is_some() {
        return true;
    }
    let leads = |key: &&String| path.strip_prefix(key.as_str()).is_some_and(|rest| rest.starts_with('.'));
    let Some(key) = object.keys().filter(leads).max_by_key(|key| key.len()).cloned() else { return false };
    let Some(inner) = object.get_mut(&key) else { return false };
    let removed = remove_field(inner, &path[key.len()..]);
    if removed && inner.as_object().is_some_and(serde_json::Map::is_empty) {
        object.remove(&key);
    }
    removed
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

    use super::figures::{tests::cluster, wanted};
    use super::*;

    #[test]
    fn a_class_is_left_alone_when_it_has_our_figures_or_was_applied_and_not_changed_since() {
        let mut objects = cluster(&["NVIDIA-L4"]);
        let class = wanted(&objects).remove(0);
        let mut applied = Applied::default();
        assert!(!is_up_to_date(&class, &objects, &applied));

        let mut existing = class.clone();
        existing.metadata.generation = Some(1);
        existing.spec.load_line = Some(plimsoll_crds::accelerator_class::ClassLoadLine::default());
        objects.classes = vec![Arc::new(existing.clone())];
        assert!(is_up_to_date(&class, &objects, &applied));

        existing.spec.memory = Quantity("20Gi".to_owned());
        objects.classes = vec![Arc::new(existing.clone())];
        assert!(!is_up_to_date(&class, &objects, &applied));
        applied.remember(&existing);
        assert!(is_up_to_date(&class, &objects, &applied));
        existing.metadata.generation = Some(2);
        objects.classes = vec![Arc::new(existing)];
        assert!(!is_up_to_date(&class, &objects, &applied));
    }

    #[test]
    fn contested_fields_are_left_to_who_set_them() {
        let mut wanted = serde_json::to_value(wanted(&cluster(&["NVIDIA-L4"])).remove(0)).expect("JSON");
        let refusal: Status = serde_json::from_value(serde_json::json!({
            "code": 409,
            "reason": "Conflict",
            "message": "Apply failed with 2 conflicts",
            "details": {"causes": [
                {"reason": "FieldManagerConflict", "message": "conflict with \"kubectl-edit\"", "field": ".spec.memory"},
                {"reason": "FieldManagerConflict", "message": "conflict with \"kubectl-edit\"", "field": ".spec.nodeSelector.nvidia.com/gpu.product"}
            ]}
        }))
        .expect("a status");
        assert!(leave_out_contested(&mut wanted, &refusal));
        assert!(wanted["spec"].get("memory").is_none() && wanted["spec"].get("nodeSelector").is_none());
        assert_eq!(wanted["spec"]["resourceName"], "nvidia.com/gpu");
        assert!(!leave_out_contested(&mut wanted, &refusal), "nothing is left to leave out");
        assert!(!leave_out_contested(&mut wanted, &Status::default()));
    }
}
