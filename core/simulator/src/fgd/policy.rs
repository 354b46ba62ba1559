//! Which node and GPU a pod gets.

use plimsoll_scheduling::fragmentation::{Expected, Target, WHOLE_GPU_MILLI};

use super::machine::{Machine, Request};
use crate::random::Random;

/// The largest nodes of the trace, by which the published best fit measures what is left: CPU in thousandths, GPUs in thousandths.
const LARGEST: (f64, f64) = (128_000.0, 8000.0);

/// How nodes and GPUs are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    /// The least added [`loss`](Target::loss), over every kind of pod; then the tightest fit; then the first node.
    Plimsoll,
    /// FGD as its authors ran it: fewest new fragments over the kinds that make up 95 % of the pods, without host memory, through
    /// their scale of a hundred steps; then the first node.
    Fgd,
    /// What is left of CPU and GPUs, half each, is least.
    BestFit,
    /// GPUs that are shared already come before free ones, and those before nodes that are free as a whole.
    Packing,
    /// The emptiest node, by the mean share of CPU and GPUs that is left, as the kube-scheduler does by default.
    Spread,
    /// Any node and GPU on which it fits.
    Random,
}

impl Policy {
    /// All, ours first.
    pub const ALL: [Self; 6] = [Self::Plimsoll, Self::Fgd, Self::BestFit, Self::Packing, Self::Spread, Self::Random];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plimsoll => "plimsoll",
            Self::Fgd => "fgd",
            Self::BestFit => "best-fit",
            Self::Packing => "packing",
            Self::Spread => "spread",
            Self::Random => "random",
        }
    }
}

/// How good a node is: less is better, the first number first.
type Rank = [f64; 3];

/// Where a pod of a kind is best placed on a node: how good that is, and the GPU.
type Best = Option<(Rank, Option<usize>)>;

/// The best place of each kind of pod on each node, worked out once until the node changes.
pub(super) struct Scores<'r> {
    policy: Policy,
    requests: &'r [Request],
    models: &'r [String],
    /// What is expected, as the nodes of each model see it.
    targets: Vec<Target>,
    /// For each node how often it changed.
    versions: Vec<u32>,
    /// For each kind and node: at which version it was worked out, and what came out.
    known: Vec<Vec<(u32, Best)>>,
}

impl<'r> Scores<'r> {
    /// `requests` are the kinds of pods, `counts` how many of the trace are of each; of each of the models there are so many GPUs.
    pub(super) fn new(
        policy: Policy,
        requests: &'r [Request],
        counts: &[usize],
        models: &'r [String],
        gpus: &[u32],
    ) -> Self {
        let expected: Vec<Expected> = expected(policy, counts)
            .into_iter()
            .map(|(kind, weight)| {
                let mut wish = requests[kind].wish(weight);
                if policy == Policy::Fgd {
                    wish.memory_bytes = 0;
                }
                Expected { wish, admitted: models.iter().map(|model| requests[kind].accepts(model)).collect() }
            })
            .collect();
        let targets = Target::of_kinds(gpus, &expected);
        Self { policy, requests, models, targets, versions: Vec::new(), known: vec![Vec::new(); requests.len()] }
    }

    /// A node has something taken of it.
    pub(super) fn changed(&mut self, machine: usize) {
        self.versions[machine] += 1;
    }

    /// The node and GPU for a pod; `None` when it fits nowhere.
    pub(super) fn best(
        &mut self,
        machines: &[Machine],
        kind: usize,
        chance: &mut Random,
    ) -> Option<(usize, Option<usize>)> {
        self.versions.resize(machines.len(), 0);
        let mut known = std::mem::take(&mut self.known[kind]);
        known.resize(machines.len(), (u32::MAX, None));
        for (at, machine) in machines.iter().enumerate() {
            if known[at].0 != self.versions[at] {
                known[at] = (self.versions[at], self.on(machine, &self.requests[kind]));
            }
        }
        let least = known.iter().filter_map(|(_, best)| best.map(|(rank, _)| rank)).min_by(compare)?;
        let equals =
            |(_, (_, best)): &(usize, &(u32, Best))| best.is_some_and(|(rank, _)| compare(&rank, &least).is_eq());
        let mut candidates = known.iter().enumerate().filter(equals);
        let chosen = match self.policy {
            Policy::Random => {
                let count = candidates.clone().count();
                candidates.nth(chance.below(count))
            }
            _ => candidates.next(),
        };
        let chosen = chosen.and_then(|(at, (_, best))| best.map(|(_, device)| (at, device)));
        self.known[kind] = known;
        if self.policy == Policy::Random {
            return chosen.map(|(at, _)| (at, machines[at].any_device(&self.requests[kind], chance)));
        }
        chosen
    }

