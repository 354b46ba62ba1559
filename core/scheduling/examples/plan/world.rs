//! A cluster that lives: jobs come, run and end.

use std::sync::Arc;

use jiff::Timestamp;
use plimsoll_menu::{Batch, Candidate, ClassName, Fit, Layout, LoadLine, Menu, Prediction, Shape};
use plimsoll_scheduling::{
    Action, Allocation, Class, Elasticity, Event, Job, JobKey, Mode, Node, Plan, PodNeeds, Queue, Resources, Share,
    Snapshot, Standing,
};

const GIB: u64 = 1 << 30;
const CLASSES: [(&str, f64); 3] = [("a100", 1.7), ("h100", 2.4), ("t4", 1.0)];
const QUEUES: u64 = 8;

/// A cluster that lives.
pub(crate) struct World {
    pub(crate) snapshot: Snapshot,
    jobs: u32,
    made: u64,
    random: u64,
}

impl World {
    /// So many nodes of 8 devices, in racks of 16, and a tree of queues; `jobs` is how many there are at any time.
    pub(crate) fn new(nodes: u32, jobs: u32) -> Self {
        let topology = vec!["topology.kubernetes.io/zone".into(), "rack".into()];
        let mut snapshot = Snapshot { topology, ..Snapshot::default() };
        for (name, _) in CLASSES {
            let line = LoadLine::DEFAULT;
            let class = Class {
                name: ClassName::new(name),
                resource: "nvidia.com/gpu".into(),
                line,
                price_per_hour: None,
                watts: None,
            };
            snapshot.classes.put(class);
        }
        for index in 0..nodes {
            snapshot.nodes.put(node(index));
        }
        let share = |index: usize| (ClassName::new(CLASSES[index].0), Share::of(nodes * 8 / 3 / QUEUES as u32));
        let all = |index: usize| (ClassName::new(CLASSES[index].0), Share::of(8));
        let org = Queue { classes: Some((0..3).map(all).collect()), ..Queue::unlimited("org") };
        snapshot.queues.put(org);
        for index in 0..QUEUES {
            let classes = Some((0..3).map(share).collect());
            snapshot.queues.put(Queue {
                parent: Some("org".into()),
                classes,
                ..Queue::unlimited(format!("team-{index}"))
            });
        }
        Self { snapshot, jobs, made: 0, random: 0x5851_f42d_4c95_7f2d }
    }

