//! The environment of a container, as a kubelet makes it. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvVar, Pod};

use super::contents::Contents;

/// What only the kubelet knows of a pod.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Addresses<'a> {
    /// Its address.
    pub(crate) pod: &'a str,
    /// Its node's address.
    pub(crate) host: &'a str,
}

/// The variables of a container, in which references to each other are resolved.
pub(crate) fn variables(
    pod: &Pod,
    container: &Container,
    addresses: Addresses<'_>,
    contents: &Contents,
) -> BTreeMap<String, String> {
    let mut known = BTreeMap::new();
    for variable in container.env.iter().flatten() {
        let value = match (&variable.value, &variable.value_from) {
            (Some(text), _) => Some(expand(text, &known)),
            (None, Some(_)) => from(pod, variable, addresses, contents),
            (None, None) => Some(String::new()),
        };
        if let Some(value) = value {
            known.insert(variable.name.clone(), value);
        }
    }
    known
}

/// The arguments of a container.
pub(crate) fn arguments(container: &Container, variables: &BTreeMap<String, String>) -> Vec<String> {
    container.args.iter().flatten().map(|text| expand(text, variables)).collect()
}

/// Replaces `$(NAME)` where the name is known; `$$` is a dollar sign.
pub(crate) fn expand(text: &str, known: &BTreeMap<String, String>) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        result.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(behind) = after.strip_prefix('$') {
            result.push('$');
            rest = behind;
            continue;
        }
        let name = after.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        match name.and_then(|(name, behind)| Some((known.get(name)?, behind))) {
            Some((value, behind)) => {
                result.push_str(value);
                rest = behind;
            }
            None => {
                result.push('$');
                rest = after;
            }
        }
    }
    result.push_str(rest);
    result
}

fn from(pod: &Pod, variable: &EnvVar, addresses: Addresses<'_>, contents: &Contents) -> Option<String> {
    let source = variable.value_from.as_ref()?;
    if let Some(field) = &source.field_ref {
        return field_of(pod, &field.field_path, addresses);
    }
    let bytes = match (&source.config_map_key_ref, &source.secret_key_ref) {
        (Some(key), _) => contents.config_map(&key.name)?.get(&key.key)?,
        (None, Some(key)) => contents.secret(&key.name)?.get(&key.key)?,
        (None, None) => return None,
    };
    String::from_utf8(bytes.clone()).ok()
}

fn field_of(pod: &Pod, path: &str, addresses: Addresses<'_>) -> Option<String> {
    let (metadata, spec) = (&pod.metadata, pod.spec.as_ref());
    match path {
        "metadata.name" => metadata.name.clone(),
        "metadata.namespace" => metadata.namespace.clone(),
        "metadata.uid" => metadata.uid.clone(),
        "spec.nodeName" => spec?.node_name.clone(),
        "spec.serviceAccountName" => spec?.service_account_name.clone(),
        "status.podIP" | "status.podIPs" => Some(addresses.pod.to_owned()),
        "status.hostIP" | "status.hostIPs" => Some(addresses.host.to_owned()),
        _ => {
            let (map, key) = path.split_once("['")?;
            let key = key.strip_suffix("']")?;
            let map = match map {
                "metadata.labels" => metadata.labels.as_ref(),
                "metadata.annotations" => metadata.annotations.as_ref(),
                _ => None,
            };
            Some(map.and_then(|map| map.get(key)).cloned().unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn known() -> BTreeMap<String, String> {
        BTreeMap::from([("A".to_owned(), "1".to_owned()), ("B".to_owned(), "$(A)".to_owned())])
    }

    #[test]
    fn references_expand_as_kubernetes_does() {
        let expand = |text| super::expand(text, &known());
        assert_eq!(expand("--x=$(A)/$(A)"), "--x=1/1");
        assert_eq!(expand("$(NONE) $(A"), "$(NONE) $(A");
        assert_eq!(expand("$$(A) $A $"), "$(A) $A $");
        assert_eq!(expand("$(B)"), "$(A)", "once, not again");
    }

    #[test]
    fn variables_see_the_earlier_ones_and_fields_of_the_pod() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns", "labels": {"plimsoll.dev/revision": "3"}},
            "spec": {"nodeName": "n", "containers": [{"name": "c", "args": ["--at=$(URL)"], "env": [
                {"name": "NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
                {"name": "URL", "value": "$(NAMESPACE)/$(LATER)"},
                {"name": "LATER", "value": "x"},
                {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "REVISION", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['plimsoll.dev/revision']"}}},
                {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "k"}}},
            ]}]},
        }))
        .unwrap();
        let container = &super::super::containers(&pod)[0];
        let addresses = Addresses { pod: "10.0.0.1", host: "10.0.0.2" };
        let all = variables(&pod, container, addresses, &Contents::default());
        let expected = [
            ("IP", "10.0.0.1"),
            ("LATER", "x"),
            ("NAMESPACE", "ns"),
            ("NODE", "n"),
            ("REVISION", "3"),
            ("URL", "ns/$(LATER)"),
        ];
        assert_eq!(all.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>(), expected);
        assert_eq!(arguments(container, &all), ["--at=ns/$(LATER)"]);
    }
}
