//! What is run for a system pod, and how.

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{Container, Pod};

use super::volumes::{Mounts, VolumeError};
use crate::access::AccessError;
use crate::node::Node;
use crate::pod::{expand, variables};
use crate::site::Site;

/// Why a pod cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// It is none of ours.
    #[error("failed to find a program for image {0:?}")]
    Image(String),
    /// Its volumes cannot be had.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// It cannot reach the apiserver.
    #[error(transparent)]
    Access(#[from] AccessError),
}

/// A program of the chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Component {
    Operator,
    Agent,
}

/// What is run for a system pod, and how.
#[derive(Debug)]
pub(super) struct Launch {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub component: Component,
    pub program: PathBuf,
    pub args: Vec<String>,
    pub variables: BTreeMap<String, String>,
    /// Path of the readiness probe, if it has one.
    pub readiness: Option<String>,
    folder: PathBuf,
}

impl Component {
    /// Which program an image has.
    fn of(image: &str) -> Option<Self> {
        match image {
            _ if image.contains("plimsoll-operator") => Some(Self::Operator),
            _ if image.contains("plimsoll-agent") => Some(Self::Agent),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Agent => "agent",
        }
    }
}

impl Launch {
    /// Reads a pod, and makes the folders that it mounts.
    pub(super) async fn of(site: &Site, node: &Node, pod: &Pod) -> Result<Self, LaunchError> {
        let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
        let container = container.ok_or_else(|| LaunchError::Image(String::new()))?;
        let image = container.image.clone().unwrap_or_default();
        let component = Component::of(&image).ok_or(LaunchError::Image(image))?;
        let name = pod.metadata.name.clone().unwrap_or_default();
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let folder = site.pod_folder(&namespace, &name);
        let mounts = Mounts::make(&site.client, pod, container, &folder.join("volumes")).await?;
        let program = match component {
            Component::Operator => site.spec.operator.clone(),
            Component::Agent => site.spec.agent.clone(),
        };
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let (variables, args) = (BTreeMap::new(), Vec::new());
        let mut launch =
            Self { name, namespace, uid, component, program, args, variables, readiness: readiness(container), folder };
        launch.fill(pod, container, &mounts);
        launch.point_at(site, node);
        Ok(launch)
    }

    /// Arguments and variables as the pod has them, with the paths of this machine.
    fn fill(&mut self, pod: &Pod, container: &Container, mounts: &Mounts) {
        let known = variables(pod, container);
        let command = container.command.iter().flatten().skip(1);
        let words = command.chain(container.args.iter().flatten());
        self.args = words.map(|word| mounts.replace(&expand(word, &known))).collect();
        self.variables = known.into_iter().map(|(name, value)| (name, mounts.replace(&value))).collect();
    }

    /// What is elsewhere on this machine than in a container.
    fn point_at(&mut self, site: &Site, node: &Node) {
        let mut set = |name: &str, value: PathBuf| {
            self.variables.insert(name.to_owned(), value.to_string_lossy().into_owned());
        };
        set("KUBECONFIG", self.folder.join("kubeconfig"));
        if self.component == Component::Agent {
            set("PLIMSOLL_NVML_LIBRARY", site.spec.nvml_mock.clone());
            set("PLIMSOLL_POD_RESOURCES_SOCKET", node.socket());
            set(nvidia_ml_mock::STATE_VARIABLE, node.driver_state());
        }
    }

    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    pub(super) fn token_file(&self) -> PathBuf {
        self.folder.join("token")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("container.log")
    }
}

fn readiness(container: &Container) -> Option<String> {
    container.readiness_probe.as_ref()?.http_get.as_ref()?.path.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_known_by_its_image_wherever_it_is_pulled_from() {
        assert_eq!(Component::of("registry.example.com/team/plimsoll-operator:0.1.0"), Some(Component::Operator));
        assert_eq!(Component::of("plimsoll-agent@sha256:0"), Some(Component::Agent));
        assert_eq!(Component::of("nginx"), None);
    }
}
