//! The cluster's DNS: CoreDNS for the names of Services, and of pods behind a headless one. It knows no other name, and
//! asks nobody.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, RoleRef, Subject};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use super::{ADDRESS, RealNodeError, write};
use crate::credentials::kubeconfig_path;
use crate::toolchain::NodeTools;

/// Its name among the cluster's processes.
pub(super) const NAME: &str = "coredns";
/// The user as which it speaks, and the name of the role that lets it.
pub(super) const USER: &str = "system:coredns";
/// The domain of all names.
pub(super) const DOMAIN: &str = "cluster.local";
/// A resolver asks at this port and no other.
const PORT: u16 = 53;

/// Writes its configuration and gives the command that runs it.
pub(super) fn command(tools: &NodeTools, folder: &Path) -> Result<Command, RealNodeError> {
    let configuration = folder.join("Corefile");
    write(&configuration, self::configuration(folder).as_bytes())?;
    let mut c = Command::new(&tools.coredns);
    c.current_dir(folder).arg("-conf").arg(configuration);
    Ok(c)
}

fn configuration(folder: &Path) -> String {
    let kubeconfig = serde_json::Value::from(kubeconfig_path(folder, USER).to_string_lossy().as_ref());
    format!(
        "{DOMAIN}:{PORT} in-addr.arpa:{PORT} {{
    bind {ADDRESS}
    errors
    kubernetes {DOMAIN} in-addr.arpa {{
        kubeconfig {kubeconfig}
    }}
}}
"
    )
}

/// Lets its user see what it makes names of.
pub(super) async fn allow(client: &Client) -> Result<(), RealNodeError> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let rule = |group: &str, resources: &[&str]| PolicyRule {
        api_groups: Some(words(&[group])),
        resources: Some(words(resources)),
        verbs: words(&["list", "watch"]),
        ..PolicyRule::default()
    };
    let metadata = ObjectMeta { name: Some(USER.to_owned()), ..ObjectMeta::default() };
    let rules = vec![rule("", &["namespaces", "services"]), rule("discovery.k8s.io", &["endpointslices"])];
    let role = ClusterRole { metadata: metadata.clone(), rules: Some(rules), ..ClusterRole::default() };
    let group = "rbac.authorization.k8s.io".to_owned();
    let subject = Subject {
        api_group: Some(group.clone()),
        kind: "User".to_owned(),
        name: USER.to_owned(),
        ..Subject::default()
    };
    let role_ref = RoleRef { api_group: group, kind: "ClusterRole".to_owned(), name: USER.to_owned() };
    let binding = ClusterRoleBinding { metadata, role_ref, subjects: Some(vec![subject]) };
    let failed = |error| RealNodeError::Dns(Box::new(error));
    Api::all(client.clone()).create(&PostParams::default(), &role).await.map_err(failed)?;
    Api::all(client.clone()).create(&PostParams::default(), &binding).await.map(drop).map_err(failed)
}

/// Whether it takes questions, which it does once it has read the cluster.
pub(super) fn answers() -> bool {
    let address = ADDRESS.parse::<Ipv4Addr>();
    address.is_ok_and(|address| TcpStream::connect(SocketAddr::from((address, PORT))).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_configuration_names_the_cluster_alone_and_keeps_an_odd_folder_whole() {
        let text = configuration(Path::new("/tmp/a \"b\""));
        assert!(text.contains(r#"kubeconfig "/tmp/a \"b\"/coredns.kubeconfig""#), "{text}");
        assert!(text.starts_with("cluster.local:53 in-addr.arpa:53 {"), "{text}");
        assert!(!text.contains("forward"), "{text}");
    }
}
