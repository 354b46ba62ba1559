//! Names of Services: a program that is played has no cluster DNS to ask.

use k8s_openapi::api::core::v1::Service;
use kube::{Api, Client};

/// A Service, by the name that DNS knows it under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceName {
    namespace: String,
    name: String,
}

impl ServiceName {
    /// The Service that a host's name is of, if it is one's.
    pub(crate) fn of(host: &str) -> Option<Self> {
        let front = host.strip_suffix(".cluster.local").unwrap_or(host).strip_suffix(".svc")?;
        let (name, namespace) = front.split_once('.')?;
        let plain = |word: &str| !word.is_empty() && !word.contains('.');
        (plain(name) && plain(namespace)).then(|| Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// Its address, which kube-proxy serves; `None` where it has none.
    pub(crate) async fn address(&self, client: &Client) -> kube::Result<Option<String>> {
        let services: Api<Service> = Api::namespaced(client.clone(), &self.namespace);
        let spec = services.get(&self.name).await?.spec;
        Ok(spec.and_then(|spec| spec.cluster_ip).filter(|ip| ip != "None"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_s_name_is_told_from_other_hosts() {
        let service = ServiceName { namespace: "team".to_owned(), name: "progress".to_owned() };
        for host in ["progress.team.svc", "progress.team.svc.cluster.local"] {
            assert_eq!(ServiceName::of(host), Some(service.clone()), "{host}");
        }
        for host in
            ["127.0.0.1", "localhost", "progress.team", "pod.progress.team.svc", "a.b.svc.example.com", ".b.svc"]
        {
            assert_eq!(ServiceName::of(host), None, "{host}");
        }
    }
}
