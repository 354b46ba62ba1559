//! A container image of a few files, written as an OCI archive without a container engine.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::archive::{Archive, NameTooLong};
use crate::blob::{Blob, layout};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// An image to import. It has one layer and no base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    name: String,
    // Sorted, so that the order in which files were added leaves no trace. Without content it is a folder.
    entries: BTreeMap<String, (u32, Option<Vec<u8>>)>,
    command: Vec<String>,
    user: String,
    labels: BTreeMap<String, String>,
}

/// An image as the bytes of its archive.
#[derive(Debug)]
pub struct Archived {
    /// The archive, of the OCI image layout.
    pub bytes: Vec<u8>,
    /// The digest of its manifest, by which an image is pinned.
    pub digest: String,
    /// The manifest as others refer to it.
    pub(crate) descriptor: Value,
}

impl Image {
    /// An empty image. The name must be full, as `localhost/test/hello:1`: the kubelet puts a registry before others.
    pub fn new(name: impl Into<String>) -> Self {
        let (name, user) = (name.into(), String::new());
        Self { name, entries: BTreeMap::new(), command: Vec::new(), user, labels: BTreeMap::new() }
    }

    /// Adds an executable file at a path from the root; 100 bytes of path at most.
    pub fn file(self, path: &str, content: Vec<u8>) -> Self {
        self.entry(path, 0o755, Some(content))
    }

    /// Adds a file that is only read.
    pub fn data(self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.entry(path, 0o644, Some(content.into()))
    }

    /// Adds a folder. Folders above files need not be added, unless with a mode of their own.
    pub fn folder(self, path: &str, mode: u32) -> Self {
        self.entry(path, mode, None)
    }

    fn entry(mut self, path: &str, mode: u32, content: Option<Vec<u8>>) -> Self {
        let path = path.trim_matches('/');
        for (at, _) in path.match_indices('/') {
            self.entries.entry(path[..at].to_owned()).or_insert((0o755, None));
        }
        self.entries.insert(path.to_owned(), (mode, content));
        self
    }

    /// Sets what a container runs when its pod does not say.
    pub fn command<'a>(mut self, words: impl IntoIterator<Item = &'a str>) -> Self {
        self.command = words.into_iter().map(str::to_owned).collect();
        self
    }

    /// Sets the user, as `uid:gid`; root unless set.
    pub fn user(mut self, user: &str) -> Self {
        user.clone_into(&mut self.user);
        self
    }

    /// Sets a label.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// The image's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The archive that `ctr images import` takes.
    ///
    /// # Errors
    /// When the path of a file is too long.
    pub fn archive(&self) -> Result<Archived, NameTooLong> {
        let layer = Blob::new(LAYER, self.layer()?);
        let config = Blob::json(CONFIG, &self.config(&layer));
        let manifest = Blob::json(
            MANIFEST,
            &json!({
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": config.descriptor(),
                "layers": [layer.descriptor()],
                "annotations": self.labels,
            }),
        );
        let (descriptor, digest) = (manifest.descriptor(), manifest.digest());
        let mut entry = descriptor.clone();
        let tag = self.name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        entry["annotations"] = json!({"io.containerd.image.name": self.name, "org.opencontainers.image.ref.name": tag});
        let bytes = layout(&entry, &[&layer, &config, &manifest])?;
        Ok(Archived { bytes, digest, descriptor })
    }

    fn layer(&self) -> Result<Vec<u8>, NameTooLong> {
        let mut files = Archive::default();
        for (path, (mode, content)) in &self.entries {
            match content {
                Some(content) => files.file(path, *mode, content)?,
                None => files.folder(path, *mode)?,
            }
        }
        Ok(files.finish())
    }

    fn config(&self, layer: &Blob) -> Value {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        json!({
            "architecture": architecture,
            "os": "linux",
            "config": {"Entrypoint": self.command, "User": self.user, "Labels": self.labels},
            "rootfs": {"type": "layers", "diff_ids": [layer.digest()]},
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_images_are_equal_bytes_and_another_file_makes_another_image() {
        let image = |content: &[u8]| Image::new("localhost/x:1").file("/x", content.to_vec()).command(["/x"]);
        let bytes = |content| image(content).archive().unwrap().bytes;
        assert_eq!(bytes(b"a"), bytes(b"a"));
        assert_ne!(bytes(b"a"), bytes(b"b"));
    }

    #[test]
    fn the_order_in_which_files_are_added_leaves_no_trace() {
        let (one, other) = (Image::new("localhost/x:1"), Image::new("localhost/x:1"));
        let one = one.folder("tmp", 0o1777).data("etc/a/b", "b").file("x", Vec::new());
        let other = other.file("/x", Vec::new()).data("/etc/a/b", "b").folder("/tmp/", 0o1777);
        assert_eq!(one.archive().unwrap().bytes, other.archive().unwrap().bytes);
        assert_eq!(one.entries.keys().collect::<Vec<_>>(), ["etc", "etc/a", "etc/a/b", "tmp", "x"]);
    }
}
