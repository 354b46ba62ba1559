//! How fast gangs are placed: `cargo run --release -p plimsoll-scheduling --example placement`, or `cargo xtask bench placement`.
//!
//! 2,048 nodes of 8 GPUs in 128 racks of 16 blocks, and 5,000 jobs, half of which prefer a rack. CPU time of whole plans: placement is
//! a part of them.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::expect_used,
    reason = "an example is no part of the pure core"
)]

use jiff::{SignedDuration, Timestamp};
use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};
use plimsoll_menu::{Batch, Candidate, ClassName, Fit, Layout, LoadLine, Menu, Prediction, Shape};
use plimsoll_scheduling::{
    Action, Allocation, Class, Elasticity, Event, Job, JobKey, Mode, Node, PodNeeds, Queue, Resources, Snapshot,
    Standing, TopologyAsk, consolidate, plan,
};

const BLOCK: &str = "example.com/block";
const RACK: &str = "example.com/rack";
const NODES: usize = 2048;
const JOBS: usize = 5000;
const REPEATS: usize = 9;

/// Pods and GPUs in each: the sizes of jobs in turn, which all find room.
const SIZES: [(u32, u32); 12] =
    [(1, 1), (1, 8), (1, 1), (2, 8), (1, 2), (1, 1), (1, 4), (1, 1), (1, 1), (1, 2), (1, 1), (1, 1)];

fn main() {
    let now = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_000_000);
    let mut snapshot = empty();
    (0..JOBS).for_each(|index| put(&mut snapshot, job(index, SIZES[index % SIZES.len()])));
    println!("{NODES} nodes of 8 GPUs; milliseconds of CPU, least and median of {REPEATS}");
    timed(&format!("a plan in which {JOBS} jobs start"), || drop(plan(&snapshot, now)));

    let mut full = carried_out(&snapshot, now);
    let held = full.jobs.iter().filter(|job| matches!(job.standing, Standing::Placed(_))).count();
    let before = timed(&format!("a plan in which {held} jobs stay where they are"), || drop(plan(&full, now)));
    put(&mut full, job(JOBS, (101, 8)));
    let after = timed("and a gang of 101 nodes is refused, with its reason and numbers", || drop(plan(&full, now)));
    println!("{:>8.1}           of that for the refusal", (after - before).max(0.0));

    let scattered = scattered();
    let gang = JobKey { namespace: "ns".into(), name: name(JOBS) };
    let found = consolidate(&scattered, &gang, 3600.0, now);
    let moves = found.map_or(0, |found| found.moves.len());
    timed(&format!("consolidation for a gang of 16 nodes, {NODES} jobs in its way, {moves} of them move"), || {
        drop(consolidate(&scattered, &gang, 3600.0, now));
    });
}

