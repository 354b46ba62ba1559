//! Pins a pod to its node. Pure.

use serde_json::{Map, Value, json};

use super::BuildError;
use super::patch::{list, object};

/// ANDs the node into every required node selector term, or makes one term of it. Terms are alternatives: a pin beside
/// them would be one more alternative, not a condition.
pub(super) fn pin(spec: &mut Map<String, Value>, node: &str) -> Result<(), BuildError> {
    let affinity = object(spec, "affinity", "affinity")?;
    let node_affinity = object(affinity, "nodeAffinity", "affinity.nodeAffinity")?;
    let required = object(
        node_affinity,
        "requiredDuringSchedulingIgnoredDuringExecution",
        "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution",
    )?;
    let terms = list(required, "nodeSelectorTerms", "a list of node selector terms")?;
    if terms.is_empty() {
        terms.push(json!({}));
    }
    for term in terms {
        let term = term.as_object_mut().ok_or(BuildError::Form("a node selector term"))?;
        let fields = list(term, "matchFields", "matchFields of a node selector term")?;
        fields.push(json!({"key": "metadata.name", "operator": "In", "values": [node]}));
    }
    Ok(())
}

/// Tolerates the taint that keeps other pods off nodes with accelerators: its key is the resource's name, as the
/// apiserver's ExtendedResourceToleration plugin has it.
pub(super) fn tolerate(spec: &mut Map<String, Value>, resource: &str) -> Result<(), BuildError> {
    let tolerations = list(spec, "tolerations", "tolerations")?;
    let wanted = json!({"key": resource, "operator": "Exists", "effect": "NoSchedule"});
    if !tolerations.contains(&wanted) {
        tolerations.push(wanted);
    }
    Ok(())
}
