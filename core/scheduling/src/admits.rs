//! Which nodes a pod may use, whatever is free there. Never wider than the kube-scheduler's own idea: an operator or an
//! effect that is not known here matches nothing.

use crate::{Node, NodeExpression, PodNeeds, Taint, Toleration};

/// Whether taints, node selector and required node affinity let a pod with these needs onto a node.
pub(crate) fn admits(node: &Node, needs: &PodNeeds) -> bool {
    let PodNeeds { base: _, per_gpu: _, node_selector, node_terms, tolerations } = needs;
    node.taints.iter().all(|taint| tolerations.iter().any(|toleration| tolerates(toleration, taint)))
        && node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
        && (node_terms.is_empty() || node_terms.iter().any(|term| term_holds(term, node)))
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let Toleration { key, operator, value, effect } = toleration;
    let effect_matches = effect.is_empty() || *effect == taint.effect;
    let key_matches = match operator.as_str() {
        "Exists" => key.is_empty() || *key == taint.key,
        "Equal" | "" => *key == taint.key && *value == taint.value,
        _ => false,
    };
    effect_matches && key_matches
}

/// An empty term matches nothing, as in Kubernetes.
fn term_holds(term: &[NodeExpression], node: &Node) -> bool {
    !term.is_empty() && term.iter().all(|expression| holds(expression, node))
}

fn holds(expression: &NodeExpression, node: &Node) -> bool {
    let NodeExpression { key, field, operator, values } = expression;
    let found = match (*field, key.as_str()) {
        (false, key) => node.labels.get(key).map(String::as_str),
        (true, "metadata.name") => Some(node.name.as_str()),
        (true, _) => return false,
    };
    match (operator.as_str(), found) {
        ("In", Some(value)) => values.iter().any(|other| other == value),
        ("NotIn", Some(value)) => !values.iter().any(|other| other == value),
        ("NotIn", None) => true,
        ("Exists", found) => !field && found.is_some(),
        ("DoesNotExist", found) => !field && found.is_none(),
        ("Gt", Some(value)) => compare(value, values).is_some_and(|(value, bound)| value > bound) && !field,
        ("Lt", Some(value)) => compare(value, values).is_some_and(|(value, bound)| value < bound) && !field,
        _ => false,
    }
}

fn compare(value: &str, values: &[String]) -> Option<(i64, i64)> {
    let [bound] = values else { return None };
    Some((value.parse().ok()?, bound.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use plimsoll_menu::ClassName;

    use super::*;

    fn node() -> Node {
        Node {
            name: "n1".into(),
            class: ClassName::new("t4"),
            gpus: 4,
            gpus_held_by_others: 0,
            allocatable: Default::default(),
            held_by_others: Default::default(),
            open: true,
            closed_because: String::new(),
            labels: [("zone".to_owned(), "a".to_owned()), ("rank".to_owned(), "7".to_owned())].into(),
            taints: Vec::new(),
            partitioned: false,
            links: Vec::new(),
            link_domain: None,
        }
    }

    fn expression(key: &str, operator: &str, values: &[&str]) -> NodeExpression {
        let field = key == "metadata.name";
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        NodeExpression { key: key.into(), field, operator: operator.into(), values }
    }

    #[test]
    fn expressions_mean_what_they_mean_to_the_kube_scheduler() {
        let cases = [
            (expression("zone", "In", &["b", "a"]), true),
            (expression("zone", "NotIn", &["b"]), true),
            (expression("absent", "NotIn", &["b"]), true),
            (expression("absent", "In", &["b"]), false),
            (expression("zone", "Exists", &[]), true),
            (expression("absent", "DoesNotExist", &[]), true),
            (expression("rank", "Gt", &["6"]), true),
            (expression("rank", "Lt", &["7"]), false),
            (expression("zone", "Gt", &["6"]), false),
            (expression("rank", "Gt", &["1", "2"]), false),
            (expression("metadata.name", "In", &["n1"]), true),
            (expression("metadata.name", "NotIn", &["n1"]), false),
            (expression("metadata.name", "Exists", &[]), false),
            (expression("zone", "Like", &["a"]), false),
        ];
        for (expression, expected) in cases {
            assert_eq!(holds(&expression, &node()), expected, "{expression:?}");
        }
    }

    #[test]
    fn terms_are_alternatives_and_an_empty_term_matches_nothing() {
        let with = |node_terms| PodNeeds { node_terms, ..PodNeeds::default() };
        let (yes, no) = (expression("zone", "Exists", &[]), expression("zone", "DoesNotExist", &[]));
        assert!(admits(&node(), &with(vec![])));
        assert!(!admits(&node(), &with(vec![vec![]])));
        assert!(admits(&node(), &with(vec![vec![no.clone()], vec![yes.clone()]])));
        assert!(!admits(&node(), &with(vec![vec![no, yes]])));
    }

    #[test]
    fn every_taint_must_be_tolerated_the_devices_own_too() {
        let taint = Taint { key: "nvidia.com/gpu".into(), value: "present".into(), effect: "NoSchedule".into() };
        let tainted = Node { taints: vec![taint], ..node() };
        let with = |key: &str, operator: &str, value: &str, effect: &str| PodNeeds {
            tolerations: vec![Toleration {
                key: key.into(),
                operator: operator.into(),
                value: value.into(),
                effect: effect.into(),
            }],
            ..PodNeeds::default()
        };
        assert!(!admits(&tainted, &PodNeeds::default()));
        assert!(admits(&tainted, &with("nvidia.com/gpu", "Exists", "", "")));
        assert!(admits(&tainted, &with("", "Exists", "", "NoSchedule")));
        assert!(admits(&tainted, &with("nvidia.com/gpu", "", "present", "")));
        assert!(!admits(&tainted, &with("nvidia.com/gpu", "Equal", "other", "")));
        assert!(!admits(&tainted, &with("nvidia.com/gpu", "Exists", "", "NoExecute")));
        assert!(!admits(&tainted, &with("", "Equal", "", "")));
    }
}
