//! How programs of pods reach the apiserver: each with a kubeconfig and a token of its own.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{ObjectMeta, PostParams};
use kube::config::{Kubeconfig, KubeconfigError};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::file::write_atomically;

/// How long a token is asked for; the apiserver takes no less than ten minutes.
const TOKEN_SECONDS: i64 = 3600;

/// Why a program cannot be let in.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The kubeconfig of the administrator cannot be used.
    #[error("failed to read the administrator's kubeconfig")]
    Kubeconfig(#[source] Box<KubeconfigError>),
    /// It names no cluster.
    #[error("failed to find a cluster with a server in the administrator's kubeconfig")]
    NoCluster,
    /// A file of the program cannot be written.
    #[error("failed to write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The apiserver gives no token.
    #[error("failed to get a token of service account {account}")]
    Token {
        /// The account.
        account: String,
        /// What the apiserver said.
        #[source]
        source: Box<kube::Error>,
    },
}

/// Where the apiserver is, and how it is recognised.
#[derive(Clone, Debug, PartialEq)]
pub struct Door {
    cluster: Value,
}

/// A token and for how long it is good.
#[derive(Clone, Debug)]
pub struct Token {
    /// The token.
    pub text: String,
    /// After this long it should be replaced: half of its life.
    pub refresh_after: Duration,
}

impl Door {
    /// Reads where the apiserver is from the administrator's kubeconfig.
    ///
    /// # Errors
    /// When it cannot be read or names no cluster.
    pub fn of(kubeconfig: &Path) -> Result<Self, AccessError> {
        let config = Kubeconfig::read_from(kubeconfig).map_err(|error| AccessError::Kubeconfig(Box::new(error)))?;
        let cluster = config.clusters.into_iter().find_map(|named| named.cluster).ok_or(AccessError::NoCluster)?;
        let server = cluster.server.ok_or(AccessError::NoCluster)?;
        let mut fields = json!({"server": server});
        if let Some(data) = cluster.certificate_authority_data {
            fields["certificate-authority-data"] = json!(data);
        }
        if let Some(file) = cluster.certificate_authority {
            fields["certificate-authority"] = json!(file);
        }
        Ok(Self { cluster: fields })
    }

    /// Writes a kubeconfig whose token stands in a file of its own, so that it can be replaced.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_kubeconfig(&self, path: &Path, token_file: &Path, namespace: &str) -> Result<(), AccessError> {
        let name = "fleet";
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": name,
            "clusters": [{"name": name, "cluster": self.cluster}],
            "users": [{"name": name, "user": {"tokenFile": token_file}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": namespace}}],
        });
        // JSON is YAML.
        let text = config.to_string();
        write_atomically(path, text.as_bytes()).map_err(|source| AccessError::Write { path: path.to_owned(), source })
    }
}

/// Gets a token of a pod's service account, bound to the pod. Without an audience it is for the apiserver.
///
/// # Errors
/// When the apiserver gives none.
pub async fn token(client: &Client, pod: &Pod, audience: Option<String>) -> Result<Token, AccessError> {
    let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone());
    let account = account.filter(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned());
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &namespace);
    let request = TokenRequest {
        metadata: ObjectMeta::default(),
        spec: TokenRequestSpec {
            audiences: audience.into_iter().collect(),
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: pod.metadata.name.clone(),
                uid: pod.metadata.uid.clone(),
            }),
            expiration_seconds: Some(TOKEN_SECONDS),
        },
        status: None,
    };
    let answer = accounts.create_token_request(&account, &PostParams::default(), &request).await;
    let status = match answer {
        Ok(answer) => answer.status,
        Err(source) => return Err(AccessError::Token { account, source: Box::new(source) }),
    };
    let (text, until) = status.map(|s| (s.token, s.expiration_timestamp.0)).unwrap_or_default();
    let life = until.duration_since(Timestamp::now()).as_secs();
    Ok(Token { text, refresh_after: Duration::from_secs(u64::try_from(life / 2).unwrap_or(0).max(30)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADMIN: &str = r"
apiVersion: v1
kind: Config
current-context: x
clusters: [{name: x, cluster: {server: 'https://127.0.0.1:6443', certificate-authority-data: Q0E=}}]
users: [{name: x, user: {client-certificate-data: secret, client-key-data: secret}}]
contexts: [{name: x, context: {cluster: x, user: x}}]
";

    #[test]
    fn a_pod_gets_the_server_and_its_own_token_and_nothing_of_the_administrator() {
        let folder = tempfile::tempdir().unwrap();
        let admin = folder.path().join("admin");
        std::fs::write(&admin, ADMIN).unwrap();
        let written = folder.path().join("kubeconfig");
        Door::of(&admin).unwrap().write_kubeconfig(&written, Path::new("/pods/a/token"), "plimsoll-system").unwrap();
        let text = std::fs::read_to_string(&written).unwrap();
        assert!(!text.contains("secret"));
        let read = Kubeconfig::read_from(&written).unwrap();
        let cluster = read.clusters[0].cluster.as_ref().unwrap();
        assert_eq!(cluster.server.as_deref(), Some("https://127.0.0.1:6443"));
        assert_eq!(cluster.certificate_authority_data.as_deref(), Some("Q0E="));
        let user = read.auth_infos[0].auth_info.as_ref().unwrap();
        assert_eq!(user.token_file.as_deref(), Some("/pods/a/token"));
        assert_eq!(read.contexts[0].context.as_ref().unwrap().namespace.as_deref(), Some("plimsoll-system"));
    }
}
