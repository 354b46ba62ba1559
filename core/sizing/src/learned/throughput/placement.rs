//! Where the ranks of a job stand, as far as step time depends on it.

use crate::Shape;

/// Devices of a data-parallel job: on how many nodes, how many in all, and how many on the fullest node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Placement {
    nodes: u32,
    gpus: u32,
    fullest: u32,
}

impl Placement {
    /// Takes the devices on each node; nodes without any do not count. `None` when there is no device at all.
    pub fn of_nodes(gpus_on_node: &[u32]) -> Option<Self> {
        let used = || gpus_on_node.iter().copied().filter(|gpus| *gpus > 0);
        let fullest = used().max()?;
        Some(Self { nodes: used().count() as u32, gpus: used().fold(0, u32::saturating_add), fullest })
    }

    /// The placement of a shape: each pod on a node of its own. `None` for a shape without devices.
    pub fn of_shape(shape: &Shape) -> Option<Self> {
        let (nodes, fullest) = (shape.pods, shape.gpus_per_pod);
        (nodes > 0 && fullest > 0).then(|| Self { nodes, gpus: nodes.saturating_mul(fullest), fullest })
    }

    /// Nodes; at least 1.
    pub fn nodes(self) -> u32 {
        self.nodes
    }

    /// Devices in all; at least 1.
    pub fn gpus(self) -> u32 {
        self.gpus
    }

    /// Devices on the fullest node; at least 1.
    pub fn fullest(self) -> u32 {
        self.fullest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ClassName;

    #[test]
    fn a_shape_and_its_list_of_nodes_are_the_same_placement() {
        let shape = Shape { class: ClassName::new("t4"), pods: 3, gpus_per_pod: 4 };
        assert_eq!(Placement::of_shape(&shape), Placement::of_nodes(&[4, 0, 4, 4]));
        assert_eq!(Placement::of_nodes(&[0, 0]), None);
    }
}
