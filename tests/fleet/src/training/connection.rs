//! Rank 0's way to the progress endpoint: its own token, its namespace's trust bundle, TLS.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use plimsoll_protocol::{Reply, Report};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::gang::Member;
use crate::access::{AccessError, BoundToken, Renewal};
use crate::files;
use crate::pod::contents::Contents;
use crate::pod::mounts::{Source, resolve};
use crate::service_name::ServiceName;
use crate::world::World;

/// How long an answer may take: a report never holds training up.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a program waits for its last report before it ends.
const LAST_PATIENCE: Duration = Duration::from_secs(3);

/// A program cannot report.
#[derive(Debug, thiserror::Error)]
enum ConnectionError {
    #[error("failed to read the address {0:?}")]
    Url(String),
    #[error("failed to find a token: no projected token is mounted at {0:?}")]
    NoToken(String),
    #[error("failed to find the authority of the progress endpoint at {0:?}")]
    NoAuthority(String),
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error("failed to write {}", .0.display())]
    Write(PathBuf, #[source] std::io::Error),
    #[error("failed to read what the pod mounts")]
    Contents(#[source] Box<kube::Error>),
    #[error("failed to find the Service {0}")]
    Service(String, #[source] Box<kube::Error>),
    #[error("failed to find an address of the Service {0}")]
    NoAddress(String),
    #[error("failed to make a client")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("failed to post a report")]
    Post(#[source] Box<kube::Error>),
    #[error("failed to get an answer within {PATIENCE:?}")]
    Late,
}

/// Sends reports in the background, one at a time.
#[derive(Debug)]
pub(super) struct Reporter {
    reports: mpsc::Sender<Report>,
    replies: mpsc::Receiver<Reply>,
    task: JoinHandle<()>,
}

struct Connection {
    client: Client,
    path: String,
    _token: Renewal,
}

struct Speaker {
    world: Arc<World>,
    pod: Pod,
    container: Container,
    url: String,
    token_file: String,
    ca_file: String,
}

impl Reporter {
    /// Reports for a pod; `name` is the training's in the account.
    pub(super) fn start(world: &Arc<World>, first: &Member, name: String) -> Self {
        let speaker = Speaker {
            world: Arc::clone(world),
            pod: first.pod.clone(),
            container: first.container.clone(),
            url: first.orders.url.clone(),
            token_file: first.orders.token_file.clone(),
            ca_file: first.orders.ca_file.clone(),
        };
        let (reports, queue) = mpsc::channel(1);
        let (answers, replies) = mpsc::channel(4);
        Self { reports, replies, task: tokio::spawn(speak(speaker, name, queue, answers)) }
    }

    /// Sends a report, unless the one before is still on its way.
    pub(super) fn offer(&self, report: Report) {
        let _ = self.reports.try_send(report);
    }

    /// The next answer; without a reporter, never.
    pub(super) async fn reply(reporter: Option<&mut Self>) -> Reply {
        if let Some(reporter) = reporter
            && let Some(reply) = reporter.replies.recv().await
        {
            return reply;
        }
        std::future::pending().await
    }

    /// Sends the last report and waits for its answer, within bounds.
    pub(super) async fn finish(mut self, report: Report) {
        let sent = async {
            // The task ends once all is sent and nobody can send more.
            let _ = self.reports.send(report).await;
            let (closed, _) = mpsc::channel(1);
            self.reports = closed;
            let _ = (&mut self.task).await;
        };
        if timeout(LAST_PATIENCE, sent).await.is_err() {
            tracing::warn!("a program ended before its last report was answered");
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn speak(speaker: Speaker, name: String, mut queue: mpsc::Receiver<Report>, answers: mpsc::Sender<Reply>) {
    let mut connection = None;
    let mut silent = false;
    while let Some(report) = queue.recv().await {
        match speaker.say(&mut connection, &report).await {
            Ok(reply) => {
                silent = false;
                speaker.world.record.training(&name, |training| training.reports_answered += 1);
                // Answers repeat themselves; one that finds no room is made up for by the next.
                let _ = answers.try_send(reply);
            }
            Err(error) => {
                speaker.world.record.training(&name, |training| training.reports_lost += 1);
                let error = &error as &dyn std::error::Error;
                if std::mem::replace(&mut silent, true) {
                    tracing::debug!(training = name, error, "a report was not answered");
                } else {
                    tracing::warn!(training = name, error, "a report was not answered");
                }
            }
        }
    }
}

impl Speaker {
    async fn say(&self, connection: &mut Option<Connection>, report: &Report) -> Result<Reply, ConnectionError> {
        let open = match connection {
            Some(open) => open,
            None => connection.insert(self.open().await?),
        };
        let said = timeout(PATIENCE, open.post(report)).await.unwrap_or(Err(ConnectionError::Late));
        if let Err(error) = &said
            && !matches!(error, ConnectionError::Post(source) if matches!(**source, kube::Error::Api(_)))
        {
            // Whoever listened is gone; the next may have another certificate.
            *connection = None;
        }
        said
    }

    /// Where a host is: a Service has an address.
    async fn host(&self, host: &str) -> Result<String, ConnectionError> {
        let Some(service) = ServiceName::of(host) else { return Ok(host.to_owned()) };
        let address = service.address(&self.world.client).await;
        let address = address.map_err(|source| ConnectionError::Service(host.to_owned(), Box::new(source)))?;
        address.ok_or_else(|| ConnectionError::NoAddress(host.to_owned()))
    }

    async fn open(&self) -> Result<Connection, ConnectionError> {
        let bad_url = || ConnectionError::Url(self.url.clone());
        let uri: Uri = self.url.parse().map_err(|_| bad_url())?;
        let authority = uri.authority().ok_or_else(bad_url)?;
        let host = self.host(authority.host()).await?;
        let port = authority.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
        let server = format!("{}://{host}{port}", uri.scheme_str().unwrap_or("https"));

        let contents = Contents::fetch(&self.world.client, &self.pod).await;
        let contents = contents.map_err(|source| ConnectionError::Contents(Box::new(source)))?;
        let at = |path: &str| resolve(&self.pod, &self.container, path, &contents);
        let Some(Source::Token(token)) = at(&self.token_file) else {
            return Err(ConnectionError::NoToken(self.token_file.clone()));
        };
        let Some(Source::Content(Some(ca))) = at(&self.ca_file) else {
            return Err(ConnectionError::NoAuthority(self.ca_file.clone()));
        };
        let metadata = &self.pod.metadata;
        let folder = self.world.pod_folder(
            metadata.namespace.as_deref().unwrap_or("default"),
            metadata.name.as_deref().unwrap_or_default(),
        );
        let (ca_path, token_path) = (folder.join("ca.crt"), folder.join("token"));
        files::replace(&ca_path, &ca).map_err(|source| ConnectionError::Write(ca_path.clone(), source))?;
        let token = BoundToken::of(&self.pod, token.audience, token.seconds);
        let renewal = token.keep(self.world.client.clone(), token_path.clone()).await?;

        let kubeconfig = json!({
            "clusters": [{"name": "progress", "cluster": {
                // The name stays what the certificate must be of, wherever it leads.
                "server": server, "tls-server-name": authority.host(), "certificate-authority": ca_path}}],
            "users": [{"name": "pod", "user": {"tokenFile": token_path}}],
            "contexts": [{"name": "pod", "context": {"cluster": "progress", "user": "pod"}}],
            "current-context": "pod",
        });
        let kubeconfig: Kubeconfig =
            serde_json::from_value(kubeconfig).map_err(|error| ConnectionError::Client(Box::new(error)))?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .map_err(|error| ConnectionError::Client(Box::new(error)))?;
        // It is on this machine, whatever the environment says of proxies.
        config.proxy_url = None;
        let client = Client::try_from(config).map_err(|error| ConnectionError::Client(Box::new(error)))?;
        Ok(Connection { client, path: uri.path().to_owned(), _token: renewal })
    }
}

impl Connection {
    async fn post(&self, report: &Report) -> Result<Reply, ConnectionError> {
        let client_error = |error: Box<dyn std::error::Error + Send + Sync>| ConnectionError::Client(error);
        let body = serde_json::to_vec(report).map_err(|error| client_error(Box::new(error)))?;
        let request = http::Request::post(&self.path).header(http::header::CONTENT_TYPE, "application/json").body(body);
        let request = request.map_err(|error| client_error(Box::new(error)))?;
        self.client.request(request).await.map_err(|source| ConnectionError::Post(Box::new(source)))
    }
}
