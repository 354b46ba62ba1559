//! What a pod requests of its node, counted as the kube-scheduler counts.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container, ContainerStatus, PodSpec, PodStatus, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};
use plimsoll_scheduling::Resources;

use crate::quantity::{Amount, QuantityError};

/// Amounts by resource name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests(BTreeMap<String, Amount>);

impl Requests {
    /// Reads a resource list.
    ///
    /// # Errors
    /// When an amount is no quantity.
    pub fn read(list: &BTreeMap<String, Quantity>) -> Result<Self, QuantityError> {
        list.iter()
            .map(|(name, quantity)| Ok((name.clone(), Amount::try_from(quantity)?)))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// An amount of one resource.
    pub fn one(resource: &str, amount: Amount) -> Self {
        Self(BTreeMap::from([(resource.to_owned(), amount)]))
    }

    /// The amount of one resource; nothing when it is not named.
    pub fn get(&self, resource: &str) -> Amount {
        self.0.get(resource).copied().unwrap_or_default()
    }

    /// The amount of one resource, if it is named.
    pub fn find(&self, resource: &str) -> Option<Amount> {
        self.0.get(resource).copied()
    }

    /// All amounts, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Amount)> {
        self.0.iter().map(|(name, amount)| (name.as_str(), *amount))
    }

    /// Those amounts whose name passes.
    pub fn filtered(&self, keep: impl Fn(&str) -> bool) -> Self {
        Self(self.0.iter().filter(|(name, _)| keep(name)).map(|(name, amount)| (name.clone(), *amount)).collect())
    }

    /// Whether a resource is named with more than nothing.
    pub fn asks_for(&self, resource: &str) -> bool {
        self.get(resource).is_positive()
    }

    /// Adds `other`, resource by resource.
    pub fn add(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            *self.0.entry(name.clone()).or_default() += *amount;
        }
    }

    /// Raises every resource to at least what `other` has of it.
    pub fn raise(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let own = self.0.entry(name.clone()).or_default();
            *own = (*own).max(*amount);
        }
    }

    /// The part that a snapshot knows, as one pod.
    pub fn as_pod(&self) -> Resources {
        Resources { pods: 1, ..self.as_resources() }
    }

    /// The part that a snapshot knows; `pods` as the list has it.
    pub fn as_resources(&self) -> Resources {
        Resources {
            cpu_milli: self.get("cpu").milli(),
            memory_bytes: self.get("memory").ceil(),
            ephemeral_bytes: self.get("ephemeral-storage").ceil(),
            pods: self.get("pods").ceil(),
        }
    }
}

/// What a container requests: its requests, and its limits for what it does not request, as the apiserver defaults it.
///
/// # Errors
/// When an amount is no quantity.
pub fn of_container(resources: Option<&ResourceRequirements>) -> Result<Requests, QuantityError> {
    let Some(resources) = resources else { return Ok(Requests::default()) };
    let mut requests = resources.limits.as_ref().map_or_else(|| Ok(Requests::default()), Requests::read)?;
    if let Some(list) = &resources.requests {
        requests.0.extend(Requests::read(list)?.0);
    }
    Ok(requests)
}

/// Whether an init container keeps running beside the others (a native sidecar).
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// What a pod requests: the larger of all containers with sidecars and the largest moment of initialisation, plus
/// overhead. A container that is being resized counts with the largest of what it asks for and what it has.
///
/// # Errors
/// When an amount is no quantity.
pub fn of_pod(spec: &PodSpec, status: Option<&PodStatus>) -> Result<Requests, QuantityError> {
    let statuses = |init: bool| {
        status.and_then(|s| if init { s.init_container_statuses.as_ref() } else { s.container_statuses.as_ref() })
    };
    let mut running = largest_moment(spec, |container, init| with_status(container, statuses(init)))?;
    if let Some(list) = spec.resources.as_ref().and_then(|r| r.requests.as_ref()) {
        // Requests of the pod as a whole stand in place of the sum over its containers.
        running.0.extend(Requests::read(list)?.0);
    }
    if let Some(overhead) = &spec.overhead {
        running.add(&Requests::read(overhead)?);
    }
    Ok(running)
}

/// What a pod is limited to, counted as a ResourceQuota counts: a container without a limit adds nothing, and overhead
/// counts only beside a limit.
///
/// # Errors
/// When an amount is no quantity.
pub fn limits_of_pod(spec: &PodSpec) -> Result<Requests, QuantityError> {
    let limits = |resources: Option<&ResourceRequirements>| {
        resources.and_then(|r| r.limits.as_ref()).map_or_else(|| Ok(Requests::default()), Requests::read)
    };
    let mut running = largest_moment(spec, |container, _| limits(container.resources.as_ref()))?;
    running.0.extend(limits(spec.resources.as_ref())?.0);
    if let Some(overhead) = &spec.overhead {
        let overhead = Requests::read(overhead)?.filtered(|name| running.asks_for(name));
        running.add(&overhead);
    }
    Ok(running)
}

