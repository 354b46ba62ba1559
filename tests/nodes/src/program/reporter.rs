//! Reports of a program over the network, beside its training: a report never blocks training.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Uri};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{Api, Client, Config};
use plimsoll_protocol::{Reply, Report};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::settings::ReportTo;
use crate::access::{self, AccessError};

/// How long a report may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a report did not arrive.
#[derive(Debug, thiserror::Error)]
enum ReportError {
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error("failed to read the report endpoint's certificate authority")]
    Authority(#[source] Box<kube::Error>),
    #[error("failed to find a certificate authority for the report endpoint")]
    NoAuthority,
    #[error("failed to understand the URL {0:?}")]
    Url(String),
    #[error("failed to report")]
    Send(#[source] Box<kube::Error>),
    #[error("failed to write or read a message")]
    Json(#[from] serde_json::Error),
}

/// Sends reports, one at a time.
pub(super) struct Reporter {
    reports: mpsc::Sender<Report>,
    task: JoinHandle<()>,
}

impl Reporter {
    /// Reports for a pod; what comes back goes to `replies`.
    pub(super) fn start(client: Client, pod: Arc<Pod>, to: ReportTo, replies: mpsc::UnboundedSender<Reply>) -> Self {
        let (reports, mut pending) = mpsc::channel::<Report>(1);
        let task = tokio::spawn(async move {
            let mut line = Line { client, pod, to, open: None };
            let mut failed = false;
            while let Some(report) = pending.recv().await {
                match line.send(&report).await {
                    Ok(reply) => {
                        let step = report.plimsoll.as_ref().and_then(|report| report.step);
                        tracing::debug!(name = line.pod.metadata.name, step, ?reply, "a report arrived");
                        failed = false;
                        let _ = replies.send(reply);
                    }
                    // Said once: an endpoint that is away is away for a while.
                    Err(error) if !failed => {
                        failed = true;
                        let name = &line.pod.metadata.name;
                        tracing::info!(name, error = &error as &dyn std::error::Error, "a report did not arrive");
                    }
                    Err(_) => {}
                }
            }
        });
        Self { reports, task }
    }

    /// Sends a report unless the last one is still on its way.
    pub(super) fn send(&self, report: Report) {
        let _ = self.reports.try_send(report);
    }

    /// Sends the last report and waits for it, not for long.
    pub(super) async fn finish(self, report: Report) {
        let Self { reports, task } = self;
        let abort = task.abort_handle();
        let last = async {
            let _ = reports.send(report).await;
            drop(reports);
            let _ = task.await;
        };
        if tokio::time::timeout(Duration::from_secs(2), last).await.is_err() {
            abort.abort();
        }
    }
}

/// The way to the report endpoint.
struct Line {
    client: Client,
    pod: Arc<Pod>,
    to: ReportTo,
    /// A client with the pod's token, its path, and until when the token is good.
    open: Option<(Client, String, Instant)>,
}

impl Line {
    async fn send(&mut self, report: &Report) -> Result<Reply, ReportError> {
        let (client, path) = self.open().await?;
        let request = Request::post(path).header("content-type", "application/json");
        let request = request.body(serde_json::to_vec(report)?).map_err(|_| ReportError::Url(self.to.url.clone()))?;
        let answer = tokio::time::timeout(PATIENCE, client.request_text(request)).await;
        match answer {
            Ok(Ok(text)) => Ok(serde_json::from_str(&text)?),
            Ok(Err(error)) => {
                // Perhaps the token or the authority is the wrong one by now.
                self.open = None;
                Err(ReportError::Send(Box::new(error)))
            }
            Err(_) => {
                self.open = None;
                Err(ReportError::Send(Box::new(kube::Error::Service("timed out".into()))))
            }
        }
    }

    async fn open(&mut self) -> Result<(Client, String), ReportError> {
        if let Some((client, path, until)) = &self.open
            && Instant::now() < *until
        {
            return Ok((client.clone(), path.clone()));
        }
        let token = access::token(&self.client, &self.pod, self.to.audience.clone()).await?;
        let url: Uri = self.to.url.parse().map_err(|_| ReportError::Url(self.to.url.clone()))?;
        let path = url.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let mut parts = url.into_parts();
        parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
        let base = Uri::from_parts(parts).map_err(|_| ReportError::Url(self.to.url.clone()))?;
        let mut config = Config::new(base);
        config.root_cert = Some(self.authority().await?);
        config.auth_info.token = Some(token.text.into());
        config.connect_timeout = Some(PATIENCE);
        config.default_retry = false;
        let client = Client::try_from(config).map_err(|error| ReportError::Send(Box::new(error)))?;
        self.open = Some((client.clone(), path.clone(), Instant::now() + token.refresh_after));
        Ok((client, path))
    }

    async fn authority(&self) -> Result<Vec<Vec<u8>>, ReportError> {
        let (name, key) = self.to.authority.as_ref().ok_or(ReportError::NoAuthority)?;
        let namespace = self.pod.metadata.namespace.as_deref().unwrap_or_default();
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let map = maps.get_opt(name).await.map_err(|error| ReportError::Authority(Box::new(error)))?;
        let text = map.and_then(|map| map.data?.remove(key)).ok_or(ReportError::NoAuthority)?;
        let certificates = CertificateDer::pem_slice_iter(text.as_bytes()).flatten();
        let certificates: Vec<Vec<u8>> = certificates.map(|certificate| certificate.to_vec()).collect();
        if certificates.is_empty() { Err(ReportError::NoAuthority) } else { Ok(certificates) }
    }
}
