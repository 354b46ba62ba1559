//! Content that is named by its hash, and the layout of files that holds it.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::archive::{Archive, NameTooLong};

/// Content and what it is.
#[derive(Debug)]
pub(crate) struct Blob {
    media_type: &'static str,
    sha256: String,
    content: Vec<u8>,
}

/// The SHA-256 of bytes, in hexadecimal digits.
pub fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Blob {
    pub(crate) fn new(media_type: &'static str, content: Vec<u8>) -> Self {
        Self { media_type, sha256: sha256(&content), content }
    }

    pub(crate) fn json(media_type: &'static str, value: &Value) -> Self {
        Self::new(media_type, value.to_string().into_bytes())
    }

    pub(crate) fn digest(&self) -> String {
        format!("sha256:{}", self.sha256)
    }

    pub(crate) fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest(), "size": self.content.len()})
    }
}

/// An archive of the OCI image layout with one manifest.
pub(crate) fn layout(manifest: &Value, blobs: &[&Blob]) -> Result<Vec<u8>, NameTooLong> {
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [manifest],
    });
    let mut archive = Archive::default();
    archive.file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    archive.file("index.json", 0o644, index.to_string().as_bytes())?;
    let mut blobs = blobs.to_vec();
    blobs.sort_by_key(|blob| &blob.sha256);
    blobs.dedup_by_key(|blob| &blob.sha256);
    for blob in blobs {
        archive.file(&format!("blobs/sha256/{}", blob.sha256), 0o644, &blob.content)?;
    }
    Ok(archive.finish())
}
