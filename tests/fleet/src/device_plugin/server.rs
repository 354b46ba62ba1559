//! What a device plugin answers the kubelet.

use std::collections::HashMap;
use std::future::ready;
use std::io;
use std::path::{Path, PathBuf};

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

use super::api::device_plugin_server::{DevicePlugin, DevicePluginServer};
use super::api::{
    AllocateRequest, AllocateResponse, ContainerAllocateResponse, Device, DevicePluginOptions, Empty,
    ListAndWatchResponse, PreStartContainerRequest, PreStartContainerResponse, PreferredAllocationRequest,
    PreferredAllocationResponse,
};

/// By this variable NVIDIA's container runtime is told which devices a container gets.
const VISIBLE_DEVICES: &str = "NVIDIA_VISIBLE_DEVICES";

/// A plugin that listens. When it is dropped its streams end and its socket is gone.
#[derive(Debug)]
pub(super) struct Server {
    socket: PathBuf,
    _alive: watch::Sender<()>,
}

impl Server {
    /// Listens for the kubelet, on behalf of devices by UUID.
    pub(super) fn start(socket: PathBuf, uuids: Vec<String>) -> io::Result<Self> {
        remove(&socket)?;
        let listener = UnixListener::bind(&socket)?;
        let (alive, ended) = watch::channel(());
        let plugin = DevicePluginServer::new(Plugin { uuids, ended: ended.clone() });
        tokio::spawn(async move {
            let incoming = UnixListenerStream::new(listener);
            let served = tonic::transport::Server::builder()
                .add_service(plugin)
                .serve_with_incoming_shutdown(incoming, dropped(ended))
                .await;
            if let Err(error) = served {
                tracing::error!(error = &error as &dyn std::error::Error, "a device plugin ended early");
            }
        });
        Ok(Self { socket, _alive: alive })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.socket) {
            tracing::warn!(%error, socket = %self.socket.display(), "a device plugin's socket stays");
        }
    }
}

/// Removes a socket, which the kubelet may have done already.
fn remove(socket: &Path) -> io::Result<()> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Waits until the sender is dropped; it sends nothing.
async fn dropped(mut ended: watch::Receiver<()>) {
    let _ = ended.changed().await;
}

struct Plugin {
    uuids: Vec<String>,
    ended: watch::Receiver<()>,
}

#[tonic::async_trait]
impl DevicePlugin for Plugin {
    async fn get_device_plugin_options(
        &self,
        _request: Request<Empty>,
    ) -> Result<Response<DevicePluginOptions>, Status> {
        Ok(Response::new(DevicePluginOptions::default()))
    }

    type ListAndWatchStream = BoxStream<'static, Result<ListAndWatchResponse, Status>>;

    async fn list_and_watch(&self, _request: Request<Empty>) -> Result<Response<Self::ListAndWatchStream>, Status> {
        let healthy = |uuid: &String| Device { id: uuid.clone(), health: "Healthy".to_owned() };
        let all = ListAndWatchResponse { devices: self.uuids.iter().map(healthy).collect() };
        // Nothing changes; but the stream's end would tell the kubelet that the devices are gone.
        let rest = stream::once(dropped(self.ended.clone())).filter_map(|()| ready(None));
        Ok(Response::new(stream::iter([Ok(all)]).chain(rest).boxed()))
    }

    async fn get_preferred_allocation(
        &self,
        _request: Request<PreferredAllocationRequest>,
    ) -> Result<Response<PreferredAllocationResponse>, Status> {
        Err(Status::unimplemented("not among the options"))
    }

    async fn allocate(&self, request: Request<AllocateRequest>) -> Result<Response<AllocateResponse>, Status> {
        let mut container_responses = Vec::new();
        for container in request.into_inner().container_requests {
            if let Some(unknown) = container.device_ids.iter().find(|id| !self.uuids.contains(id)) {
                return Err(Status::invalid_argument(format!("unknown device: {unknown}")));
            }
            let envs = HashMap::from([(VISIBLE_DEVICES.to_owned(), container.device_ids.join(","))]);
            container_responses.push(ContainerAllocateResponse { envs });
        }
        Ok(Response::new(AllocateResponse { container_responses }))
    }

    async fn pre_start_container(
        &self,
        _request: Request<PreStartContainerRequest>,
    ) -> Result<Response<PreStartContainerResponse>, Status> {
        Err(Status::unimplemented("not among the options"))
    }
}
