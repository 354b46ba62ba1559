//! A plugin against a kubelet that is played.

use std::os::unix::fs::FileTypeExt as _;

use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::api::device_plugin_client::DevicePluginClient;
use super::api::registration_server::{Registration, RegistrationServer};
use super::api::{AllocateRequest, ContainerAllocateRequest, Empty};
use super::*;

struct Kubelet(mpsc::UnboundedSender<RegisterRequest>);

#[tonic::async_trait]
impl Registration for Kubelet {
    async fn register(&self, request: Request<RegisterRequest>) -> Result<Response<Empty>, Status> {
        self.0.send(request.into_inner()).unwrap();
        Ok(Response::new(Empty {}))
    }
}

/// Starts a kubelet as a real one does: the folder is emptied, then its socket is made.
fn kubelet(folder: &Path, registered: mpsc::UnboundedSender<RegisterRequest>) -> JoinHandle<()> {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        std::fs::remove_file(entry.path()).unwrap();
    }
    let incoming = UnixListenerStream::new(UnixListener::bind(folder.join("kubelet.sock")).unwrap());
    let service = RegistrationServer::new(Kubelet(registered));
    tokio::spawn(async move {
        tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming).await.unwrap();
    })
}

async fn plugin(socket: PathBuf) -> DevicePluginClient<Channel> {
    let connect = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    let channel = Endpoint::from_static("http://localhost").connect_with_connector(connect).await.unwrap();
    DevicePluginClient::new(channel)
}

fn uuids() -> Vec<String> {
    ["GPU-a", "GPU-b", "GPU-c"].map(str::to_owned).to_vec()
}

#[tokio::test]
async fn the_kubelet_is_told_of_all_devices_and_containers_of_theirs() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().to_owned();
    let (sender, mut registered) = mpsc::unbounded_channel();
    let _kubelet = kubelet(&folder, sender);
    let offered = tokio::spawn({
        let folder = folder.clone();
        async move { offer_in(&folder, &uuids()).await }
    });
    let request = registered.recv().await.unwrap();
    assert_eq!((request.version.as_str(), request.resource_name.as_str()), ("v1beta1", "nvidia.com/gpu"));

    let socket = folder.join(&request.endpoint);
    let mut plugin = plugin(socket.clone()).await;
    let mut lists = plugin.list_and_watch(Empty {}).await.unwrap().into_inner();
    let devices = lists.message().await.unwrap().unwrap().devices;
    assert_eq!(devices.iter().map(|device| device.id.clone()).collect::<Vec<_>>(), uuids());
    assert!(devices.iter().all(|device| device.health == "Healthy"));

    let wants = |ids: &[&str]| AllocateRequest {
        container_requests: vec![ContainerAllocateRequest {
            device_ids: ids.iter().map(|&id| id.to_owned()).collect(),
        }],
    };
    let given = plugin.allocate(wants(&["GPU-c", "GPU-a"])).await.unwrap().into_inner();
    assert_eq!(given.container_responses[0].envs["NVIDIA_VISIBLE_DEVICES"], "GPU-c,GPU-a");
    let refused = plugin.allocate(wants(&["GPU-z"])).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);

    offered.abort();
    assert!(lists.message().await.unwrap().is_none(), "the stream's end says that the devices are gone");
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_kubelet_that_starts_again_is_told_again() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().to_owned();
    let (sender, mut registered) = mpsc::unbounded_channel();
    let offered = tokio::spawn({
        let folder = folder.clone();
        async move { offer_in(&folder, &uuids()).await }
    });
    for _ in 0..3 {
        let kubelet = kubelet(&folder, sender.clone());
        let endpoint = registered.recv().await.unwrap().endpoint;
        assert!(std::fs::metadata(folder.join(endpoint)).unwrap().file_type().is_socket());
        kubelet.abort();
    }
    offered.abort();
}
