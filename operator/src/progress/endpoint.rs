//! Where the progress Service leads: to the leader alone, for only the leader listens. Client required.
//!
//! The Service has no selector, so that the standby replica can be Ready without being sent reports; the leader writes the
//! one EndpointSlice itself.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use plimsoll_crds::labels;

use crate::args::Args;
use crate::lease::{Fence, Fenced};

/// Who writes it.
const MANAGER: &str = "plimsoll/progress-endpoint";
/// Who keeps it, in the words of discovery.k8s.io: no controller of Kubernetes touches it.
const MANAGED_BY: &str = "operator.plimsoll.dev";
/// Name of the Service's port.
const PORT: &str = "progress";

/// Why the Service leads nowhere.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// This replica leads no more.
    #[error(transparent)]
    Fenced(#[from] Fenced),
    /// There is no such Service, or it could not be read.
    #[error("failed to read the Service {name}")]
    Service {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// The slice could not be written.
    #[error("failed to apply the EndpointSlice {name}")]
    Apply {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
}

/// The address of this replica behind the progress Service.
#[derive(Clone)]
pub struct Leader {
    client: Client,
    fence: Fence,
    namespace: String,
    service: String,
    address: SocketAddr,
}

impl Leader {
    /// `None` where there is nothing to be written: without a Service, or without an address that pods could reach.
    pub fn of(args: &Args, client: Client, fence: Fence) -> Option<Self> {
        let ip = args.pod_ip.filter(|ip| !ip.is_loopback() && !ip.is_unspecified())?;
        let service = args.progress_service.clone()?;
        let address = SocketAddr::new(ip, args.progress_bind.port());
        Some(Self { client, fence, namespace: args.namespace.clone(), service, address })
    }

    /// Writes the slice if it does not say what it should.
    ///
    /// # Errors
    /// When there is no such Service, or the apiserver refuses the write.
    pub async fn keep(&self, slices: &[Arc<EndpointSlice>]) -> Result<(), EndpointError> {
        if slices.iter().any(|slice| self.agrees(slice)) {
            return Ok(());
        }
        self.fence.check()?;
        let api: Api<Service> = Api::namespaced(self.client.clone(), &self.namespace);
        let name = || self.service.clone();
        let service = api
            .get_metadata(&self.service)
            .await
            .map_err(|source| EndpointError::Service { name: name(), source: Box::new(source) })?;
        let slice = self.slice(service.metadata.uid.unwrap_or_default());
        self.fence.check()?;
        let api: Api<EndpointSlice> = Api::namespaced(self.client.clone(), &self.namespace);
        let params = PatchParams::apply(MANAGER).force();
        let applied = api.patch(&self.service, &params, &Patch::Apply(&slice)).await;
        applied.map(drop).map_err(|source| EndpointError::Apply { name: name(), source: Box::new(source) })?;
        tracing::info!(address = %self.address, service = self.service, "training programs are led here");
        Ok(())
    }

    /// The slice; it goes when its Service goes.
    fn slice(&self, service_uid: String) -> EndpointSlice {
        let labels = [
            ("kubernetes.io/service-name", self.service.as_str()),
            ("endpointslice.kubernetes.io/managed-by", MANAGED_BY),
            (labels::PART_OF, "plimsoll"),
            (labels::MANAGED_BY, "plimsoll"),
        ];
        EndpointSlice {
            metadata: ObjectMeta {
                name: Some(self.service.clone()),
                namespace: Some(self.namespace.clone()),
                labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
                owner_references: Some(vec![OwnerReference {
                    api_version: "v1".into(),
                    kind: "Service".into(),
                    name: self.service.clone(),
                    uid: service_uid,
                    controller: None,
                    block_owner_deletion: None,
                }]),
                ..ObjectMeta::default()
            },
            address_type: match self.address.ip() {
                IpAddr::V4(_) => "IPv4".into(),
                IpAddr::V6(_) => "IPv6".into(),
            },
            endpoints: vec![Endpoint {
                addresses: vec![self.address.ip().to_string()],
                conditions: Some(EndpointConditions { ready: Some(true), ..EndpointConditions::default() }),
                ..Endpoint::default()
            }],
            ports: Some(vec![EndpointPort {
                name: Some(PORT.into()),
                port: Some(i32::from(self.address.port())),
                protocol: Some("TCP".into()),
                ..EndpointPort::default()
            }]),
        }
    }

    /// Whether a slice leads here, whatever the apiserver added to it.
    fn agrees(&self, slice: &EndpointSlice) -> bool {
        let wanted = self.slice(String::new());
        let says = |slice: &EndpointSlice| {
            let endpoint = |e: &Endpoint| (e.addresses.clone(), e.conditions.as_ref().and_then(|c| c.ready));
            let port = |p: &EndpointPort| (p.name.clone(), p.port, p.protocol.clone());
            let endpoints: Vec<_> = slice.endpoints.iter().map(endpoint).collect();
            (endpoints, slice.ports.iter().flatten().map(port).collect::<Vec<_>>(), slice.address_type.clone())
        };
        let labelled = |key: &String, value: &String| {
            slice.metadata.labels.as_ref().and_then(|labels| labels.get(key)).is_some_and(|found| found == value)
        };
        slice.metadata.deletion_timestamp.is_none()
            && slice.metadata.name.as_ref() == Some(&self.service)
            && wanted.metadata.labels.iter().flatten().all(|(key, value)| labelled(key, value))
            && says(slice) == says(&wanted)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::{Duration, Instant};

    use axum::http::{Request, Response};
    use clap::Parser as _;
    use kube::client::Body;
    use serde_json::{Value, json};
    use tower_test::mock;

    use super::*;

    /// What an apiserver was asked: method and path, and the body.
    type Calls = Arc<Mutex<Vec<(String, Value)>>>;

    /// An apiserver that has the Service, and every call that it gets.
    fn apiserver() -> (Client, Calls) {
        let (service, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
        let calls: Calls = Arc::default();
        let seen = calls.clone();
        tokio::spawn(async move {
            while let Some((request, send)) = handle.next_request().await {
                let (parts, body) = request.into_parts();
                let bytes = body.collect_bytes().await.unwrap_or_default();
                let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
                seen.lock().unwrap().push((format!("{} {}", parts.method, parts.uri.path()), body.clone()));
                let answer = if body.is_null() {
                    json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
                        "metadata": {"name": "plimsoll-progress", "uid": "service-uid"}})
                } else {
                    body
                };
                send.send_response(Response::new(serde_json::to_vec(&answer).unwrap().into()));
            }
        });
        (Client::new(service, "default"), calls)
    }

    fn leader(client: &Client, ip: Option<&str>) -> Option<Leader> {
        let mut args = Args::parse_from(["plimsoll-operator", "--namespace", "plimsoll-system"]);
        args.progress_service = Some("plimsoll-progress".into());
        args.pod_ip = ip.map(|ip| ip.parse().unwrap());
        let fence = Fence::default();
        fence.set(Some(Instant::now() + Duration::from_secs(60)));
        Leader::of(&args, client.clone(), fence)
    }

    #[tokio::test]
    async fn the_service_leads_to_the_leader() {
        let (client, calls) = apiserver();
        let leader = leader(&client, Some("10.64.0.7")).unwrap();
        leader.keep(&[]).await.unwrap();
        let calls = calls.lock().unwrap().clone();
        let paths: Vec<&str> = calls.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "GET /api/v1/namespaces/plimsoll-system/services/plimsoll-progress",
                "PATCH /apis/discovery.k8s.io/v1/namespaces/plimsoll-system/endpointslices/plimsoll-progress"
            ]
        );
        let expected = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {
                "name": "plimsoll-progress", "namespace": "plimsoll-system",
                "labels": {"kubernetes.io/service-name": "plimsoll-progress",
                    "endpointslice.kubernetes.io/managed-by": "operator.plimsoll.dev",
                    "app.kubernetes.io/part-of": "plimsoll", "app.kubernetes.io/managed-by": "plimsoll"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": "plimsoll-progress",
                    "uid": "service-uid"}]},
            "endpoints": [{"addresses": ["10.64.0.7"], "conditions": {"ready": true}}],
            "ports": [{"name": "progress", "port": 8443, "protocol": "TCP"}],
        });
        assert_eq!(calls[1].1, expected);
    }

    #[tokio::test]
    async fn a_slice_that_says_so_already_is_left_alone_and_any_other_is_corrected() {
        let (client, calls) = apiserver();
        let leader = leader(&client, Some("10.64.0.7")).unwrap();
        let right = leader.slice("service-uid".into());
        leader.keep(&[Arc::new(right.clone())]).await.unwrap();
        assert!(calls.lock().unwrap().is_empty());
        let mut elsewhere = right.clone();
        elsewhere.endpoints[0].addresses = vec!["10.64.0.8".into()];
        let mut unlabelled = right;
        unlabelled.metadata.labels = None;
        for wrong in [elsewhere, unlabelled] {
            leader.keep(&[Arc::new(wrong)]).await.unwrap();
            assert_eq!(calls.lock().unwrap().drain(..).count(), 2);
        }
    }

    #[tokio::test]
    async fn nothing_is_written_from_a_host_or_once_the_lease_is_over() {
        let (client, calls) = apiserver();
        for ip in [None, Some("127.0.0.1"), Some("::1"), Some("0.0.0.0")] {
            assert!(leader(&client, ip).is_none());
        }
        let leader = leader(&client, Some("fd00::7")).unwrap();
        assert_eq!(leader.slice(String::new()).address_type, "IPv6");
        leader.fence.set(None);
        assert!(matches!(leader.keep(&[]).await, Err(EndpointError::Fenced(_))));
        assert!(calls.lock().unwrap().is_empty());
    }
}
