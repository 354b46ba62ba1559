//! A scenario, played.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use plimsoll_menu::{Batch, Candidate, ClassName, Fit, Layout, LoadLine, Menu, Prediction, Shape};
use plimsoll_scheduling::{
    Action, Allocation, Class, Elasticity, Event, Job, JobKey, Mode, Node, Plan, PodNeeds, Queue, Resources, Share,
    Snapshot, Standing,
};

use super::{ClassWait, QueueFigures, Scenario};

/// Milliseconds between two plans; a plan is made only when something came or ended. All runtimes are multiples of it.
const TICK: u64 = 50;
const CLASS: &str = "unit";

/// What stands before a caller when a plan is due: it makes the plan, and may measure that or have it inspected.
pub struct Step<'s> {
    /// The cluster.
    pub snapshot: &'s Snapshot,
    /// Now, in virtual time.
    pub now: Timestamp,
}

/// A workload that runs.
struct Running {
    ends: u64,
    request: u32,
}

/// What is known of a workload from its creation on.
struct Created {
    at: u64,
    set: usize,
    admitted: Option<u64>,
}

/// A scenario at one time.
struct Play<'s> {
    scenario: &'s Scenario,
    snapshot: Snapshot,
    created: BTreeMap<JobKey, Created>,
    running: BTreeMap<JobKey, Running>,
    preemptions: u32,
}

/// Plays a scenario to its end; `plan` makes each plan.
pub fn play(scenario: &Scenario, mut plan: impl FnMut(Step<'_>) -> Plan) -> QueueFigures {
    let mut arrivals = arrivals(scenario);
    let mut play = Play {
        scenario,
        snapshot: cluster(scenario),
        created: BTreeMap::new(),
        running: BTreeMap::new(),
        preemptions: 0,
    };
    let (mut used, mut plans, mut clock) = (0, 0, 0);
    while !(arrivals.is_empty() && play.snapshot.jobs.is_empty()) {
        let mut due = play.end(clock);
        while let Some(entry) = arrivals.first_entry().filter(|entry| *entry.key() <= clock) {
            entry.remove().into_iter().for_each(|(queue, set)| play.create(queue, set, clock));
            due = true;
        }
        // What is preempted is free at once: there are no pods that would have to end.
        while due {
            plans += 1;
            let now = at(clock);
            let planned = plan(Step { snapshot: &play.snapshot, now });
            due = play.carry_out(planned, clock);
        }
        used += play.running.values().map(|running| u64::from(running.request)).sum::<u64>() * TICK;
        clock += TICK;
    }
    let quota = u64::from(scenario.cohorts * scenario.queues * scenario.nominal) * clock.max(1);
    QueueFigures {
        seconds: clock as f64 / 1000.0,
        usage: used as f64 / quota as f64,
        admission: play.waits(),
        preemptions: play.preemptions,
        plans,
    }
}

impl Play<'_> {
    /// Ends what is done; says whether anything was.
    fn end(&mut self, clock: u64) -> bool {
        let done = self.running.iter().filter(|(_, running)| running.ends <= clock);
        let done: Vec<JobKey> = done.map(|(key, _)| key.clone()).collect();
        for key in &done {
            self.running.remove(key);
            self.snapshot.apply(Event::JobGone(key.clone()));
        }
        !done.is_empty()
    }

    fn create(&mut self, queue: u32, set: usize, clock: u64) {
        let job = workload(self.scenario, queue, set, self.created.len(), at(clock));
        self.created.insert(job.key.clone(), Created { at: clock, set, admitted: None });
        self.snapshot.apply(Event::Job(Arc::new(job)));
    }

    /// Starts and stops what a plan says; says whether anything was stopped for others.
    fn carry_out(&mut self, plan: Plan, clock: u64) -> bool {
        let before = self.preemptions;
        for decision in plan.decisions {
            let Some(job) = self.snapshot.jobs.get(&decision.job) else { continue };
            let mut job = Job::clone(job);
            match decision.action {
                Action::Start { candidate, nodes } => {
                    let Some(created) = self.created.get_mut(&job.key) else { continue };
                    let set = &self.scenario.sets[created.set];
                    created.admitted.get_or_insert(clock);
                    let ends = clock + u64::from(set.runtime_milliseconds);
                    self.running.insert(job.key.clone(), Running { ends, request: set.request });
                    job.standing = Standing::Placed(placed(&candidate, nodes, at(clock)));
                }
                Action::Preempt { .. } => {
                    self.preemptions += 1;
                    // It begins anew.
                    self.running.remove(&job.key);
                    job.standing = Standing::Waiting;
                    job.waiting_since = Some(at(clock));
                }
                _ => continue,
            }
            self.snapshot.apply(Event::Job(Arc::new(job)));
        }
        self.preemptions > before
    }

    fn waits(&self) -> [ClassWait; 3] {
        [0, 1, 2].map(|set| {
            let of_set = self.created.values().filter(|created| created.set == set);
            let waits: Vec<f64> =
                of_set.filter_map(|created| Some((created.admitted? - created.at) as f64 / 1000.0)).collect();
            let mean_seconds = waits.iter().sum::<f64>() / waits.len().max(1) as f64;
            ClassWait { mean_seconds, most_seconds: waits.into_iter().fold(0.0, f64::max) }
        })
    }
}

