//! What a node lets in, read from the Kubernetes API's words once more.

use super::near::together;
use super::world::{Totals, World, amount, pod_amount};
use crate::{Job, Node, NodeExpression};

use plimsoll_menu::Shape;

/// Why a job's pods may not use a node, whatever is free there; `None` when they may.
pub(super) fn objection(job: &Job, node: &Node) -> Option<&'static str> {
    for taint in &node.taints {
        let mut tolerated = false;
        for toleration in &job.needs.tolerations {
            let same_effect = toleration.effect.is_empty() || toleration.effect == taint.effect;
            let exists = toleration.operator == "Exists" && (toleration.key.is_empty() || toleration.key == taint.key);
            let equal = (toleration.operator == "Equal" || toleration.operator.is_empty())
                && toleration.key == taint.key
                && toleration.value == taint.value;
            tolerated |= same_effect && (exists || equal);
        }
        if !tolerated {
            return Some("a taint is not tolerated");
        }
    }
    for (key, value) in &job.needs.node_selector {
        if node.labels.get(key).is_none_or(|label| label != value) {
            return Some("its node selector does not match");
        }
    }
    let mut terms = job.needs.node_terms.iter();
    if !job.needs.node_terms.is_empty() && !terms.any(|term| !term.is_empty() && term.iter().all(|e| matches(e, node)))
    {
        return Some("no term of its node affinity matches");
    }
    None
}

fn matches(expression: &NodeExpression, node: &Node) -> bool {
    let label = if expression.field {
        if expression.key != "metadata.name" || !["In", "NotIn"].contains(&expression.operator.as_str()) {
            return false;
        }
        Some(&node.name)
    } else {
        node.labels.get(&expression.key)
    };
    let listed = label.is_some_and(|label| expression.values.contains(label));
    let numbers = || {
        let label: i64 = label?.parse().ok()?;
        let bound: i64 = (expression.values.len() == 1).then(|| expression.values[0].parse().ok())??;
        Some((label, bound))
    };
    match expression.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => label.is_some(),
        "DoesNotExist" => label.is_none(),
        "Gt" => numbers().is_some_and(|(label, bound)| label > bound),
        "Lt" => numbers().is_some_and(|(label, bound)| label < bound),
        _ => false,
    }
}

/// Nodes that could take one pod of this shape beside what is held, and the most of them as near each other as the job requires.
pub(super) fn nodes_that_fit(world: &World<'_>, totals: &Totals<'_>, job: &Job, shape: &Shape) -> (u32, u32) {
    let pod = pod_amount(&job.needs, shape.gpus_per_pod);
    let mut fit = Vec::new();
    for node in world.of_class.get(&shape.class).into_iter().flatten() {
        let offered = amount(node.gpus, &node.allocatable);
        let held = totals.nodes[node.name.as_str()];
        let room = (0..5).all(|index| pod[index] == 0 || held[index] + pod[index] <= offered[index]);
        let whole = !node.partitioned || shape.gpus() == 1;
        if node.open && room && whole && objection(job, node).is_none() {
            fit.push(*node);
        }
    }
    (u32::try_from(fit.len()).unwrap_or(u32::MAX), together(world.snapshot, job, fit))
}

/// Nodes that could take one pod of this shape if they were empty and open, as near each other as the job requires.
pub(super) fn nodes_that_could_fit(world: &World<'_>, job: &Job, shape: &Shape) -> u32 {
    let key = (world.kind(job), shape.class.clone(), shape.gpus_per_pod, shape.gpus() == 1);
    if let Some(count) = world.could_hold.borrow().get(&key) {
        return *count;
    }
    let pod = pod_amount(&job.needs, shape.gpus_per_pod);
    let mut could = Vec::new();
    for node in world.of_class.get(&shape.class).into_iter().flatten() {
        let offered = amount(node.gpus, &node.allocatable);
        let room = (0..5).all(|index| pod[index] == 0 || pod[index] <= offered[index]);
        let whole = !node.partitioned || shape.gpus() == 1;
        if room && whole && objection(job, node).is_none() {
            could.push(*node);
        }
    }
    let count = together(world.snapshot, job, could);
    world.could_hold.borrow_mut().insert(key, count);
    count
}
