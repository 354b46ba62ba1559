//! The kubelet's PodResources socket, played.

use std::path::Path;
use std::sync::{Arc, Mutex};

use plimsoll_agent::attribution::pod_resources::pod_resources_lister_server::{
    PodResourcesLister, PodResourcesListerServer,
};
use plimsoll_agent::attribution::pod_resources::{
    ContainerDevices, ContainerResources, ListPodResourcesRequest, ListPodResourcesResponse, PodResources,
};
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// Who holds what: pod and device ids.
#[derive(Clone, Default)]
pub struct Kubelet {
    pods: Arc<Mutex<Vec<PodResources>>>,
}

impl Kubelet {
    /// Serves at a socket.
    pub fn serve(&self, socket: &Path) -> Serving {
        let listener = UnixListenerStream::new(UnixListener::bind(socket).unwrap());
        let service = PodResourcesListerServer::new(self.clone());
        let (stop, stopping) = oneshot::channel::<()>();
        // A test that never stops it drops the sender: that is no wish to stop.
        let stopping = async move {
            if stopping.await.is_err() {
                std::future::pending::<()>().await
            }
        };
        let server = Server::builder().add_service(service).serve_with_incoming_shutdown(listener, stopping);
        Serving { stop, stopped: tokio::spawn(async move { server.await.unwrap() }) }
    }

    /// From now on these pods of namespace `lab` hold these devices.
    pub fn set(&self, pods: &[(&str, &[&str])]) {
        let pods = pods.iter().map(|(pod, ids)| {
            let device_ids = ids.iter().map(ToString::to_string).collect();
            let devices = vec![ContainerDevices { resource_name: "nvidia.com/gpu".to_owned(), device_ids }];
            let containers = vec![ContainerResources { name: "train".to_owned(), devices }];
            PodResources { name: (*pod).to_owned(), namespace: "lab".to_owned(), containers }
        });
        *self.pods.lock().unwrap() = pods.collect();
    }
}

/// A kubelet that serves until it is told to stop.
pub struct Serving {
    stop: oneshot::Sender<()>,
    stopped: JoinHandle<()>,
}

impl Serving {
    /// Stops, closes every connection and takes the socket away, as a kubelet that restarts does.
    pub async fn stop(self, socket: &Path) {
        self.stop.send(()).unwrap();
        self.stopped.await.unwrap();
        std::fs::remove_file(socket).unwrap();
    }
}

#[tonic::async_trait]
impl PodResourcesLister for Kubelet {
    async fn list(
        &self,
        _request: Request<ListPodResourcesRequest>,
    ) -> Result<Response<ListPodResourcesResponse>, Status> {
        let pod_resources = self.pods.lock().unwrap().clone();
        Ok(Response::new(ListPodResourcesResponse { pod_resources }))
    }
}
