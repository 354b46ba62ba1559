//! The machines of a simulation.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Nodes of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Name of the GPU, as profiles have it.
    pub name: String,
    /// How many nodes; above 0.
    pub nodes: u32,
    /// GPUs of each; above 0.
    pub gpus_per_node: u32,
}

impl Kind {
    /// GPUs of all its nodes.
    pub fn gpus(&self) -> u32 {
        self.nodes * self.gpus_per_node
    }
}

/// A cluster: kinds of node, in the order that indices into it follow.
///
/// Written as `t4=16x4`, or `aws=6x4,rtx=3x8,dgx-ext=2x8`: kind, nodes, GPUs of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The kinds.
    pub kinds: Vec<Kind>,
}

/// Why a text is no cluster.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is no cluster: write KIND=NODESxGPUS, such as t4=16x4, with commas between kinds")]
pub struct ClusterError {
    text: String,
}

impl Cluster {
    /// GPUs of all kinds.
    pub fn gpus(&self) -> u32 {
        self.kinds.iter().map(Kind::gpus).sum()
    }
}

impl FromStr for Cluster {
    type Err = ClusterError;

    fn from_str(text: &str) -> Result<Self, ClusterError> {
        let kind = |part: &str| {
            let (name, size) = part.trim().split_once('=')?;
            let (nodes, gpus) = size.split_once('x')?;
            let count = |digits: &str| digits.parse::<u32>().ok().filter(|count| (1..=100_000).contains(count));
            let name = Some(name).filter(|name| !name.is_empty())?.to_owned();
            Some(Kind { name, nodes: count(nodes)?, gpus_per_node: count(gpus)? })
        };
        let kinds: Option<Vec<Kind>> = text.split(',').map(kind).collect();
        kinds.map(|kinds| Self { kinds }).ok_or_else(|| ClusterError { text: text.to_owned() })
    }
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, kind) in self.kinds.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{}={}x{}", kind.name, kind.nodes, kind.gpus_per_node)?;
        }
        Ok(())
    }
}

/// GPUs that a job holds: on nodes of one kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Allocation {
    /// The kind, as index into the cluster.
    pub kind: usize,
    /// Nodes, as indices among those of the kind, and the GPUs taken on each, in the order of the ring.
    pub nodes: Vec<(u32, u32)>,
}

impl Allocation {
    /// GPUs on all nodes.
    pub fn gpus(&self) -> u32 {
        self.nodes.iter().map(|node| node.1).sum()
    }

    /// GPUs of each node, in the order of the ring.
    pub fn shape(&self) -> Vec<u32> {
        self.nodes.iter().map(|node| node.1).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_read_as_it_is_written() {
        let text = "aws=6x4,rtx=3x8,dgx-ext=2x8";
        let cluster: Cluster = text.parse().unwrap();
        assert_eq!((cluster.gpus(), cluster.to_string().as_str()), (64, text));
        assert!("t4=16".parse::<Cluster>().is_err() && "t4=0x4".parse::<Cluster>().is_err());
    }
}
