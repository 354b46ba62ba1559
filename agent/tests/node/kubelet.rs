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
    pub fn serve(&self, socket: &Path) -> JoinHandle<()> {
        let listener = UnixListenerStream::new(UnixListener::bind(socket).unwrap());
        let service = PodResourcesListerServer::new(self.clone());
        tokio::spawn(async move { Server::builder().add_service(service).serve_with_incoming(listener).await.unwrap() })
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
