//! How programs of pods reach servers: the apiserver by a kubeconfig of their own, both it and the progress endpoint by
//! tokens that are bound to the pod.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{ObjectMeta, PostParams};
use kube::config::{Kubeconfig, KubeconfigError, NamedCluster};
use kube::{Api, Client};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::files;

/// Shortest time after which a token is renewed or asked for again.
const RETRY: Duration = Duration::from_secs(5);

/// A program cannot be given access.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The administrator's kubeconfig cannot be used.
    #[error("failed to read the administrator's kubeconfig")]
    Kubeconfig(#[source] Box<KubeconfigError>),
    /// It does not say which cluster is meant.
    #[error("failed to find the current cluster in the administrator's kubeconfig")]
    NoCluster,
    /// The apiserver gives no token.
    #[error("failed to get a token for pod {pod}")]
    Token {
        /// For which pod.
        pod: String,
        /// What it said.
        #[source]
        source: Box<kube::Error>,
    },
    /// A file cannot be written.
    #[error("failed to write {}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Where the apiserver is.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    cluster: NamedCluster,
}

impl Door {
    /// The current cluster of a kubeconfig.
    pub(crate) fn of(kubeconfig: &Kubeconfig) -> Result<Self, AccessError> {
        let current = kubeconfig.current_context.as_deref();
        let context = kubeconfig.contexts.iter().find(|context| Some(context.name.as_str()) == current);
        let name = context.and_then(|context| context.context.as_ref()).map(|context| context.cluster.as_str());
        let cluster = kubeconfig.clusters.iter().find(|cluster| Some(cluster.name.as_str()) == name);
        Ok(Self { cluster: cluster.cloned().ok_or(AccessError::NoCluster)? })
    }

    /// Writes a kubeconfig that takes its token from a file.
    pub(crate) fn write_kubeconfig(&self, path: &Path, token_file: &Path, namespace: &str) -> Result<(), AccessError> {
        let name = &self.cluster.name;
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [self.cluster],
            "users": [{"name": "pod", "user": {"tokenFile": token_file}}],
            "contexts": [{"name": "pod", "context": {"cluster": name, "user": "pod", "namespace": namespace}}],
            "current-context": "pod",
        });
        write(path, format!("{config:#}\n").as_bytes())
    }
}

/// A token as a kubelet asks for it: of the pod's service account, bound to the pod.
#[derive(Clone, Debug)]
pub(crate) struct BoundToken {
    namespace: String,
    account: String,
    pod: String,
    uid: String,
    audience: Option<String>,
    seconds: i64,
}

/// Ends the renewal of a token when it is dropped.
#[derive(Debug)]
pub(crate) struct Renewal(JoinHandle<()>);

impl Drop for Renewal {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl BoundToken {
    /// A token of a pod; for the apiserver unless an audience is given.
    pub(crate) fn of(pod: &Pod, audience: Option<String>, seconds: Option<i64>) -> Self {
        let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone());
        Self {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            account: account.filter(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned()),
            pod: pod.metadata.name.clone().unwrap_or_default(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            audience,
            seconds: seconds.unwrap_or(3600),
        }
    }

    /// Writes the token to a file and renews it there in time.
    pub(crate) async fn keep(self, client: Client, path: PathBuf) -> Result<Renewal, AccessError> {
        let mut after = self.write(&client, &path).await?;
        Ok(Renewal(tokio::spawn(async move {
            loop {
                tokio::time::sleep(after).await;
                after = self.write(&client, &path).await.unwrap_or_else(|error| {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a token was not renewed");
                    RETRY
                });
            }
        })))
    }

    /// Writes a new token; returns when the next is due.
    async fn write(&self, client: &Client, path: &Path) -> Result<Duration, AccessError> {
        let bound = BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(self.pod.clone()),
            uid: Some(self.uid.clone()),
        };
        let spec = TokenRequestSpec {
            audiences: self.audience.iter().cloned().collect(),
            bound_object_ref: Some(bound),
            expiration_seconds: Some(self.seconds),
        };
        let request = TokenRequest { metadata: ObjectMeta::default(), spec, status: None };
        let api: Api<ServiceAccount> = Api::namespaced(client.clone(), &self.namespace);
        let answer = api.create_token_request(&self.account, &PostParams::default(), &request).await;
        let answer = answer.map_err(|source| AccessError::Token { pod: self.pod.clone(), source: Box::new(source) })?;
        let Some(status) = answer.status else { return Ok(RETRY) };
        write(path, status.token.as_bytes())?;
        // The kubelet renews a token when a fifth of its life is left.
        let life = status.expiration_timestamp.0.duration_since(Timestamp::now()).as_secs_f64() * 0.8;
        Ok(Duration::try_from_secs_f64(life).unwrap_or(RETRY).max(RETRY))
    }
}

fn write(path: &Path, content: &[u8]) -> Result<(), AccessError> {
    files::replace(path, content).map_err(|source| AccessError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_s_kubeconfig_leads_to_the_same_apiserver_without_the_administrator_s_rights() {
        let admin: Kubeconfig = serde_json::from_value(json!({
            "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1", "certificate-authority": "/ca"}}],
            "users": [{"name": "admin", "user": {"token": "secret"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "admin"}}],
            "current-context": "x",
        }))
        .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        Door::of(&admin).unwrap().write_kubeconfig(&path, Path::new("/t"), "ns").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("https://127.0.0.1:1") && text.contains("tokenFile") && !text.contains("secret"));
        let read = Kubeconfig::read_from(&path).unwrap();
        assert_eq!(read.auth_infos[0].auth_info.as_ref().unwrap().token_file.as_deref(), Some("/t"));
    }

    #[test]
    fn a_kubeconfig_without_a_current_cluster_is_refused() {
        assert!(matches!(Door::of(&Kubeconfig::default()), Err(AccessError::NoCluster)));
    }
}
