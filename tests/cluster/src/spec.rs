//! What a test cluster looks like: its name, where its state lives and its groups of fake nodes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;

use crate::{Progress, real_node};

/// Why a cluster's description cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The file is not there or not readable.
    #[error("failed to read cluster file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The text is not YAML of the expected shape.
    #[error("failed to parse cluster description")]
    Parse(#[source] Box<serde_yaml::Error>),
    /// The name does not fit into file and context names.
    #[error("failed to accept name {0:?}: use lower-case letters, digits and hyphens, 40 at most, a letter first")]
    Name(String),
    /// Two groups would make nodes of the same name.
    #[error("failed to accept node group {0:?}: another group has the same namePrefix")]
    DuplicateGroup(String),
    /// A taint is not of the form `key[=value]:Effect`.
    #[error("failed to parse taint {0:?}: expected key[=value]:NoSchedule, PreferNoSchedule or NoExecute")]
    Taint(String),
}

/// A cluster to start. Load one from a file, then adjust name and folder.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterSpec {
    /// Names the state folder and the kubeconfig context.
    pub name: String,
    /// Groups of fake nodes.
    pub nodes: Vec<NodeGroup>,
    /// Whether one real node stands beside them: kubelet, containerd and runc, which need root and some packages.
    #[serde(default)]
    pub real_node: bool,
    /// Accelerators that the real node is labelled with, if there is one. A device plugin has to bring them.
    #[serde(default)]
    pub real_node_gpus: Option<Gpus>,
    /// The folder under which the cluster's own folder `<name>` is made; `.plimsoll` of the checkout when unset.
    #[serde(skip)]
    pub state_root: Option<PathBuf>,
    /// Leave the state folder, logs included, in place when the cluster goes down.
    #[serde(skip)]
    pub keep_logs: bool,
}

/// Nodes that are alike.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeGroup {
    /// Nodes are called `<namePrefix>-0`, `<namePrefix>-1` and so on.
    pub name_prefix: String,
    /// How many.
    pub count: u32,
    /// Accelerators of each node, if any.
    #[serde(default)]
    pub gpus: Option<Gpus>,
    /// CPU of each node, a Kubernetes quantity.
    pub cpu: String,
    /// Memory of each node, a Kubernetes quantity.
    pub memory: String,
    /// Ephemeral storage of each node, a Kubernetes quantity.
    pub ephemeral_storage: String,
    /// Value of the label `node.kubernetes.io/instance-type`.
    pub instance_type: String,
    /// Further labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Taints, written as kubectl writes them.
    #[serde(default)]
    pub taints: Vec<Taint>,
}

/// Accelerators of one node, as NVIDIA's feature discovery would label them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Gpus {
    /// GPUs per node.
    pub count: u32,
    /// Value of the label `nvidia.com/gpu.product`.
    pub product: String,
    /// Value of the label `nvidia.com/gpu.memory`.
    #[serde(rename = "memoryMiB")]
    pub memory_mib: u64,
}

/// A node taint: `key[=value]:Effect`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Taint {
    /// The taint's key.
    pub key: String,
    /// The taint's value, if it has one.
    pub value: Option<String>,
    /// NoSchedule, PreferNoSchedule or NoExecute.
    pub effect: String,
}

impl ClusterSpec {
    /// The demo cluster, as committed in `tests/cluster/clusters/demo.yaml`.
    pub fn demo() -> Result<Self, SpecError> {
        include_str!("../clusters/demo.yaml").parse()
    }

    /// Reads a description from a YAML file.
    pub fn load(path: &Path) -> Result<Self, SpecError> {
        std::fs::read_to_string(path).map_err(|source| SpecError::Read { path: path.to_owned(), source })?.parse()
    }

    /// The same cluster under another name.
    pub fn named(mut self, name: impl Into<String>) -> Result<Self, SpecError> {
        self.name = name.into();
        check_name(&self.name)?;
        Ok(self)
    }

    /// The same cluster with its state under another folder than the checkout's `.plimsoll`.
    pub fn in_folder(mut self, state_root: impl Into<PathBuf>) -> Self {
        self.state_root = Some(state_root.into());
        self
    }

    /// The same cluster, whose logs outlive it.
    pub fn keeping_logs(mut self) -> Self {
        self.keep_logs = true;
        self
    }

    /// The same cluster with a real node beside the fake ones.
    pub fn with_real_node(mut self) -> Self {
        self.real_node = true;
        self
    }

    /// The same cluster with a real node if this machine has all that it needs, and room for it. Else it says why not.
    pub fn with_real_node_if_possible(self, progress: Progress<'_>) -> Self {
        if self.real_node {
            return self;
        }
        match real_node::hindrance() {
            None => self.with_real_node(),
            Some(hindrance) => {
                progress(&format!("{hindrance}; going on with fake nodes alone"));
                self
            }
        }
    }

