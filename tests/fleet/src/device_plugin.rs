//! The device plugin of a real node: its kubelet hands the devices out, and the scheduler counts them.

mod api;
mod folder;
mod server;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::Endpoint;

use crate::node::{Node, RESOURCE};
use api::registration_client::RegistrationClient;
use api::{DevicePluginOptions, RegisterRequest};
use folder::Folder;
use server::Server;

/// The folder that every kubelet has at this place.
const KUBELET_FOLDER: &str = "/var/lib/kubelet/device-plugins";
/// Name of the plugin's socket there.
const SOCKET: &str = "plimsoll-fleet-gpu.sock";
/// Version of the API.
const VERSION: &str = "v1beta1";
/// Pause after something failed.
const RETRY: Duration = Duration::from_secs(1);
/// How long the kubelet may take to look at a plugin.
const PATIENCE: Duration = Duration::from_secs(10);

/// Devices cannot be offered.
#[derive(Debug, thiserror::Error)]
enum PluginError {
    /// The kubelet's folder is not there, or not any more.
    #[error("failed to watch {}", path.display())]
    Watch {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Nobody can listen there.
    #[error("failed to listen in {}", path.display())]
    Listen {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The kubelet does not listen.
    #[error("failed to reach the kubelet")]
    Connect(#[from] tonic::transport::Error),
    /// The kubelet does not want the plugin.
    #[error("failed to register with the kubelet")]
    Register(#[from] Box<tonic::Status>),
}

/// Offers a node's devices to the kubelet of this machine until it is dropped.
pub(crate) async fn offer(node: Arc<Node>) {
    let uuids: Vec<String> = node.devices().all().iter().map(|device| device.uuid.clone()).collect();
    loop {
        let Err(error) = offer_in(Path::new(KUBELET_FOLDER), &uuids).await;
        tracing::warn!(node = node.name, error = &error as &dyn std::error::Error, "devices are not offered");
        tokio::time::sleep(RETRY).await;
    }
}

/// Offers devices to one kubelet after the other, as long as they share a folder.
async fn offer_in(path: &Path, uuids: &[String]) -> Result<Infallible, PluginError> {
    let watch = |source| PluginError::Watch { path: path.to_owned(), source };
    let folder = Folder::watch(path).map_err(watch)?;
    loop {
        // A kubelet that starts has removed the socket of the one before.
        let server = Server::start(folder.plugin(SOCKET), uuids.to_vec())
            .map_err(|source| PluginError::Listen { path: path.to_owned(), source })?;
        let kubelet = folder.kubelet();
        tokio::select! {
            started = folder.kubelet_starts() => started.map_err(watch)?,
            () = announce(&kubelet) => {}
        }
        drop(server);
    }
}

/// Registers with the kubelet, however often it takes, and stays.
async fn announce(kubelet: &Path) {
    loop {
        match register(kubelet).await {
            Ok(()) => break,
            // It may not be there yet, or have made its socket but not listen so far.
            Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "the kubelet is asked again"),
        }
        tokio::time::sleep(RETRY).await;
    }
    tracing::info!(resource = RESOURCE, "the kubelet knows the devices");
    pending().await
}

async fn register(kubelet: &Path) -> Result<(), PluginError> {
    let path = kubelet.to_owned();
    let connect = tower::service_fn(move |_| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    // The address stands for the socket in headers only.
    let endpoint = Endpoint::from_static("http://localhost").timeout(PATIENCE);
    let mut client = RegistrationClient::new(endpoint.connect_with_connector(connect).await?);
    let request = RegisterRequest {
        version: VERSION.to_owned(),
        endpoint: SOCKET.to_owned(),
        resource_name: RESOURCE.to_owned(),
        options: Some(DevicePluginOptions::default()),
    };
    client.register(request).await.map_err(Box::new)?;
    Ok(())
}
