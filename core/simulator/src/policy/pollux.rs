//! Pollux (Qiao et al., OSDI 2021): a genetic search for goodput, every round.

use std::collections::BTreeMap;

use super::{Policy, View};
use crate::beliefs::{Size, most_gpus, rate};
use crate::cache::Cache;
use crate::cluster::Allocation;
use crate::job::Job;
use crate::random::Random;
use crate::rules::Knowledge;

/// Allocations in a population, and generations of a round.
const POPULATION: usize = 100;
const GENERATIONS: usize = 100;
/// Seconds that a restart is believed to cost.
const RESTART_SECONDS: f64 = 30.0;
/// What keeps a power mean of speed-ups finite.
const LEAST: f64 = 1e-3;
/// The most nodes of one job.
const MOST_NODES: usize = 16;

/// Maximises the power mean, `p = −1`, of speed-ups over an equal share, by a genetic search over job × node counts: tournament,
/// uniform crossover, mutation, repair, the best kept, seeded with the last round's allocation. The only fitness without a cloud to
/// size is that mean, so the two-criteria selection of the paper comes down to keeping the best. At most one distributed job on a
/// node; at most twice the most GPUs that a job has had. All kinds of GPU look alike to it: it uses the first kind of the cluster.
#[derive(Debug)]
pub struct Pollux {
    random: Random,
    rates: Cache,
    last: BTreeMap<usize, Vec<u8>>,
}

impl Pollux {
    /// With a seed.
    pub fn new(seed: u64) -> Self {
        Self { random: Random::new(&[seed]), rates: Cache::default(), last: BTreeMap::new() }
    }
}

/// GPUs of each node, job after job.
type Genome = Vec<u8>;

/// What a round is about.
struct Task {
    nodes: usize,
    size: u8,
    /// By job.
    caps: Vec<u32>,
    pinned: Vec<bool>,
    held: Vec<Vec<u8>>,
    restart: Vec<f64>,
    /// By job, by GPUs: speed-up within a node, and over nodes.
    speedups: Vec<Vec<[f64; 2]>>,
}

impl Policy for Pollux {
    fn name(&self) -> &str {
        "pollux"
    }

    fn elastic(&self) -> bool {
        true
    }

    fn plan(&mut self, view: &View<'_>) -> Vec<Option<Allocation>> {
        let task = self.task(view);
        let best = self.search(&task);
        let mut plan = Vec::with_capacity(view.jobs.len());
        for (job, row) in view.jobs.iter().zip(best.chunks(task.nodes)) {
            let nodes: Vec<(u32, u32)> = (0_u32..)
                .zip(row)
                .filter(|(_, gpus)| **gpus > 0)
                .map(|(node, gpus)| (node, u32::from(*gpus)))
                .collect();
            self.last.insert(job.id, row.to_vec());
            plan.push((!nodes.is_empty()).then_some(Allocation { kind: 0, nodes }));
        }
        self.last.retain(|id, _| view.jobs.iter().any(|job| job.id == *id));
        plan
    }
}

impl Pollux {
    fn task(&mut self, view: &View<'_>) -> Task {
        let kind = &view.cluster.kinds[0];
        let (nodes, size) = (kind.nodes as usize, kind.gpus_per_node);
        let fair = (kind.gpus() / view.jobs.len().max(1) as u32).max(1);
        let mut task = Task {
            nodes,
            size: u8::try_from(size).unwrap_or(u8::MAX),
            caps: Vec::new(),
            pinned: Vec::new(),
            held: Vec::new(),
            restart: Vec::new(),
            speedups: Vec::new(),
        };
        self.rates.keep(&view.jobs);
        for job in &view.jobs {
            let application = view.application(job);
            let room = application.steps[0].as_ref().map_or(0, |steps| most_gpus(application, steps));
            // Its authors' simulator lets ncf have one.
            let room = if application.name == "ncf" { room.min(1) } else { room };
            let cap = (2 * job.most_gpus).clamp(1, kind.gpus()).min(room);
            let rates = self.rates.rates(job, || rates(view, job));
            let at = |gpus: u32, over: usize| rates.get(2 * gpus as usize + over).copied().flatten();
            let share = at(fair, usize::from(fair > size)).or(at(1, 0)).unwrap_or(1.0);
            let speedup = |gpus: u32| {
                let own = |over: usize| at(gpus, over).map_or(f64::from(gpus) / f64::from(fair), |rate| rate / share);
                if gpus == 0 { [0.0; 2] } else { [own(0), own(1)] }
            };
            task.speedups.push((0..=cap).map(speedup).collect());
            task.caps.push(cap);
            task.pinned.push(job.restoring_seconds > 0.0);
            let mut held = vec![0; nodes];
            for (node, gpus) in job.allocation.iter().flat_map(|held| &held.nodes) {
                held[*node as usize] = u8::try_from(*gpus).unwrap_or(u8::MAX);
            }
            task.held.push(held);
            let age = view.now - job.submission.at_seconds;
            let lost = f64::from(job.restarts) * RESTART_SECONDS;
            task.restart.push((age - lost).max(0.0) / (age + RESTART_SECONDS));
        }
        task
    }

