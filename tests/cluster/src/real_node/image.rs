//! A container image of a few static programs, written as an OCI archive without a container engine.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::archive::Archive;

/// An image to import. It has one layer and no base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    name: String,
    files: Vec<(String, Vec<u8>)>,
    command: Vec<String>,
}

impl Image {
    /// An empty image. The name must be full, as `localhost/test/hello:1`: the kubelet puts a registry before others.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), files: Vec::new(), command: Vec::new() }
    }

    /// Adds an executable file at a path from the root; 100 bytes of path at most.
    pub fn file(mut self, path: &str, content: Vec<u8>) -> Self {
        self.files.push((path.trim_start_matches('/').to_owned(), content));
        self
    }

    /// Sets what a container runs when its pod does not say.
    pub fn command<'a>(mut self, words: impl IntoIterator<Item = &'a str>) -> Self {
        self.command = words.into_iter().map(str::to_owned).collect();
        self
    }

    /// The image's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The archive that `ctr images import` takes.
    pub(super) fn archive(&self) -> Vec<u8> {
        let mut files = Archive::default();
        for (path, content) in &self.files {
            files.file(path, content);
        }
        let layer = Blob::new("layer.v1.tar", files.finish());
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let config = Blob::json(
            "config.v1+json",
            &json!({
                "architecture": architecture,
                "os": "linux",
                "config": {"Entrypoint": self.command},
                "rootfs": {"type": "layers", "diff_ids": [layer.digest()]},
            }),
        );
        let manifest = Blob::json(
            "manifest.v1+json",
            &json!({
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": config.descriptor(),
                "layers": [layer.descriptor()],
            }),
        );
        let mut entry = manifest.descriptor();
        entry["annotations"] = json!({"io.containerd.image.name": self.name});
        let index = json!({"schemaVersion": 2, "manifests": [entry]});
        let mut archive = Archive::default();
        archive.file("oci-layout", br#"{"imageLayoutVersion": "1.0.0"}"#);
        archive.file("index.json", index.to_string().as_bytes());
        for blob in [layer, config, manifest] {
            archive.file(&format!("blobs/sha256/{}", blob.sha256), &blob.content);
        }
        archive.finish()
    }
}

/// Content that is named by its hash.
struct Blob {
    kind: &'static str,
    sha256: String,
    content: Vec<u8>,
}

impl Blob {
    fn new(kind: &'static str, content: Vec<u8>) -> Self {
        let sha256 = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
        Self { kind, sha256, content }
    }

    fn json(kind: &'static str, value: &Value) -> Self {
        Self::new(kind, value.to_string().into_bytes())
    }

    fn digest(&self) -> String {
        format!("sha256:{}", self.sha256)
    }

    fn descriptor(&self) -> Value {
        let media_type = format!("application/vnd.oci.image.{}", self.kind);
        json!({"mediaType": media_type, "digest": self.digest(), "size": self.content.len()})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_images_are_equal_bytes_and_another_file_makes_another_image() {
        let image = |content: &[u8]| Image::new("localhost/x:1").file("/x", content.to_vec()).command(["/x"]);
        assert_eq!(image(b"a").archive(), image(b"a").archive());
        assert_ne!(image(b"a").archive(), image(b"b").archive());
    }
}
