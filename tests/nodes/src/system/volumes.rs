//! Volumes of a system pod: folders on this machine, and the paths in its arguments that lead there.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{ConfigMap, Container, KeyToPath, Pod, Volume};
use kube::{Api, Client};

/// A volume cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// Its ConfigMap cannot be read.
    #[error("failed to read ConfigMap {name} of a volume")]
    ConfigMap {
        /// The ConfigMap.
        name: String,
        /// What the apiserver said.
        #[source]
        source: Box<kube::Error>,
    },
    /// Its folder cannot be filled.
    #[error("failed to fill {}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Where a container finds its volumes on this machine: mount path and folder, longest mount path first.
#[derive(Debug, Default)]
pub(super) struct Mounts(Vec<(String, String)>);

impl Mounts {
    /// Makes a folder for every volume that the container mounts, and fills those of ConfigMaps.
    pub(super) async fn make(
        client: &Client,
        pod: &Pod,
        container: &Container,
        root: &Path,
    ) -> Result<Self, VolumeError> {
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let config_maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
        let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref());
        let mut mounts = Vec::new();
        for volume in volumes.into_iter().flatten() {
            let mount = container.volume_mounts.iter().flatten().find(|mount| mount.name == volume.name);
            let Some(mount) = mount else { continue };
            let folder = root.join(&volume.name);
            let failed = |source| VolumeError::Folder { folder: folder.clone(), source };
            std::fs::create_dir_all(&folder).map_err(failed)?;
            for (name, items) in sources(volume) {
                let map = config_maps.get_opt(&name).await;
                let map = map.map_err(|error| VolumeError::ConfigMap { name, source: Box::new(error) })?;
                let data = map.and_then(|map| map.data).unwrap_or_default();
                fill(&folder, &data, items).map_err(failed)?;
            }
            mounts.push((mount.mount_path.trim_end_matches('/').to_owned(), folder.to_string_lossy().into_owned()));
        }
        mounts.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        Ok(Self(mounts))
    }

    /// Replaces mount paths at the beginning of the paths in a text.
    pub(super) fn replace(&self, text: &str) -> String {
        let mut replaced = String::with_capacity(text.len());
        let mut rest = text;
        'text: while !rest.is_empty() {
            let begins = replaced.is_empty() || replaced.ends_with(['=', ',', ':', ' ']);
            for (path, folder) in self.0.iter().filter(|_| begins) {
                if let Some(behind) = rest.strip_prefix(path.as_str())
                    && (behind.is_empty() || behind.starts_with(['/', ',', ':', ' ']))
                {
                    replaced.push_str(folder);
                    rest = behind;
                    continue 'text;
                }
            }
            let next = rest.chars().next().map_or(1, char::len_utf8);
            replaced.push_str(&rest[..next]);
            rest = &rest[next..];
        }
        replaced
    }
}

/// The ConfigMaps of a volume, with the keys that are asked for.
fn sources(volume: &Volume) -> Vec<(String, Option<&Vec<KeyToPath>>)> {
    let own = volume.config_map.iter().map(|map| (map.name.clone(), map.items.as_ref()));
    let projected = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
    let projected = projected.filter_map(|source| source.config_map.as_ref());
    own.chain(projected.map(|map| (map.name.clone(), map.items.as_ref()))).collect()
}

fn fill(folder: &Path, data: &BTreeMap<String, String>, items: Option<&Vec<KeyToPath>>) -> io::Result<()> {
    let chosen: Vec<(&str, &str)> = match items {
        Some(items) => items.iter().map(|item| (item.key.as_str(), item.path.as_str())).collect(),
        None => data.keys().map(|key| (key.as_str(), key.as_str())).collect(),
    };
    for (key, path) in chosen {
        if let Some(text) = data.get(key) {
            crate::file::write_atomically(&folder.join(path), text.as_bytes())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_paths_are_replaced() {
        let mounts = Mounts(vec![("/etc/plimsoll".into(), "/f/config".into()), ("/etc".into(), "/f/etc".into())]);
        for (text, expected) in [
            ("/etc/plimsoll/plimsoll.yaml", "/f/config/plimsoll.yaml"),
            ("--config=/etc/plimsoll/plimsoll.yaml", "--config=/f/config/plimsoll.yaml"),
            ("/etc/plimsoll", "/f/config"),
            ("/etc/plimsoll2/x", "/f/etc/plimsoll2/x"),
            ("/home/etc/plimsoll", "/home/etc/plimsoll"),
            ("/etc/a:/etc/b", "/f/etc/a:/f/etc/b"),
            ("é", "é"),
        ] {
            assert_eq!(mounts.replace(text), expected, "{text}");
        }
    }

    #[test]
    fn a_config_map_s_keys_become_files() {
        let folder = tempfile::tempdir().unwrap();
        let data = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
        fill(folder.path(), &data, None).unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("b")).unwrap(), "2");
        let item = KeyToPath { key: "a".into(), path: "deep/a".into(), mode: None };
        fill(folder.path(), &data, Some(&vec![item])).unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("deep/a")).unwrap(), "1");
    }
}