    fn unit(&mut self) -> f64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mixed = (self.random ^ (self.random >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A job that comes now: work over three decades, and speed-ups from poor to near ideal.
    pub(crate) fn job(&mut self, now: Timestamp) -> Job {
        self.made += 1;
        let number = self.made;
        let (work, power) = (10.0_f64.powf(2.5 + 2.5 * self.unit()), 0.5 + 0.45 * self.unit());
        let mut candidates = Vec::new();
        for (class, speed) in CLASSES {
            let own = speed * (0.8 + 0.4 * self.unit());
            for (pods, gpus) in [(1, 1), (1, 2), (1, 4), (1, 8), (2, 8), (3, 8), (4, 8)] {
                let step = 1.0 / (own * f64::from(pods * gpus).powf(power));
                candidates.push(candidate(Shape { class: ClassName::new(class), pods, gpus_per_pod: gpus }, step));
            }
        }
        candidates.sort_by(|a, b| a.predicted.step_seconds.total_cmp(&b.predicted.step_seconds));
        Job {
            key: JobKey { namespace: format!("team-{}", number % QUEUES), name: format!("job-{number}") },
            uid: format!("uid-{number:08}"),
            queue: format!("team-{}", number % QUEUES),
            priority: if number.is_multiple_of(10) { 100 } else { 0 },
            arrival: now,
            mode: Mode::Auto,
            elasticity: if number.is_multiple_of(4) { Elasticity::Moldable } else { Elasticity::Elastic },
            menu: Menu { candidates, rejected: Vec::new() },
            needs: PodNeeds { base: amounts(1, 2, 1), per_gpu: amounts(2, 16, 0), ..PodNeeds::default() },
            namespace_quotas: Default::default(),
            counted: Default::default(),
            standing: Standing::Waiting,
            restart_seconds: 60.0,
            remaining_steps: Some(work as u64),
            waiting_since: None,
            weight: 1.0,
            deadline: None,
            topology: Default::default(),
            preemptible: true,
        }
    }

    /// A minute passes: running jobs get on, some end, and as many come.
    pub(crate) fn live(&mut self, now: Timestamp) -> Vec<Event> {
        let mut events = Vec::new();
        let mut there = self.snapshot.jobs.len();
        for job in self.snapshot.jobs.iter() {
            let Standing::Placed(held) = &job.standing else { continue };
            let steps = (60.0 / held.step_seconds.unwrap_or(1.0)) as u64;
            let left = job.remaining_steps.unwrap_or(0).saturating_sub(steps);
            if left == 0 {
                there -= 1;
                events.push(Event::JobGone(job.key.clone()));
            } else {
                events.push(Event::Job(Arc::new(Job { remaining_steps: Some(left), ..(**job).clone() })));
            }
        }
        for _ in there..self.jobs as usize {
            events.push(Event::Job(Arc::new(self.job(now))));
        }
        events
    }

    /// What a plan decides is done at once.
    pub(crate) fn carry_out(&mut self, plan: Plan, now: Timestamp) {
        for decision in plan.decisions {
            let Some(job) = self.snapshot.jobs.get(&decision.job) else { continue };
            let standing = match decision.action {
                Action::Start { candidate, nodes } | Action::Move { candidate, nodes, .. } => {
                    placed(&candidate, nodes, now)
                }
                Action::Preempt { .. } => Standing::Waiting,
                Action::Keep | Action::LiveBatch { .. } | Action::Wait { .. } => continue,
            };
            let job = Job { standing, ..(**job).clone() };
            self.snapshot.apply(Event::Job(Arc::new(job)));
        }
    }
}

fn placed(candidate: &Candidate, nodes: Vec<String>, now: Timestamp) -> Standing {
    Standing::Placed(Allocation {
        revision: 1,
        shape: candidate.shape.clone(),
        layout: candidate.layout,
        batch: candidate.batch,
        nodes,
        since: now,
        running: true,
        observed: true,
        step_seconds: Some(candidate.predicted.step_seconds),
        live_batch: false,
        moves_last_hour: 0,
        last_move: None,
        checkpoint_age_seconds: 0.0,
    })
}

fn amounts(cpus: u64, gib: u64, pods: u64) -> Resources {
    Resources { cpu_milli: cpus * 1000, memory_bytes: gib * GIB, ephemeral_bytes: 0, pods }
}

fn node(index: u32) -> Node {
    let zone = |size: u32| format!("{}", index / size);
    Node {
        name: format!("node-{index:05}"),
        class: ClassName::new(CLASSES[(index % 3) as usize].0),
        gpus: 8,
        gpus_held_by_others: 0,
        allocatable: amounts(96, 1024, 110),
        held_by_others: amounts(2, 4, 6),
        open: true,
        closed_because: String::new(),
        labels: [("topology.kubernetes.io/zone".to_owned(), zone(256)), ("rack".to_owned(), zone(16))].into(),
        taints: Vec::new(),
        partitioned: false,
        links: Vec::new(),
        link_domain: None,
    }
}

fn candidate(shape: Shape, step_seconds: f64) -> Candidate {
    let gpus = shape.gpus();
    Candidate {
        layout: Layout::data_parallel(gpus),
        batch: Batch { micro: 1, accumulation: 1, global: 96 },
        predicted: Prediction { device_memory_bytes: 8 * GIB, step_seconds, sm_activity: 0.8, mfu: 0.3 },
        fit: Fit::Fits,
        in_band: true,
        efficient: true,
        shape,
    }
}
