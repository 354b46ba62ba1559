//! The kubelet's PodResources socket of a node.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

use super::{Node, RESOURCE};
use plimsoll_agent::attribution::pod_resources::pod_resources_lister_server::{
    PodResourcesLister, PodResourcesListerServer,
};
use plimsoll_agent::attribution::pod_resources::{
    ContainerDevices, ContainerResources, ListPodResourcesRequest, ListPodResourcesResponse, PodResources,
};

/// The socket cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Nobody can listen there.
    #[error("failed to listen on {}", path.display())]
    Listen {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The server ended early.
    #[error("failed to serve {}", path.display())]
    Serve {
        /// The socket.
        path: PathBuf,
        /// What the server said.
        #[source]
        source: tonic::transport::Error,
    },
}

/// Answers on the node's socket until it is dropped.
///
/// # Errors
/// When the socket cannot be had or the server ends early.
pub async fn serve(node: Arc<Node>) -> Result<(), SocketError> {
    let path = node.socket();
    // One of an earlier fleet may be left behind; nobody listens there any more.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).map_err(|source| SocketError::Listen { path: path.clone(), source })?;
    tonic::transport::Server::builder()
        .add_service(PodResourcesListerServer::new(Kubelet { node }))
        .serve_with_incoming(UnixListenerStream::new(listener))
        .await
        .map_err(|source| SocketError::Serve { path, source })
}

struct Kubelet {
    node: Arc<Node>,
}

#[tonic::async_trait]
impl PodResourcesLister for Kubelet {
    async fn list(
        &self,
        _request: Request<ListPodResourcesRequest>,
    ) -> Result<Response<ListPodResourcesResponse>, Status> {
        let mut pod_resources: Vec<PodResources> = Vec::new();
        for (holder, device_ids) in self.node.holdings() {
            let container = ContainerResources {
                name: holder.container,
                devices: vec![ContainerDevices { resource_name: RESOURCE.to_owned(), device_ids }],
            };
            // Holders are sorted by pod, so that containers of one pod follow each other.
            match pod_resources.last_mut() {
                Some(pod) if pod.name == holder.pod && pod.namespace == holder.namespace => {
                    pod.containers.push(container);
                }
                _ => pod_resources.push(PodResources {
                    name: holder.pod,
                    namespace: holder.namespace,
                    containers: vec![container],
                }),
            }
        }
        Ok(Response::new(ListPodResourcesResponse { pod_resources }))
    }
}

#[cfg(test)]
mod tests {
    use hyper_util::rt::TokioIo;
    use tokio::net::UnixStream;
    use tonic::transport::Endpoint;

    use super::*;
    use crate::node::Holder;
    use crate::node::tests::node;
    use plimsoll_agent::attribution::pod_resources::pod_resources_lister_client::PodResourcesListerClient;

    #[tokio::test]
    async fn the_socket_tells_who_holds_what() {
        let folder = tempfile::tempdir().unwrap();
        let node = Arc::new(node(folder.path(), 8));
        node.prepare(&nvidia_ml_mock::built_library().unwrap()).unwrap();
        let holder = Holder { uid: "u".into(), namespace: "nlp".into(), pod: "llm-r1-0".into(), container: "c".into() };
        node.devices().allocate(&[(holder, 2)]).unwrap();
        let expected: Vec<String> = node.devices().all()[..2].iter().map(|device| device.uuid.clone()).collect();
        let server = tokio::spawn(serve(node.clone()));
        let path = node.socket();
        while !path.exists() {
            tokio::task::yield_now().await;
        }
        let connect = tower::service_fn(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        let channel = Endpoint::from_static("http://localhost").connect_with_connector(connect).await.unwrap();
        let answer = PodResourcesListerClient::new(channel).list(ListPodResourcesRequest {}).await.unwrap();
        let pods = answer.into_inner().pod_resources;
        assert_eq!((pods.len(), pods[0].name.as_str(), pods[0].namespace.as_str()), (1, "llm-r1-0", "nlp"));
        assert_eq!(pods[0].containers[0].devices[0].resource_name, "nvidia.com/gpu");
        assert_eq!(pods[0].containers[0].devices[0].device_ids, expected);
        server.abort();
    }
}
