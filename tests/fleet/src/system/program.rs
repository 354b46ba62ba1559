//! One program of Plimsoll's, as its container asks for it.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod};
use tokio::process::{Child, Command};

use super::probe::Probe;
use crate::access::{AccessError, BoundToken, Renewal};
use crate::fleet::Binaries;
use crate::node::Node;
use crate::pod::containers;
use crate::pod::contents::Contents;
use crate::pod::environment::{Addresses, arguments, variables};
use crate::pod::mounts::Places;
use crate::world::World;

/// Name of the volume by which the chart mounts the driver.
const DRIVER_VOLUME: &str = "driver";
/// Where an agent finds the driver's library.
const NVML_LIBRARY: &str = "PLIMSOLL_NVML_LIBRARY";

/// Which program a container runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Component {
    /// `plimsoll-operator`.
    Operator,
    /// `plimsoll-agent`.
    Agent,
}

/// A program that cannot be started.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProgramError {
    /// What its pod names cannot be fetched.
    #[error("failed to fetch what pod {pod} names")]
    Contents {
        /// The pod.
        pod: String,
        /// What the apiserver said.
        #[source]
        source: Box<kube::Error>,
    },
    /// It has no access.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The fleet was not given it.
    #[error("failed to run pod {0}: the fleet was started without its program")]
    Missing(String),
    /// Its files cannot be written.
    #[error("failed to write the files of pod {pod}")]
    Files {
        /// The pod.
        pod: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A program, ready to be started again and again.
pub(super) struct Program {
    component: Component,
    container: Container,
    path: PathBuf,
    arguments: Vec<String>,
    variables: BTreeMap<String, String>,
    folder: PathBuf,
    log: PathBuf,
    admin: SocketAddr,
    _token: Renewal,
}

impl Component {
    /// The program of a pod, by the image of its container: any registry, any tag.
    pub(super) fn of(pod: &Pod) -> Option<Self> {
        containers(pod).iter().find_map(Self::of_container)
    }

    fn of_container(container: &Container) -> Option<Self> {
        let image = container.image.as_deref()?;
        let last = image.rsplit('/').next()?;
        match last.split(['@', ':']).next()? {
            "plimsoll-operator" => Some(Self::Operator),
            "plimsoll-agent" => Some(Self::Agent),
            _ => None,
        }
    }

    fn binary(self, binaries: &Binaries) -> Option<PathBuf> {
        match self {
            Self::Operator => binaries.operator.clone(),
            Self::Agent => Some(binaries.agent.clone()),
        }
    }

    /// Its name in the account.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Agent => "agent",
        }
    }
}

impl Program {
    /// Gives a pod's program its files, its rights and its environment.
    pub(super) async fn prepare(
        world: &World,
        node: &Node,
        pod: &Pod,
        component: Component,
        ip: &str,
    ) -> Result<Self, ProgramError> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
        let name = pod.metadata.name.clone().unwrap_or_default();
        let container = containers(pod).iter().find(|container| Component::of_container(container) == Some(component));
        let container = container.cloned().unwrap_or_default();
        let contents = Contents::fetch(&world.client, pod).await;
        let contents =
            contents.map_err(|source| ProgramError::Contents { pod: name.clone(), source: Box::new(source) })?;

        let folder = world.pod_folder(namespace, &name);
        let token = folder.join("token");
        let kubeconfig = folder.join("kubeconfig");
        let renewal = BoundToken::of(pod, None, None).keep(world.client.clone(), token.clone()).await?;
        world.door.write_kubeconfig(&kubeconfig, &token, namespace)?;
        let files = |source| ProgramError::Files { pod: name.clone(), source };
        // The kubelet's folder is the node's: its socket stands there. The driver's is the node's own, whatever path the
        // chart has for all nodes.
        let host = |volume: &str, path: &str| match volume {
            DRIVER_VOLUME => Some(node.driver()),
            _ => path.trim_end_matches('/').ends_with("pod-resources").then(|| node.folder().to_owned()),
        };
        let places = Places::prepare(pod, &container, &contents, &folder.join("volumes"), host).map_err(files)?;

        let addresses = Addresses { pod: ip, host: node.address().unwrap_or("127.0.0.1") };
        let from_pod = variables(pod, &container, addresses, &contents);
        let arguments = arguments(&container, &from_pod).iter().map(|text| places.translate(text)).collect();
        let mut variables: BTreeMap<_, _> =
            from_pod.into_iter().map(|(name, value)| (name, places.translate(&value))).collect();
        variables.insert("KUBECONFIG".into(), kubeconfig.to_string_lossy().into_owned());
        variables.insert("HOME".into(), folder.to_string_lossy().into_owned());
        if component == Component::Operator {
            variables.insert("PLIMSOLL_PROGRESS_BIND".into(), world.spec.progress_bind.to_string());
        } else {
            let mounted = variables.get(NVML_LIBRARY).is_some_and(|path| Path::new(path).starts_with(node.driver()));
            if !mounted {
                variables.insert(NVML_LIBRARY.into(), node.driver_library().to_string_lossy().into_owned());
            }
            variables.insert("PLIMSOLL_POD_RESOURCES_SOCKET".into(), node.socket().to_string_lossy().into_owned());
        }
        let path = component.binary(&world.spec.binaries).ok_or_else(|| ProgramError::Missing(name.clone()))?;
        let log = world.spec.folder.join("logs").join(format!("{name}.log"));
        std::fs::create_dir_all(world.spec.folder.join("logs")).map_err(files)?;
        let admin = free_address().map_err(files)?;
        Ok(Self { component, container, path, arguments, variables, folder, log, admin, _token: renewal })
    }

    /// Starts it.
    pub(super) fn start(&mut self) -> io::Result<(Child, Option<Probe>)> {
        // Somebody may have taken the last one since the program that had it ended.
        self.admin = free_address()?;
        self.variables.insert("PLIMSOLL_ADMIN_BIND".into(), self.admin.to_string());
        let log = std::fs::File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).env_clear().envs(&self.variables).current_dir(&self.folder);
        let child = crate::children::spawn(&mut command, log)?;
        Ok((child, Probe::of(&self.container, self.admin)))
    }

    pub(super) fn component(&self) -> Component {
        self.component
    }

    pub(super) fn container(&self) -> &str {
        &self.container.name
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    pub(super) fn admin(&self) -> SocketAddr {
        self.admin
    }
}

/// An address of this machine alone that is free now.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_image_names_the_program_whatever_its_registry_and_tag() {
        let of = |image: &str| {
            Component::of(
                &serde_json::from_value(json!({"spec": {"containers": [{"name": "c", "image": image}]}})).unwrap(),
            )
        };
        assert_eq!(of("plimsoll-operator:0.1.0"), Some(Component::Operator));
        assert_eq!(of("registry.example.com:5000/team/plimsoll-agent@sha256:00"), Some(Component::Agent));
        assert_eq!(of("plimsoll-agent-extra:1"), None);
    }
}
