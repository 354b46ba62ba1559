//! Mounts of a container: which file is what, and where it lies on this machine.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, KeyToPath, Pod, Volume};

use super::contents::{Contents, Keys};
use crate::files;

/// A file of a projected token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenFile {
    /// Where it is, relative to its volume.
    pub(crate) path: String,
    /// For whom it is; the apiserver unless given.
    pub(crate) audience: Option<String>,
    /// For how long it is asked for.
    pub(crate) seconds: Option<i64>,
}

/// What a path in a container stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A token.
    Token(TokenFile),
    /// A key of a ConfigMap or Secret; absent while that does not exist.
    Content(Option<Vec<u8>>),
}

/// What a path in a container stands for; `None` when nothing that we know is mounted there.
pub(crate) fn resolve(pod: &Pod, container: &Container, path: &str, contents: &Contents) -> Option<Source> {
    let mounts = container.volume_mounts.iter().flatten();
    let inside = mounts.filter_map(|mount| {
        let rest = path.strip_prefix(mount.mount_path.trim_end_matches('/'))?.strip_prefix('/')?;
        let sub = mount.sub_path.as_deref().map_or(rest.to_owned(), |sub| format!("{sub}/{rest}"));
        Some((mount, sub))
    });
    let (mount, rest) = inside.max_by_key(|(mount, _)| mount.mount_path.len())?;
    let volume = volumes(pod).find(|volume| volume.name == mount.name)?;
    if let Some(token) = tokens(volume).into_iter().find(|token| token.path == rest) {
        return Some(Source::Token(token));
    }
    Some(Source::Content(known_files(volume, contents).remove(&rest)))
}

/// Where mounts of a container lie on this machine, longest path first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(Vec<(String, PathBuf)>);

impl Places {
    /// Writes the volumes that have contents into `folder`. What the host has is looked up with `host`, by name
    /// of the volume and path.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn prepare(
        pod: &Pod,
        container: &Container,
        contents: &Contents,
        folder: &Path,
        host: impl Fn(&str, &str) -> Option<PathBuf>,
    ) -> io::Result<Self> {
        let mut places = Vec::new();
        for mount in container.volume_mounts.iter().flatten() {
            let Some(volume) = volumes(pod).find(|volume| volume.name == mount.name) else { continue };
            let place = match &volume.host_path {
                Some(source) => match host(&volume.name, &source.path) {
                    Some(place) => place,
                    None => continue,
                },
                None => folder.join(&volume.name),
            };
            std::fs::create_dir_all(&place)?;
            for (path, content) in known_files(volume, contents) {
                files::replace(&place.join(path), &content)?;
            }
            places.push((mount.mount_path.trim_end_matches('/').to_owned(), place));
        }
        places.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        Ok(Self(places))
    }

    /// Puts places of this machine where a text names paths of the container.
    pub(crate) fn translate(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (path, place) in self.0.iter().filter(|(path, _)| !path.is_empty()) {
            let ends = |rest: &str| rest.is_empty() || rest.starts_with(['/', ',', ':', ' ']);
            if let Some(at) = text.find(path.as_str()).filter(|at| ends(&text[at + path.len()..])) {
                text.replace_range(at..at + path.len(), &place.to_string_lossy());
                return text;
            }
        }
        text
    }
}

fn volumes(pod: &Pod) -> impl Iterator<Item = &Volume> {
    pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten())
}

fn tokens(volume: &Volume) -> Vec<TokenFile> {
    let sources = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
    let tokens = sources.filter_map(|source| source.service_account_token.as_ref());
    tokens
        .map(|token| TokenFile {
            path: token.path.clone(),
            audience: token.audience.clone(),
            seconds: token.expiration_seconds,
        })
        .collect()
}

/// Files of a volume whose contents are known, by path.
fn known_files(volume: &Volume, contents: &Contents) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut add = |keys: Option<&Keys>, items: Option<&Vec<KeyToPath>>| {
        let Some(keys) = keys else { return };
        match items {
            Some(items) => {
                files.extend(items.iter().filter_map(|item| Some((item.path.clone(), keys.get(&item.key)?.clone()))))
            }
            None => files.extend(keys.clone()),
        }
    };
    if let Some(source) = &volume.config_map {
        add(contents.config_map(&source.name), source.items.as_ref());
    }
    if let Some(source) = &volume.secret {
        add(source.secret_name.as_ref().and_then(|name| contents.secret(name)), source.items.as_ref());
    }
    for source in volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten()) {
        if let Some(source) = &source.config_map {
            add(contents.config_map(&source.name), source.items.as_ref());
        }
        if let Some(source) = &source.secret {
            add(contents.secret(&source.name), source.items.as_ref());
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Pod {
        serde_json::from_value(json!({"spec": {
            "containers": [{"name": "c", "volumeMounts": [
                {"name": "report", "mountPath": "/var/run/secrets/plimsoll.dev"},
                {"name": "kubelet", "mountPath": "/var/lib/kubelet/pod-resources"},
                {"name": "scratch", "mountPath": "/tmp"}]}],
            "volumes": [
                {"name": "report", "projected": {"sources": [
                    {"serviceAccountToken": {"audience": "plimsoll.dev/ns/job", "expirationSeconds": 3600, "path": "token"}},
                    {"configMap": {"name": "ca", "items": [{"key": "ca.crt", "path": "ca.crt"}], "optional": true}}]}},
                {"name": "kubelet", "hostPath": {"path": "/var/lib/kubelet/pod-resources"}},
                {"name": "scratch", "emptyDir": {}}],
        }}))
        .unwrap()
    }

    #[test]
    fn the_token_s_audience_is_read_from_its_volume() {
        let pod = pod();
        let container = &super::super::containers(&pod)[0];
        let at = |path: &str| resolve(&pod, container, path, &Contents::default());
        let Some(Source::Token(token)) = at("/var/run/secrets/plimsoll.dev/token") else { panic!("no token") };
        assert_eq!((token.audience.as_deref(), token.seconds), (Some("plimsoll.dev/ns/job"), Some(3600)));
        assert_eq!(at("/var/run/secrets/plimsoll.dev/ca.crt"), Some(Source::Content(None)), "not there yet");
        assert_eq!(at("/etc/passwd"), None);
    }

    #[test]
    fn paths_of_the_container_become_places_of_this_machine() {
        let (pod, folder) = (pod(), tempfile::tempdir().unwrap());
        let container = &super::super::containers(&pod)[0];
        let host = |_: &str, path: &str| path.ends_with("pod-resources").then(|| folder.path().join("node"));
        let places = Places::prepare(&pod, container, &Contents::default(), folder.path(), host).unwrap();
        let socket = places.translate("/var/lib/kubelet/pod-resources/kubelet.sock");
        assert_eq!(socket, folder.path().join("node/kubelet.sock").to_string_lossy());
        assert_eq!(places.translate("/tmpfs/x"), "/tmpfs/x");
        assert!(folder.path().join("scratch").is_dir());
    }
}