/// The larger of all containers with sidecars and the largest moment of initialisation. `of` says what a container takes,
/// and is told whether it is an init container.
fn largest_moment(
    spec: &PodSpec,
    of: impl Fn(&Container, bool) -> Result<Requests, QuantityError>,
) -> Result<Requests, QuantityError> {
    let mut running = Requests::default();
    for container in &spec.containers {
        running.add(&of(container, false)?);
    }
    let (mut sidecars, mut initial) = (Requests::default(), Requests::default());
    for container in spec.init_containers.iter().flatten() {
        let requests = of(container, true)?;
        let mut moment = sidecars.clone();
        moment.add(&requests);
        if is_sidecar(container) {
            running.add(&requests);
            sidecars = moment.clone();
        }
        initial.raise(&moment);
    }
    running.raise(&initial);
    Ok(running)
}

fn with_status(container: &Container, statuses: Option<&Vec<ContainerStatus>>) -> Result<Requests, QuantityError> {
    let mut requests = of_container(container.resources.as_ref())?;
    let Some(status) = statuses.and_then(|all| all.iter().find(|s| s.name == container.name)) else {
        return Ok(requests);
    };
    if let Some(list) = status.resources.as_ref().and_then(|r| r.requests.as_ref()) {
        requests.raise(&Requests::read(list)?);
    }
    if let Some(list) = &status.allocated_resources {
        requests.raise(&Requests::read(list)?);
    }
    Ok(requests)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(yaml: &str) -> Requests {
        of_pod(&serde_yaml::from_str::<PodSpec>(yaml).expect(yaml), None).expect(yaml)
    }

    #[test]
    fn native_sidecars_count_beside_the_containers_and_beside_later_init_containers() {
        let pod = requests(
            "
            containers: [{name: main, resources: {requests: {cpu: '1', memory: 1Gi}}}]
            initContainers:
            - {name: before, resources: {requests: {cpu: '3'}}}
            - {name: sidecar, restartPolicy: Always, resources: {requests: {cpu: 500m, memory: 1Gi}}}
            - {name: after, resources: {requests: {cpu: '4', memory: 512Mi}}}
            overhead: {cpu: 250m}",
        );
        assert_eq!(pod.get("cpu"), Amount::parse("4750m").expect("a quantity"));
        assert_eq!(pod.get("memory"), Amount::parse("2Gi").expect("a quantity"));
    }

    #[test]
    fn limits_count_where_they_stand_and_overhead_beside_them() {
        let spec: PodSpec = serde_yaml::from_str(
            "
            containers:
            - {name: main, resources: {limits: {memory: 2Gi}, requests: {cpu: '1', memory: 1Gi}}}
            - {name: logs, resources: {requests: {cpu: '1', memory: 1Gi}}}
            initContainers: [{name: before, resources: {limits: {memory: 3Gi}}}]
            overhead: {cpu: 250m, memory: 1Gi}",
        )
        .expect("a pod spec");
        let limits = limits_of_pod(&spec).expect("quantities");
        assert_eq!((limits.get("memory").ceil(), limits.find("cpu")), (4 << 30, None));
    }

    #[test]
    fn a_limit_without_a_request_counts_as_a_request() {
        let pod = requests(
            "containers: [{name: main, resources: {limits: {cpu: '2', nvidia.com/gpu: '4'}, requests: {cpu: '1'}}}]",
        );
        assert_eq!(pod.get("cpu").ceil(), 1);
        assert_eq!(pod.get("nvidia.com/gpu").ceil(), 4);
        assert!(!pod.asks_for("memory"));
    }

    #[test]
    fn requests_of_the_pod_as_a_whole_replace_the_sum() {
        let pod = requests(
            "
            resources: {requests: {cpu: '8'}}
            containers: [{name: main, resources: {requests: {cpu: '1', memory: 1Gi}}}]
            overhead: {cpu: '1'}",
        );
        assert_eq!(pod.as_pod(), Resources { cpu_milli: 9000, memory_bytes: 1 << 30, ephemeral_bytes: 0, pods: 1 });
    }

    #[test]
    fn a_container_that_shrinks_counts_as_large_until_it_has() {
        let spec: PodSpec =
            serde_yaml::from_str("containers: [{name: main, resources: {requests: {cpu: '1'}}}]").expect("a pod spec");
        let status: PodStatus = serde_yaml::from_str(
            "containerStatuses: [{name: main, image: '', imageID: '', ready: true, restartCount: 0, allocatedResources: {cpu: '3'}}]",
        )
        .expect("a pod status");
        assert_eq!(of_pod(&spec, Some(&status)).map(|r| r.get("cpu").ceil()), Ok(3));
    }
}