/// Prints how long something takes, and gives the median in milliseconds.
fn timed(what: &str, act: impl Fn()) -> f64 {
    let mut times: Vec<f64> = (0..REPEATS)
        .map(|_| {
            let before = cpu_nanoseconds();
            act();
            (cpu_nanoseconds() - before) as f64 / 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("{:>8.1} {:>8.1}  {what}", times[0], times[REPEATS / 2]);
    times[REPEATS / 2]
}

/// CPU time of this thread: the machine is shared.
fn cpu_nanoseconds() -> i64 {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux says how long a thread ran");
    time.num_nanoseconds()
}

fn name(index: usize) -> String {
    format!("job-{index:04}")
}

fn empty() -> Snapshot {
    let node = |index: usize| Node {
        name: format!("node-{index:04}"),
        class: ClassName::new("h100"),
        gpus: 8,
        gpus_held_by_others: 0,
        allocatable: Resources { cpu_milli: 192_000, memory_bytes: 2 << 40, ephemeral_bytes: 1 << 40, pods: 110 },
        held_by_others: Resources { cpu_milli: 2000, memory_bytes: 8 << 30, ephemeral_bytes: 0, pods: 8 },
        open: true,
        closed_because: String::new(),
        labels: [(BLOCK.to_owned(), format!("b{:02}", index / 128)), (RACK.to_owned(), format!("r{:03}", index / 16))]
            .into(),
        taints: Vec::new(),
        partitioned: false,
        links: Vec::new(),
        link_domain: None,
    };
    Snapshot {
        classes: [Class {
            name: ClassName::new("h100"),
            resource: "nvidia.com/gpu".into(),
            line: LoadLine::DEFAULT,
            price_per_hour: None,
            watts: None,
        }]
        .into_iter()
        .collect(),
        nodes: (0..NODES).map(node).collect(),
        queues: [Queue::unlimited("q")].into_iter().collect(),
        topology: vec![BLOCK.to_owned(), RACK.to_owned()],
        ..Snapshot::default()
    }
}

fn job(index: usize, (pods, gpus_per_pod): (u32, u32)) -> Job {
    let candidate = |pods: u32| {
        let shape = Shape { class: ClassName::new("h100"), pods, gpus_per_pod };
        let gpus = shape.gpus();
        Candidate {
            layout: Layout::data_parallel(gpus),
            batch: Batch { micro: 1, accumulation: 1, global: gpus },
            predicted: Prediction {
                device_memory_bytes: 1 << 35,
                step_seconds: 64.0 / f64::from(gpus),
                sm_activity: 0.8,
                mfu: 0.4,
            },
            fit: Fit::Fits,
            in_band: true,
            efficient: true,
            shape,
        }
    };
    let preferred = index.is_multiple_of(2).then(|| RACK.to_owned());
    let cpus = [4, 8, 12, 16][index % 4];
    Job {
        key: JobKey { namespace: "ns".into(), name: name(index) },
        uid: name(index),
        queue: "q".into(),
        priority: 0,
        arrival: Timestamp::UNIX_EPOCH + SignedDuration::from_secs(index as i64),
        mode: Mode::Auto,
        elasticity: Elasticity::Elastic,
        menu: Menu { candidates: vec![candidate(pods)], rejected: Vec::new() },
        needs: PodNeeds {
            per_gpu: Resources { cpu_milli: 1000 * cpus, memory_bytes: 64 << 30, ephemeral_bytes: 0, pods: 0 },
            ..PodNeeds::default()
        },
        namespace_quotas: Default::default(),
        counted: Default::default(),
        standing: Standing::Waiting,
        waiting_since: None,
        weight: 1.0,
        deadline: None,
        topology: TopologyAsk { required: None, preferred },
        preemptible: true,
        restart_seconds: 120.0,
        remaining_steps: Some(10_000),
    }
}

fn put(snapshot: &mut Snapshot, job: Job) {
    snapshot.apply(Event::Job(job.into()));
}

fn holding(job: &Job, nodes: Vec<String>) -> Job {
    let Candidate { shape, layout, batch, predicted, .. } = job.menu.candidates[0].clone();
    let allocation = Allocation {
        revision: 1,
        shape,
        layout,
        batch,
        nodes,
        since: Timestamp::UNIX_EPOCH,
        running: true,
        observed: true,
        step_seconds: Some(predicted.step_seconds),
        live_batch: false,
        moves_last_hour: 0,
        last_move: None,
        checkpoint_age_seconds: 0.0,
    };
    Job { standing: Standing::Placed(allocation), ..job.clone() }
}

/// The snapshot once what starts runs.
fn carried_out(snapshot: &Snapshot, now: Timestamp) -> Snapshot {
    let mut after = snapshot.clone();
    for decision in plan(snapshot, now).decisions {
        if let Action::Start { nodes, .. } = decision.action {
            let job = snapshot.jobs.get(&decision.job).expect("it was decided on");
            put(&mut after, holding(job, nodes));
        }
    }
    after
}

/// Every node is half full, and a gang wants sixteen whole ones.
fn scattered() -> Snapshot {
    let mut snapshot = empty();
    for index in 0..NODES {
        put(&mut snapshot, holding(&job(index, (1, 4)), vec![format!("node-{index:04}")]));
    }
    put(&mut snapshot, job(JOBS, (16, 8)));
    snapshot
}