fn at(milliseconds: u64) -> Timestamp {
    let since = SignedDuration::from_millis(i64::try_from(milliseconds).unwrap_or(i64::MAX));
    Timestamp::UNIX_EPOCH.saturating_add(since).unwrap_or(Timestamp::MAX)
}

/// Who comes when: queues and sets by milliseconds.
fn arrivals(scenario: &Scenario) -> BTreeMap<u64, Vec<(u32, usize)>> {
    let mut arrivals: BTreeMap<u64, Vec<(u32, usize)>> = BTreeMap::new();
    for queue in 0..scenario.cohorts * scenario.queues {
        for (index, set) in scenario.sets.iter().enumerate() {
            for number in 0..set.count {
                let at = u64::from(number) * u64::from(set.interval_milliseconds);
                arrivals.entry(at).or_default().push((queue, index));
            }
        }
    }
    arrivals
}

fn queue_name(scenario: &Scenario, queue: u32) -> String {
    format!("cohort-{}-queue-{:03}", queue / scenario.queues, queue % scenario.queues)
}

/// One node that is large enough for everything: Kueue has none in these scenarios.
fn cluster(scenario: &Scenario) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let class = || ClassName::new(CLASS);
    let (resource, line) = ("example.com/unit".to_owned(), LoadLine::DEFAULT);
    snapshot.classes.put(Class { name: class(), resource, line, price_per_hour: None, watts: None });
    let count = scenario.cohorts * scenario.queues;
    snapshot.nodes.put(Node {
        name: "node".into(),
        class: class(),
        gpus: count * scenario.nominal,
        gpus_held_by_others: 0,
        allocatable: Resources { pods: u64::MAX, ..Resources::default() },
        held_by_others: Resources::default(),
        open: true,
        closed_because: String::new(),
        labels: BTreeMap::new(),
        taints: Vec::new(),
        partitioned: false,
        links: Vec::new(),
        link_domain: None,
    });
    for cohort in 0..scenario.cohorts {
        let classes = Some(BTreeMap::new());
        snapshot.queues.put(Queue { classes, ..Queue::unlimited(format!("cohort-{cohort}")) });
    }
    for queue in 0..count {
        let share = Share { borrowing_limit: Some(scenario.borrowing_limit), ..Share::of(scenario.nominal) };
        snapshot.queues.put(Queue {
            parent: Some(format!("cohort-{}", queue / scenario.queues)),
            classes: Some([(class(), share)].into()),
            ..Queue::unlimited(queue_name(scenario, queue))
        });
    }
    snapshot
}

fn workload(scenario: &Scenario, queue: u32, set: usize, number: usize, now: Timestamp) -> Job {
    let set = &scenario.sets[set];
    let candidate = Candidate {
        shape: Shape { class: ClassName::new(CLASS), pods: 1, gpus_per_pod: set.request },
        layout: Layout::data_parallel(set.request),
        batch: Batch { micro: 1, accumulation: 1, global: set.request },
        predicted: Prediction {
            device_memory_bytes: 0,
            step_seconds: f64::from(set.runtime_milliseconds) / 1000.0,
            sm_activity: 1.0,
            mfu: 1.0,
        },
        fit: Fit::Fits,
        in_band: true,
        efficient: true,
    };
    let queue = queue_name(scenario, queue);
    Job {
        key: JobKey { namespace: queue.clone(), name: format!("{}-{number}", set.class) },
        uid: format!("{number:08}"),
        queue,
        priority: set.priority,
        arrival: now,
        mode: Mode::Off,
        elasticity: Elasticity::Fixed,
        menu: Menu { candidates: vec![candidate], rejected: Vec::new() },
        needs: PodNeeds::default(),
        namespace_quotas: Default::default(),
        counted: Default::default(),
        standing: Standing::Waiting,
        waiting_since: None,
        weight: 1.0,
        deadline: None,
        topology: Default::default(),
        preemptible: true,
        restart_seconds: 0.0,
        remaining_steps: Some(1),
    }
}

fn placed(candidate: &Candidate, nodes: Vec<String>, since: Timestamp) -> Allocation {
    Allocation {
        revision: 1,
        shape: candidate.shape.clone(),
        layout: candidate.layout,
        batch: candidate.batch,
        nodes,
        since,
        running: true,
        observed: false,
        step_seconds: None,
        live_batch: false,
        moves_last_hour: 0,
        last_move: None,
        checkpoint_age_seconds: 0.0,
    }
}
