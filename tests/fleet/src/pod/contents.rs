//! ConfigMaps and Secrets that a pod names.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::{Api, Client};

/// One ConfigMap or Secret.
pub(crate) type Keys = BTreeMap<String, Vec<u8>>;

/// ConfigMaps and Secrets that a pod names, as they are now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    config_maps: BTreeMap<String, Keys>,
    secrets: BTreeMap<String, Keys>,
}

impl Contents {
    /// A ConfigMap.
    pub(crate) fn config_map(&self, name: &str) -> Option<&Keys> {
        self.config_maps.get(name)
    }

    /// A Secret.
    pub(crate) fn secret(&self, name: &str) -> Option<&Keys> {
        self.secrets.get(name)
    }

    /// Fetches them. One that does not exist is absent.
    pub(crate) async fn fetch(client: &Client, pod: &Pod) -> kube::Result<Self> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
        let (maps, secrets) = names(pod);
        let mut contents = Self::default();
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        for name in maps {
            if let Some(map) = api.get_opt(&name).await? {
                contents.config_maps.insert(name, keys_of(map));
            }
        }
        let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
        for name in secrets {
            if let Some(secret) = api.get_opt(&name).await? {
                let data = secret.data.unwrap_or_default();
                contents.secrets.insert(name, data.into_iter().map(|(key, value)| (key, value.0)).collect());
            }
        }
        Ok(contents)
    }
}

fn keys_of(map: ConfigMap) -> Keys {
    let text = map.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into_bytes()));
    text.chain(map.binary_data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0))).collect()
}

/// Names of the ConfigMaps and of the Secrets.
fn names(pod: &Pod) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut maps, mut secrets) = (BTreeSet::new(), BTreeSet::new());
    let Some(spec) = &pod.spec else { return (maps, secrets) };
    for volume in spec.volumes.iter().flatten() {
        maps.extend(volume.config_map.iter().map(|source| source.name.clone()));
        secrets.extend(volume.secret.iter().filter_map(|source| source.secret_name.clone()));
        for source in volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten()) {
            maps.extend(source.config_map.iter().map(|source| source.name.clone()));
            secrets.extend(source.secret.iter().map(|source| source.name.clone()));
        }
    }
    let variables = spec.containers.iter().flat_map(|container| container.env.iter().flatten());
    for source in variables.filter_map(|variable| variable.value_from.as_ref()) {
        maps.extend(source.config_map_key_ref.iter().map(|key| key.name.clone()));
        secrets.extend(source.secret_key_ref.iter().map(|key| key.name.clone()));
    }
    (maps, secrets)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_volumes_and_variables_name_is_fetched() {
        let pod: Pod = serde_json::from_value(json!({"spec": {
            "containers": [{"name": "c", "env": [
                {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m1", "key": "k"}}},
                {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s1", "key": "k"}}}]}],
            "volumes": [
                {"name": "a", "configMap": {"name": "m2"}},
                {"name": "b", "secret": {"secretName": "s2"}},
                {"name": "c", "projected": {"sources": [{"configMap": {"name": "m3"}}, {"secret": {"name": "s3"}}]}},
                {"name": "d", "emptyDir": {}}],
        }}))
        .unwrap();
        let (maps, secrets) = names(&pod);
        assert_eq!(maps.into_iter().collect::<Vec<_>>(), ["m1", "m2", "m3"]);
        assert_eq!(secrets.into_iter().collect::<Vec<_>>(), ["s1", "s2", "s3"]);
    }
}
