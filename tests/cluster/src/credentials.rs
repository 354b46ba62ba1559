//! Who may speak to the apiserver: bearer tokens, kubeconfigs, and the key that signs service account tokens.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use kube::config::Kubeconfig;
use serde_json::json;

/// Why credentials were not made.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The kernel gave no random bytes.
    #[error("failed to make a random token")]
    Random(#[source] io::Error),
    /// The signing key was not made.
    #[error("failed to make the service account key")]
    Key(#[source] rcgen::Error),
    /// A file was not written.
    #[error("failed to write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A kubeconfig was not readable.
    #[error("failed to read kubeconfig")]
    Kubeconfig(#[source] Box<kube::config::KubeconfigError>),
}

/// The users of the token file. Each has its own name, so that the audit log tells them apart; all may do everything,
/// since only real service accounts are there to be tested.
pub(crate) const USERS: [&str; 4] = ["admin", "system:kube-controller-manager", "system:kube-scheduler", "kwok"];

/// Where the apiserver is and how to know it.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) cluster: String,
    pub(crate) address: &'static str,
    pub(crate) port: u16,
    /// The apiserver's own certificate, written by itself on its first start.
    pub(crate) certificate: PathBuf,
}

/// Writes `tokens.csv`, `sa.key`, `sa.pub` and one kubeconfig per user into the folder.
///
/// Further users come with the group that each is in.
pub(crate) fn write_all(folder: &Path, endpoint: &Endpoint, further: &[(&str, &str)]) -> Result<(), CredentialsError> {
    let mut csv = String::new();
    for (user, group) in USERS.iter().map(|user| (*user, "system:masters")).chain(further.iter().copied()) {
        let token = random_token().map_err(CredentialsError::Random)?;
        csv.push_str(&format!("{token},{user},{user},{group}\n"));
        write_kubeconfig(&kubeconfig_path(folder, user), endpoint, user, &token)?;
    }
    write_private(&folder.join("tokens.csv"), csv.as_bytes())?;
    let key = rcgen::KeyPair::generate().map_err(CredentialsError::Key)?;
    write_private(&folder.join("sa.key"), key.serialize_pem().as_bytes())?;
    write_private(&folder.join("sa.pub"), key.public_key_pem().as_bytes())
}

/// The file name has no colon, which a list of kubeconfigs would be split at.
pub(crate) fn kubeconfig_path(folder: &Path, user: &str) -> PathBuf {
    match user {
        "admin" => folder.join("kubeconfig"),
        _ => folder.join(format!("{}.kubeconfig", user.trim_start_matches("system:").replace(':', "-"))),
    }
}

/// Writes a kubeconfig for a bearer token. The apiserver's certificate is verified.
pub(crate) fn write_kubeconfig(
    path: &Path,
    endpoint: &Endpoint,
    user: &str,
    token: &str,
) -> Result<(), CredentialsError> {
    let name = format!("plimsoll-{}", endpoint.cluster);
    let server = format!("https://{}:{}", endpoint.address, endpoint.port);
    // JSON is YAML too, and cannot be broken by an odd character in a path.
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority": endpoint.certificate}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user, "namespace": "default"}}],
        "current-context": name,
    });
    write_private(path, format!("{config:#}\n").as_bytes())
}

/// Reads a kubeconfig that was written here.
pub(crate) fn read_kubeconfig(path: &Path) -> Result<Kubeconfig, CredentialsError> {
    Kubeconfig::read_from(path).map_err(|error| CredentialsError::Kubeconfig(Box::new(error)))
}

fn random_token() -> io::Result<String> {
    let mut bytes = [0_u8; 24];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Only the owner may read it.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<(), CredentialsError> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(content))
        .map_err(|source| CredentialsError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn every_user_has_a_token_of_its_own_that_only_the_owner_may_read() {
        let folder = tempfile::tempdir().unwrap();
        let endpoint = Endpoint {
            cluster: "x".to_owned(),
            address: "127.0.0.1",
            port: 6443,
            certificate: folder.path().join("apiserver.crt"),
        };
        write_all(folder.path(), &endpoint, &[("system:node:n", "system:nodes")]).unwrap();
        let csv = std::fs::read_to_string(folder.path().join("tokens.csv")).unwrap();
        let tokens: std::collections::BTreeSet<&str> = csv.lines().map(|line| &line[..48]).collect();
        assert_eq!(tokens.len(), USERS.len() + 1);
        assert!(csv.ends_with(",system:node:n,system:node:n,system:nodes\n"), "{csv}");
        assert!(folder.path().join("node-n.kubeconfig").exists());
        let path = kubeconfig_path(folder.path(), "system:kube-scheduler");
        assert_eq!(path.file_name().unwrap(), "kube-scheduler.kubeconfig");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let config = read_kubeconfig(&kubeconfig_path(folder.path(), "admin")).unwrap();
        assert_eq!(config.current_context.unwrap(), "plimsoll-x");
    }
}