    fn search(&mut self, task: &Task) -> Genome {
        let held: Genome = task.held.concat();
        let mut population: Vec<(f64, Genome)> = Vec::with_capacity(2 * POPULATION);
        for at in 0..POPULATION {
            let mut genome = held.clone();
            if at > 0 {
                self.mutate(task, &mut genome);
            }
            self.repair(task, &mut genome);
            population.push((task.fitness(&genome), genome));
        }
        for _ in 0..GENERATIONS {
            for _ in 0..POPULATION {
                let (one, other) = (self.tournament(&population), self.tournament(&population));
                let mut child = self.cross(task, &population[one].1, &population[other].1);
                self.mutate(task, &mut child);
                self.repair(task, &mut child);
                population.push((task.fitness(&child), child));
            }
            population.sort_by(|a, b| b.0.total_cmp(&a.0));
            population.dedup_by(|a, b| a.1 == b.1);
            population.truncate(POPULATION);
        }
        population.swap_remove(0).1
    }

    fn tournament(&mut self, population: &[(f64, Genome)]) -> usize {
        let (one, other) = (self.random.below(population.len()), self.random.below(population.len()));
        if population[one].0 >= population[other].0 { one } else { other }
    }

    /// Each job's row from one of two parents.
    fn cross(&mut self, task: &Task, one: &Genome, other: &Genome) -> Genome {
        let rows = one.chunks(task.nodes).zip(other.chunks(task.nodes));
        rows.flat_map(|(one, other)| if self.random.unit() < 0.5 { one } else { other }).copied().collect()
    }

    /// Some jobs get other counts on some nodes.
    fn mutate(&mut self, task: &Task, genome: &mut Genome) {
        let jobs = task.caps.len();
        for job in 0..jobs {
            if self.random.unit() >= 1.0 / jobs as f64 {
                continue;
            }
            let row = &mut genome[job * task.nodes..(job + 1) * task.nodes];
            for _ in 0..1 + self.random.below(2) {
                let node = self.random.below(task.nodes);
                row[node] = self.random.below(usize::from(task.size) + 1) as u8;
            }
        }
    }

    /// Makes a genome lawful: pinned rows stay, caps hold, a node has no more than it has, and one distributed job at most.
    fn repair(&mut self, task: &Task, genome: &mut Genome) {
        let nodes = task.nodes;
        let mut free = vec![task.size; nodes];
        let mut taken = vec![false; nodes];
        let jobs = task.caps.len();
        let first = self.random.below(jobs);
        let order = (0..jobs).filter(|job| task.pinned[*job]);
        let order = order.chain((0..jobs).map(|at| (first + at) % jobs).filter(|job| !task.pinned[*job]));
        for job in order {
            let row = &mut genome[job * nodes..(job + 1) * nodes];
            if task.pinned[job] {
                row.copy_from_slice(&task.held[job]);
            }
            let mut left = if task.pinned[job] { u32::MAX } else { task.caps[job] };
            let mut used = 0;
            let spread = row.iter().filter(|gpus| **gpus > 0).count() > 1;
            for node in 0..nodes {
                let blocked = spread && taken[node] && !task.pinned[job] || used == MOST_NODES;
                let gpus = if blocked { 0 } else { row[node].min(free[node]).min(left.min(255) as u8) };
                row[node] = gpus;
                free[node] -= gpus;
                left -= u32::from(gpus);
                used += usize::from(gpus > 0);
            }
            if used > 1 {
                (0..nodes).filter(|node| row[*node] > 0).for_each(|node| taken[node] = true);
            }
        }
    }
}

impl Task {
    fn fitness(&self, genome: &Genome) -> f64 {
        let mut sum = 0.0;
        for (job, row) in genome.chunks(self.nodes).enumerate() {
            let gpus: u32 = row.iter().map(|gpus| u32::from(*gpus)).sum();
            let over = row.iter().filter(|gpus| **gpus > 0).count() > 1;
            let known = self.speedups[job].get(gpus as usize).or(self.speedups[job].last());
            let speedup = known.map_or(0.0, |speedups| speedups[usize::from(over)]);
            let factor = if row == self.held[job].as_slice() { 1.0 } else { self.restart[job] };
            sum += 1.0 / (speedup * factor + LEAST);
        }
        self.caps.len() as f64 / sum
    }
}

/// Believed rates by count, in a node and over nodes, in turn.
fn rates(view: &View<'_>, job: &Job) -> Vec<Option<f64>> {
    let application = view.application(job);
    let kind = &view.cluster.kinds[0];
    // A kind of one GPU a node and one of a single node tell the estimate how many nodes there are.
    let one = crate::cluster::Kind { gpus_per_node: kind.gpus(), nodes: 1, ..kind.clone() };
    let at = |gpus: u32| {
        let of = |kind| rate(job, application, view.rules, Size { index: 0, kind, gpus }, f64::INFINITY);
        let over = crate::cluster::Kind { gpus_per_node: gpus.div_ceil(2).max(1), ..kind.clone() };
        if view.rules.knowledge == Knowledge::Oracle {
            // The truth knows shapes, not ways to count nodes.
            return if gpus == 0 { [None, None] } else { [of(kind), of(kind)] };
        }
        if gpus == 0 { [None, None] } else { [of(&one), if gpus > 1 { of(&over) } else { None }] }
    };
    (0..=kind.gpus()).flat_map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Catalogue;
    use crate::{Rules, builtin, simulate, workload};

    #[test]
    fn the_same_seed_gives_the_same_rounds() {
        let cluster = "t4=2x4".parse().unwrap();
        let catalogue = Catalogue::read(&builtin::profiles(), &["t4".to_owned()]).unwrap();
        let text = "name,time,application,num_replicas,batch_size\na,0,ncf,1,32768\nb,30,ncf,1,32768\n";
        let jobs = workload::read_csv("jobs", text).unwrap();
        let run = || simulate(&jobs, &cluster, &catalogue, &mut Pollux::new(7), &Rules::POLLUX).unwrap();
        assert_eq!(run(), run());
    }
}
