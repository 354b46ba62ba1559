//! Asks the kubelet.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

use super::Attribution;
use super::pod_resources::ListPodResourcesRequest;
use super::pod_resources::pod_resources_lister_client::PodResourcesListerClient;

/// A node with many pods answers with more than the 4 MiB that a gRPC client takes by default.
const ANSWER_LIMIT: usize = 64 << 20;

/// How long the kubelet may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The kubelet's PodResources socket.
#[derive(Clone, Debug)]
pub struct PodResources {
    socket: PathBuf,
    client: PodResourcesListerClient<Channel>,
}

/// The kubelet did not say.
#[derive(Debug, thiserror::Error)]
#[error("failed to list pod resources from {socket}")]
pub struct AskError {
    socket: PathBuf,
    #[source]
    source: Box<tonic::Status>,
}

impl PodResources {
    /// Speaks to a socket, which may be absent for now: each question connects anew where there is no connection.
    #[must_use]
    pub fn at(socket: &Path) -> Self {
        let path = socket.to_owned();
        let connect = tower::service_fn(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        // The address stands for the socket in headers only.
        let endpoint = Endpoint::from_static("http://localhost").connect_timeout(PATIENCE).timeout(PATIENCE);
        let client = PodResourcesListerClient::new(endpoint.connect_with_connector_lazy(connect))
            .max_decoding_message_size(ANSWER_LIMIT);
        Self { socket: socket.to_owned(), client }
    }

    /// Asks who holds what.
    pub async fn ask(&mut self) -> Result<Attribution, AskError> {
        let answer = self.client.list(ListPodResourcesRequest {}).await;
        let answer = answer.map_err(|status| AskError { socket: self.socket.clone(), source: Box::new(status) })?;
        Ok(Attribution::of(answer.into_inner()))
    }
}
