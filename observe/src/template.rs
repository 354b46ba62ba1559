//! A job's pod template, read once.
//!
//! The template is kept as raw JSON and is patched, never written again from types. This is a reading of it: what the
//! planner and the builder of pods need to know, or one clear sentence about why such a pod cannot be built.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use plimsoll_crds::TrainingJobSpec;
use serde_json::Value;
use thiserror::Error;

use crate::{
    needs,
    quantity::QuantityError,
    requests::{self, Requests},
};

/// The annotation by which kubectl finds a pod's main container.
pub const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// Why no pod can be built from a template. Each is one sentence that names the field and what to do.
#[derive(Debug, Error)]
pub enum TemplateError {
    /// It does not read as a pod template.
    #[error("failed to read spec.template as a pod template: {0}")]
    Unreadable(serde_json::Error),
    /// It has no container.
    #[error("spec.template.spec.containers is empty: name at least the container that trains")]
    NoContainers,
    /// The trainer container does not exist.
    #[error(
        "{from} names the container {name:?}, but spec.template.spec.containers has {available}: name one of these"
    )]
    NoTrainer {
        /// Field or annotation that names it.
        from: &'static str,
        /// The name that was not found.
        name: String,
        /// Names that there are.
        available: String,
    },
    /// A container requests accelerators by itself.
    #[error(
        "container {container:?} of spec.template asks for {resource} itself: remove it from resources, because Plimsoll adds the accelerators that it chooses"
    )]
    OwnAccelerators {
        /// Which container.
        container: String,
        /// The resource of an AcceleratorClass.
        resource: String,
    },
    /// A field that Plimsoll decides, or cannot plan with, is set.
    #[error("spec.template.spec.{field} is set: {remedy}")]
    Forbidden {
        /// The field.
        field: &'static str,
        /// Why, and what to do.
        remedy: &'static str,
    },
    /// A restart policy other than Never.
    #[error("spec.template.spec.restartPolicy is {found}: remove it or set Never, because a gang restarts as a whole")]
    RestartPolicy {
        /// What it is.
        found: String,
    },
    /// A container takes a port of the node.
    #[error(
        "container {container:?} of spec.template takes the node's port {port}: remove hostPort, because pods of a job reach each other without one"
    )]
    HostPort {
        /// Which container.
        container: String,
        /// Which port.
        port: i32,
    },
    /// A node selector term that matches nothing.
    #[error(
        "a term of spec.template.spec.affinity.nodeAffinity is empty and matches no node: remove it or give it an expression"
    )]
    EmptyTerm,
    /// An amount cannot be read.
    #[error("failed to read {place}: {because}")]
    Quantity {
        /// Where it stands.
        place: String,
        /// What is wrong.
        because: QuantityError,
    },
}

/// A pod template, read and found usable.
#[derive(Clone, Debug, PartialEq)]
pub struct TemplateView {
    /// Name of the container that trains.
    pub trainer_container: String,
    /// Place of that container in `spec.containers`.
    pub trainer_index: usize,
    /// The container that trains mounts `/dev/shm` itself, so that the operator adds none.
    pub mounts_shm: bool,
    /// What the container that trains requests before the operator's additions.
    pub trainer_requests: Requests,
    /// What the pod requests before the operator's additions, overhead included.
    pub requests: Requests,
    /// Names of the persistent volume claims that it mounts.
    pub claims: Vec<String>,
    /// The whole, for reading only.
    pub pod: PodSpec,
}