    /// The best place on a node.
    fn on(&self, machine: &Machine, request: &Request) -> Best {
        if !request.accepts(&self.models[machine.model]) {
            return None;
        }
        let devices = machine.devices(request).into_iter();
        let ranked = devices.map(|device| {
            let left_on_gpu = device.map_or(WHOLE_GPU_MILLI, |at| machine.shared[at]);
            (self.rank(machine, request, device), left_on_gpu, device)
        });
        let best = ranked.min_by(|(a, on_a, _), (b, on_b, _)| compare(a, b).then(on_a.cmp(on_b)))?;
        Some((best.0, best.2))
    }

    fn rank(&self, machine: &Machine, request: &Request, device: Option<usize>) -> Rank {
        let mut after = machine.clone();
        after.take(request, device);
        let target = &self.targets[machine.model];
        match self.policy {
            // Sums of the same shares in another order differ in the last bits.
            // Sums of the same shares in another order differ in the last bits.
            Policy::Plimsoll => {
                let added = target.loss(&after.room()) - target.loss(&machine.room());
                [(added * 1e9).round(), f64::from(after.free_milli()), after.cpu_milli as f64]
            }
            Policy::Fgd => {
                let added = target.fragments(&after.room()) - target.fragments(&machine.room());
                [hundredths(1.0 / (1.0 + added.exp())), 0.0, 0.0]
            }
            Policy::BestFit => {
                let left = 0.5 * after.cpu_milli as f64 / LARGEST.0 + 0.5 * f64::from(after.free_milli()) / LARGEST.1;
                [hundredths(1.0 - left), 0.0, 0.0]
            }
            Policy::Packing => [-f64::from(packing(machine, request)), 0.0, 0.0],
            Policy::Spread => [-after.free_share(), 0.0, 0.0],
            Policy::Random => [0.0; 3],
        }
    }
}

/// A score of 0 to 1 as the kube-scheduler sees it: whole hundredths, more being better.
fn hundredths(score: f64) -> f64 {
    -(100.0 * score).floor()
}

/// The score of the published packing, 0 to 100: GPUs that are shared already, then free GPUs of a node in use, then a free node.
fn packing(machine: &Machine, request: &Request) -> u32 {
    if machine.whole == machine.gpus {
        return (33_u32.saturating_sub(machine.whole)).max(machine.whole);
    }
    let tightest = machine.shared.iter().copied().filter(|left| *left >= request.gpu_milli).min();
    match tightest {
        _ if request.gpus == 0 => 100,
        Some(left) if request.shares() => (100_u32.saturating_sub(left / 100)).max(50),
        _ => (50_u32.saturating_sub(request.gpus)).max(33),
    }
}

/// Kinds of pods and how many of each are expected.
///
/// The published policy leaves out the rarest, 5 % of the pods.
fn expected(policy: Policy, counts: &[usize]) -> Vec<(usize, f64)> {
    let mut kinds: Vec<usize> = (0..counts.len()).collect();
    kinds.sort_by_key(|kind| std::cmp::Reverse(counts[*kind]));
    let enough = 0.95 * counts.iter().sum::<usize>() as f64;
    let mut seen = 0.0;
    kinds.retain(|kind| {
        let typical = seen < enough;
        seen += counts[*kind] as f64;
        typical || policy != Policy::Fgd
    });
    kinds.into_iter().map(|kind| (kind, counts[kind] as f64)).collect()
}

fn compare(a: &Rank, b: &Rank) -> std::cmp::Ordering {
    a.iter().zip(b).map(|(a, b)| a.total_cmp(b)).find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
}
