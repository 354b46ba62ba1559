//! The environment of a container, as a kubelet makes it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};

use super::status::addresses;

/// The environment of a container: literal values with their references expanded, and fields of the pod. Later ones win.
pub fn variables(pod: &Pod, container: &Container) -> BTreeMap<String, String> {
    let mut known = BTreeMap::new();
    for variable in container.env.iter().flatten() {
        let path = (variable.value_from.as_ref())
            .and_then(|from| from.field_ref.as_ref())
            .map(|field_ref| field_ref.field_path.as_str());
        let value = match (&variable.value, path) {
            (_, Some(path)) => field(pod, path).unwrap_or_default(),
            (Some(value), None) => expand(value, &known),
            (None, None) => String::new(),
        };
        known.insert(variable.name.clone(), value);
    }
    known
}

/// A field of a pod by its path.
fn field(pod: &Pod, path: &str) -> Option<String> {
    let (metadata, spec) = (&pod.metadata, pod.spec.as_ref());
    let (ip, host) = addresses(pod);
    match path {
        "metadata.name" => metadata.name.clone(),
        "metadata.namespace" => metadata.namespace.clone(),
        "metadata.uid" => metadata.uid.clone(),
        "spec.nodeName" => spec?.node_name.clone(),
        "spec.serviceAccountName" => spec?.service_account_name.clone(),
        "status.podIP" => Some(ip),
        "status.hostIP" => Some(host),
        _ => {
            let (kind, key) = path.strip_prefix("metadata.")?.split_once("['")?;
            let texts = if kind == "labels" { metadata.labels.as_ref() } else { metadata.annotations.as_ref() };
            texts?.get(key.strip_suffix("']")?).cloned()
        }
    }
}

/// Replaces `$(NAME)` by what is known. `$$` stands for `$`, and a reference to nothing known stays as it is.
pub fn expand(text: &str, known: &BTreeMap<String, String>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        expanded.push_str(&rest[..dollar]);
        let after = &rest[dollar + 1..];
        if let Some(escaped) = after.strip_prefix('$') {
            expanded.push('$');
            rest = escaped;
        } else if let Some((name, behind)) = after.strip_prefix('(').and_then(|inside| inside.split_once(')')) {
            match known.get(name) {
                Some(value) => expanded.push_str(value),
                None => expanded.push_str(&rest[dollar..rest.len() - behind.len()]),
            }
            rest = behind;
        } else {
            expanded.push('$');
            rest = after;
        }
    }
    expanded + rest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_are_expanded_as_kubernetes_does() {
        let known = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        for (text, expected) in [
            ("--a=$(A)", "--a=1"),
            ("$(A)$(A)", "11"),
            ("$(B)/x", "$(B)/x"),
            ("$$(A)", "$(A)"),
            ("cost 5$", "cost 5$"),
            ("$(A", "$(A"),
            ("$A", "$A"),
            ("", ""),
        ] {
            assert_eq!(expand(text, &known), expected, "{text}");
        }
    }

    #[test]
    fn variables_see_those_before_them_and_fields_of_the_pod() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns", "labels": {"a/b": "v"}},
            "spec": {"nodeName": "n1", "containers": [{"name": "c", "env": [
                {"name": "NS", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
                {"name": "MAP", "value": "$(NS)/config"},
                {"name": "EARLY", "value": "$(LATE)"},
                {"name": "LATE", "value": "x"},
                {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a/b']"}}},
            ]}]},
        }))
        .unwrap();
        let known = variables(&pod, &pod.spec.as_ref().unwrap().containers[0]);
        assert_eq!(known["MAP"], "ns/config");
        assert_eq!(known["EARLY"], "$(LATE)");
        assert_eq!((known["NODE"].as_str(), known["LABEL"].as_str()), ("n1", "v"));
    }
}