impl TemplateView {
    /// Reads the template of a job. `accelerators` are the resource names of all AcceleratorClasses.
    ///
    /// # Errors
    /// One [`TemplateError`], the first that is found.
    pub fn parse(spec: &TrainingJobSpec, accelerators: &BTreeSet<String>) -> Result<Self, TemplateError> {
        let mut raw = spec.template.clone();
        numbers_to_text(&mut raw);
        let template: PodTemplateSpec = serde_json::from_value(raw).map_err(TemplateError::Unreadable)?;
        let pod = template.spec.unwrap_or_default();
        let annotated = template.metadata.and_then(|m| m.annotations).and_then(|mut a| a.remove(DEFAULT_CONTAINER));
        let trainer_index = trainer(spec.trainer_container.as_deref(), annotated.as_deref(), &pod)?;
        forbid(&pod)?;
        forbid_ports(&pod)?;
        let every = pod.containers.iter().chain(pod.init_containers.iter().flatten());
        for container in every.clone() {
            own_accelerators(container, accelerators)?;
        }
        let trainer = &pod.containers[trainer_index];
        let place = |because| TemplateError::Quantity { place: "a request of spec.template".to_owned(), because };
        let claims = pod.volumes.iter().flatten().filter_map(|v| v.persistent_volume_claim.as_ref());
        let view = Self {
            trainer_container: trainer.name.clone(),
            trainer_index,
            mounts_shm: trainer
                .volume_mounts
                .iter()
                .flatten()
                .any(|m| m.mount_path.trim_end_matches('/') == "/dev/shm"),
            trainer_requests: requests_of(trainer)?,
            requests: requests::of_pod(&pod, None).map_err(place)?,
            claims: claims.map(|claim| claim.claim_name.clone()).collect(),
            pod,
        };
        // What cannot be planned cannot be used: found here, once, and not at every plan.
        needs::pod_needs(&view, spec.accelerators.resources_per_gpu.as_ref())?;
        Ok(view)
    }

    /// The container that trains.
    pub fn trainer(&self) -> &Container {
        &self.pod.containers[self.trainer_index]
    }

    /// Containers that are initialised before the trainer starts, native sidecars among them.
    pub fn init_containers(&self) -> &[Container] {
        self.pod.init_containers.as_deref().unwrap_or_default()
    }
}

/// The explicit name first, then the annotation, then the first container.
fn trainer(named: Option<&str>, annotated: Option<&str>, pod: &PodSpec) -> Result<usize, TemplateError> {
    if pod.containers.is_empty() {
        return Err(TemplateError::NoContainers);
    }
    let (from, name) = match (named, annotated) {
        (Some(name), _) => ("spec.trainerContainer", name),
        (None, Some(name)) => ("the annotation kubectl.kubernetes.io/default-container of spec.template", name),
        (None, None) => return Ok(0),
    };
    pod.containers.iter().position(|c| c.name == name).ok_or_else(|| TemplateError::NoTrainer {
        from,
        name: name.to_owned(),
        available: pod.containers.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", "),
    })
}

/// Fields that Plimsoll decides itself, and fields that its plan does not honour: better refused than a pod that the
/// plan believes to fit and the kube-scheduler does not.
fn forbid(pod: &PodSpec) -> Result<(), TemplateError> {
    let affinity = pod.affinity.as_ref();
    let required_pod_affinity = affinity.is_some_and(|a| {
        let together =
            a.pod_affinity.as_ref().and_then(|p| p.required_during_scheduling_ignored_during_execution.as_ref());
        let apart =
            a.pod_anti_affinity.as_ref().and_then(|p| p.required_during_scheduling_ignored_during_execution.as_ref());
        together.is_some_and(|terms| !terms.is_empty()) || apart.is_some_and(|terms| !terms.is_empty())
    });
    let spread = pod.topology_spread_constraints.iter().flatten().any(|c| c.when_unsatisfiable == "DoNotSchedule");
    let rules = [
        (
            pod.scheduler_name.is_some(),
            "schedulerName",
            "remove it, because the cluster's own scheduler binds the pods that Plimsoll has placed",
        ),
        (
            pod.priority_class_name.is_some(),
            "priorityClassName",
            "move it to spec.priorityClassName, because pods of all jobs run under one priority class",
        ),
        (pod.priority.is_some(), "priority", "remove it and use spec.priorityClassName"),
        (pod.preemption_policy.is_some(), "preemptionPolicy", "remove it, because pods of a job never preempt"),
        (pod.node_name.is_some(), "nodeName", "remove it and use nodeSelector, because Plimsoll chooses the nodes"),
        (
            pod.scheduling_gates.as_ref().is_some_and(|g| !g.is_empty()),
            "schedulingGates",
            "remove it and use spec.suspend",
        ),
        (
            pod.resources.is_some(),
            "resources",
            "move it to the containers, because Plimsoll adds to the requests of the container that trains",
        ),
        (
            pod.resource_claims.as_ref().is_some_and(|c| !c.is_empty()),
            "resourceClaims",
            "remove it, because devices are requested as an extended resource",
        ),
        (
            required_pod_affinity,
            "affinity",
            "remove required podAffinity and podAntiAffinity, because each pod of a job has a node of its own and Plimsoll chooses them",
        ),
        (
            spread,
            "topologySpreadConstraints",
            "set whenUnsatisfiable to ScheduleAnyway, because Plimsoll chooses the nodes",
        ),
    ];
    if let Some((_, field, remedy)) = rules.into_iter().find(|(set, ..)| *set) {
        return Err(TemplateError::Forbidden { field, remedy });
    }
    match pod.restart_policy.as_deref() {
        None | Some("Never") => Ok(()),
        Some(found) => Err(TemplateError::RestartPolicy { found: found.to_owned() }),
    }
}