    /// How many nodes there will be.
    pub fn node_count(&self) -> usize {
        self.nodes.iter().map(|group| group.count as usize).sum::<usize>() + usize::from(self.real_node)
    }
}

impl Gpus {
    /// The labels of a node that has them.
    pub(crate) fn labels(&self) -> [(&'static str, String); 4] {
        [
            ("nvidia.com/gpu.present", "true".to_owned()),
            ("nvidia.com/gpu.product", self.product.clone()),
            ("nvidia.com/gpu.count", self.count.to_string()),
            ("nvidia.com/gpu.memory", self.memory_mib.to_string()),
        ]
    }
}

impl FromStr for ClusterSpec {
    type Err = SpecError;

    fn from_str(yaml: &str) -> Result<Self, SpecError> {
        let spec: Self = serde_yaml::from_str(yaml).map_err(|error| SpecError::Parse(Box::new(error)))?;
        check_name(&spec.name)?;
        for (index, group) in spec.nodes.iter().enumerate() {
            check_name(&group.name_prefix)?;
            if spec.nodes[..index].iter().any(|other| other.name_prefix == group.name_prefix) {
                return Err(SpecError::DuplicateGroup(group.name_prefix.clone()));
            }
        }
        Ok(spec)
    }
}

impl FromStr for Taint {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let malformed = || SpecError::Taint(text.to_owned());
        let (left, effect) = text.rsplit_once(':').ok_or_else(malformed)?;
        let (key, value) = match left.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (left, None),
        };
        if key.is_empty() || !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect) {
            return Err(malformed());
        }
        Ok(Self { key: key.to_owned(), value, effect: effect.to_owned() })
    }
}

impl TryFrom<String> for Taint {
    type Error = SpecError;

    fn try_from(text: String) -> Result<Self, SpecError> {
        text.parse()
    }
}

/// A name becomes a folder, a context and part of node names, so it must be lawful as each.
pub(crate) fn check_name(name: &str) -> Result<(), SpecError> {
    let lawful = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let first_is_letter = name.starts_with(|c: char| c.is_ascii_lowercase());
    if first_is_letter && name.len() <= 40 && name.chars().all(lawful) && !name.ends_with('-') {
        Ok(())
    } else {
        Err(SpecError::Name(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_has_sixty_eight_gpus_on_thirteen_nodes_and_one_plain_node() {
        let spec = ClusterSpec::demo().unwrap();
        let gpus: u32 = spec.nodes.iter().map(|g| g.count * g.gpus.as_ref().map_or(0, |gpus| gpus.count)).sum();
        assert_eq!((spec.node_count(), gpus), (14, 68));
        assert!(spec.nodes.iter().filter(|g| g.gpus.is_some()).all(|g| g.taints[0].key == "nvidia.com/gpu"));
        assert_eq!(spec.real_node_gpus.unwrap().product, "NVIDIA-L4");
        assert!(!spec.real_node, "the demo runs anywhere");
    }

    #[test]
    fn a_taint_may_have_a_value() {
        let taint: Taint = "dedicated=gpu:NoExecute".parse().unwrap();
        assert_eq!((taint.key.as_str(), taint.value.as_deref()), ("dedicated", Some("gpu")));
        assert_eq!("nvidia.com/gpu:NoSchedule".parse::<Taint>().unwrap().value, None);
    }

    #[test]
    fn a_taint_with_an_unknown_effect_is_refused() {
        assert!("nvidia.com/gpu:Never".parse::<Taint>().is_err());
        assert!("nvidia.com/gpu".parse::<Taint>().is_err());
        assert!(":NoSchedule".parse::<Taint>().is_err());
    }

    #[test]
    fn names_that_do_not_fit_a_folder_are_refused() {
        for name in ["", "Demo", "../x", "1st", "a-", &"a".repeat(41)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        assert!(check_name("demo-2").is_ok());
    }

    #[test]
    fn unknown_fields_and_twin_groups_are_refused() {
        assert!("name: x\nnodes: []\ncolour: red\n".parse::<ClusterSpec>().is_err());
        let group =
            "{namePrefix: a, count: 1, cpu: '1', memory: 1Gi, ephemeralStorage: 1Gi, instanceType: t}".to_owned();
        let twins = format!("name: x\nnodes: [{group}, {group}]\n");
        assert!(matches!(twins.parse::<ClusterSpec>(), Err(SpecError::DuplicateGroup(prefix)) if prefix == "a"));
    }
}
