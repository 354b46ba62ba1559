//! Nodes with what is left of each GPU, and what pods ask for.

use plimsoll_scheduling::fragmentation::{Room, WHOLE_GPU_MILLI, Wish};

use crate::openb::{Node, Pod};
use crate::random::Random;

/// What a pod asks for; pods that ask for the same are of one kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Request {
    pub(super) gpus: u32,
    /// Of each GPU.
    pub(super) gpu_milli: u32,
    pub(super) cpu_milli: u64,
    pub(super) memory_mib: u64,
    /// Models that it accepts; empty for any.
    pub(super) models: Vec<String>,
}

impl Request {
    pub(super) fn of(pod: &Pod) -> Self {
        let Pod { cpu_milli, memory_mib, gpus, gpu_milli, models, .. } = pod;
        let mut models = models.clone();
        models.sort();
        Self { gpus: *gpus, gpu_milli: *gpu_milli, cpu_milli: *cpu_milli, memory_mib: *memory_mib, models }
    }

    pub(super) fn total_gpu_milli(&self) -> u32 {
        self.gpus * self.gpu_milli
    }

    /// It takes a share of one GPU.
    pub(super) fn shares(&self) -> bool {
        self.gpus == 1 && self.gpu_milli < WHOLE_GPU_MILLI
    }

    pub(super) fn accepts(&self, model: &str) -> bool {
        self.gpus == 0 || self.models.is_empty() || self.models.iter().any(|known| known == model)
    }

    pub(super) fn wish(&self, weight: f64) -> Wish {
        let memory_bytes = self.memory_mib << 20;
        Wish { gpus: self.gpus, gpu_milli: self.gpu_milli, cpu_milli: self.cpu_milli, memory_bytes, weight }
    }
}

/// A node.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    /// Which of the cluster's models of GPU it has.
    pub(super) model: usize,
    pub(super) gpus: u32,
    /// GPUs of which nothing is taken.
    pub(super) whole: u32,
    /// What is left of each other GPU.
    pub(super) shared: Vec<u32>,
    pub(super) cpu_milli: i64,
    cpu_capacity_milli: i64,
    memory_bytes: i64,
}

impl Machine {
    /// All nodes, empty, and the models of their GPUs.
    pub(super) fn all(nodes: &[Node]) -> (Vec<Self>, Vec<String>) {
        let mut models: Vec<String> = nodes.iter().map(|node| node.model.clone()).collect();
        models.sort();
        models.dedup();
        let cpu = |node: &Node| i64::try_from(node.cpu_milli).unwrap_or(i64::MAX);
        let machine = |node: &Node| Self {
            model: models.iter().position(|model| *model == node.model).unwrap_or(0),
            gpus: node.gpus,
            whole: node.gpus,
            shared: Vec::new(),
            cpu_milli: cpu(node),
            cpu_capacity_milli: cpu(node),
            memory_bytes: i64::try_from(node.memory_mib << 20).unwrap_or(i64::MAX),
        };
        (nodes.iter().map(machine).collect(), models)
    }

    pub(super) fn room(&self) -> Room<'_> {
        let Self { whole, shared, cpu_milli, memory_bytes, .. } = self;
        Room { whole_gpus: *whole, shared_milli: shared, cpu_milli: *cpu_milli, memory_bytes: *memory_bytes }
    }

    pub(super) fn free_milli(&self) -> u32 {
        self.room().gpu_milli()
    }

    /// The mean share of CPU and GPUs that is left, 0 to 1.
    pub(super) fn free_share(&self) -> f64 {
        let gpus = f64::from(self.free_milli()) / f64::from(self.gpus.max(1) * WHOLE_GPU_MILLI);
        (self.cpu_milli as f64 / self.cpu_capacity_milli.max(1) as f64 + gpus) / 2.0
    }

    /// Any GPU on which a pod fits, each being as likely.
    pub(super) fn any_device(&self, request: &Request, chance: &mut Random) -> Option<usize> {
        if !request.shares() {
            return None;
        }
        let shared: Vec<usize> = (0..self.shared.len()).filter(|at| self.shared[*at] >= request.gpu_milli).collect();
        shared.get(chance.below(shared.len() + self.whole as usize)).copied()
    }

    /// GPUs that a pod could use, alike ones once: `None` for whole ones, else which of the shared ones. Empty when it does not
    /// fit, whatever the models are.
    pub(super) fn devices(&self, request: &Request) -> Vec<Option<usize>> {
        // A pod without GPUs fits beside any.
        if !self.room().fits(&request.wish(1.0)) {
            return Vec::new();
        }
        let mut devices: Vec<Option<usize>> = Vec::new();
        if request.shares() {
            let fits = |at: &usize| self.shared[*at] >= request.gpu_milli;
            let first = |at: &usize| !self.shared[..*at].contains(&self.shared[*at]);
            devices.extend((0..self.shared.len()).filter(fits).filter(first).map(Some));
        }
        if self.whole >= request.gpus {
            devices.push(None);
        }
        devices
    }

    /// Gives a pod what it asks for, on one of its `devices`.
    pub(super) fn take(&mut self, request: &Request, device: Option<usize>) {
        self.cpu_milli -= i64::try_from(request.cpu_milli).unwrap_or(i64::MAX);
        self.memory_bytes -= i64::try_from(request.memory_mib << 20).unwrap_or(i64::MAX);
        match device {
            Some(at) => self.shared[at] -= request.gpu_milli,
            None if request.shares() => {
                self.whole -= 1;
                self.shared.push(WHOLE_GPU_MILLI - request.gpu_milli);
            }
            None => self.whole -= request.gpus,
        }
    }
}