/// Ports of the node are not in a snapshot. With hostNetwork the apiserver makes a host port of every container port.
fn forbid_ports(pod: &PodSpec) -> Result<(), TemplateError> {
    let host_network = pod.host_network == Some(true);
    for container in pod.containers.iter().chain(pod.init_containers.iter().flatten()) {
        for port in container.ports.iter().flatten() {
            let taken = port.host_port.filter(|port| *port > 0).or(host_network.then_some(port.container_port));
            if let Some(port) = taken {
                return Err(TemplateError::HostPort { container: container.name.clone(), port });
            }
        }
    }
    Ok(())
}

fn own_accelerators(container: &Container, accelerators: &BTreeSet<String>) -> Result<(), TemplateError> {
    let Some(resources) = &container.resources else { return Ok(()) };
    let mut named = resources.requests.iter().chain(resources.limits.iter()).flat_map(|list| list.keys());
    match named.find(|name| accelerators.contains(*name)) {
        None => Ok(()),
        Some(resource) => {
            Err(TemplateError::OwnAccelerators { container: container.name.clone(), resource: resource.clone() })
        }
    }
}

fn requests_of(container: &Container) -> Result<Requests, TemplateError> {
    requests::of_container(container.resources.as_ref()).map_err(|because| TemplateError::Quantity {
        place: format!("the resources of container {:?} of spec.template", container.name),
        because,
    })
}

/// Writes amounts that stand as numbers (`cpu: 2`) as text, in a copy that is for reading only: the apiserver accepts
/// both in a pod, and changes nothing in a raw template.
fn numbers_to_text(template: &mut Value) {
    let Some(spec) = template.get_mut("spec") else { return };
    list_to_text(spec.get_mut("overhead"));
    for resources in ["requests", "limits"] {
        list_to_text(spec.pointer_mut(&format!("/resources/{resources}")));
    }
    for kind in ["containers", "initContainers"] {
        for container in spec.get_mut(kind).and_then(Value::as_array_mut).into_iter().flatten() {
            list_to_text(container.pointer_mut("/resources/requests"));
            list_to_text(container.pointer_mut("/resources/limits"));
            for variable in container.get_mut("env").and_then(Value::as_array_mut).into_iter().flatten() {
                amount_to_text(variable.pointer_mut("/valueFrom/resourceFieldRef/divisor"));
            }
        }
    }
    for volume in spec.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten() {
        amount_to_text(volume.pointer_mut("/emptyDir/sizeLimit"));
        list_to_text(volume.pointer_mut("/ephemeral/volumeClaimTemplate/spec/resources/requests"));
    }
}

fn list_to_text(list: Option<&mut Value>) {
    for amount in list.and_then(Value::as_object_mut).into_iter().flat_map(|list| list.values_mut()) {
        amount_to_text(Some(amount));
    }
}

fn amount_to_text(amount: Option<&mut Value>) {
    if let Some(amount) = amount
        && let Value::Number(number) = amount
    {
        *amount = Value::String(number.to_string());
    }
}
