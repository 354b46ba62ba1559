//! Amounts of everything that a node offers and a pod takes.

use crate::{Node, PodNeeds, Resources};

/// What a node has left, or what a pod takes. Signed, because reality may hold more than a node offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amounts {
    pub(crate) gpus: i64,
    cpu_milli: i64,
    memory_bytes: i64,
    ephemeral_bytes: i64,
    pods: i64,
}

impl Amounts {
    /// What the kubelet of a node offers.
    pub(crate) fn offered(node: &Node) -> Self {
        Self::new(node.gpus, node.allocatable)
    }

    /// What pods outside the plan hold on a node.
    pub(crate) fn held_by_others(node: &Node) -> Self {
        Self::new(node.gpus_held_by_others, node.held_by_others)
    }

    /// What a pod with this many devices takes.
    pub(crate) fn of_pod(needs: &PodNeeds, gpus: u32) -> Self {
        let PodNeeds { base, per_gpu, .. } = needs;
        let grown = |base: u64, per_gpu: u64| base.saturating_add(per_gpu.saturating_mul(gpus.into()));
        Self::new(
            gpus,
            Resources {
                cpu_milli: grown(base.cpu_milli, per_gpu.cpu_milli),
                memory_bytes: grown(base.memory_bytes, per_gpu.memory_bytes),
                ephemeral_bytes: grown(base.ephemeral_bytes, per_gpu.ephemeral_bytes),
                pods: base.pods.max(1),
            },
        )
    }

    fn new(gpus: u32, resources: Resources) -> Self {
        let Resources { cpu_milli, memory_bytes, ephemeral_bytes, pods } = resources;
        let signed = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX);
        Self {
            gpus: gpus.into(),
            cpu_milli: signed(cpu_milli),
            memory_bytes: signed(memory_bytes),
            ephemeral_bytes: signed(ephemeral_bytes),
            pods: signed(pods),
        }
    }

    /// Whether all of this fits in `room`. What is not asked for always fits, as in the kube-scheduler.
    pub(crate) fn fits_in(&self, room: &Self) -> bool {
        let fits = |need: i64, room: i64| need == 0 || need <= room;
        fits(self.gpus, room.gpus)
            && fits(self.cpu_milli, room.cpu_milli)
            && fits(self.memory_bytes, room.memory_bytes)
            && fits(self.ephemeral_bytes, room.ephemeral_bytes)
            && fits(self.pods, room.pods)
    }

    /// Devices, CPU in thousandths, and bytes of memory.
    pub(crate) fn gpus_cpu_memory(self) -> (i64, i64, i64) {
        (self.gpus, self.cpu_milli, self.memory_bytes)
    }

    /// Both together.
    pub(crate) fn plus(self, other: Self) -> Self {
        self.zip(other, i64::saturating_add)
    }

    /// What is left of this without the other.
    pub(crate) fn minus(self, other: Self) -> Self {
        self.zip(other, i64::saturating_sub)
    }

    /// The larger of each.
    pub(crate) fn max(self, other: Self) -> Self {
        self.zip(other, i64::max)
    }

    /// The smaller of each.
    pub(crate) fn min(self, other: Self) -> Self {
        self.zip(other, i64::min)
    }

    fn zip(self, other: Self, f: impl Fn(i64, i64) -> i64) -> Self {
        Self {
            gpus: f(self.gpus, other.gpus),
            cpu_milli: f(self.cpu_milli, other.cpu_milli),
            memory_bytes: f(self.memory_bytes, other.memory_bytes),
            ephemeral_bytes: f(self.ephemeral_bytes, other.ephemeral_bytes),
            pods: f(self.pods, other.pods),
        }
    }
}
