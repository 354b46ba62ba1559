//! What a cycle saw, as metrics show it. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use plimsoll_crds::training_job::LifecycleState;
use plimsoll_scheduling::{JobKey, Snapshot, Worth};

use super::gpu_states::{self, GpuCounts};
use super::queues::{self, Queues};
use crate::job::Turn;
use crate::world::World;

/// What a cycle saw.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Devices by class and state.
    pub gpus: GpuCounts,
    /// Jobs that wait, by queue and reason.
    pub pending: BTreeMap<(String, String), u64>,
    /// Queues by class.
    pub queues: Queues,
    /// The spent share of each budget, by queue, unit and period.
    pub budgets: Vec<(Vec<String>, f64)>,
    /// How much better the sizes of the plan could be at most, as a share; `None` where no plan said.
    pub gap: Option<f64>,
    /// Every job.
    pub jobs: BTreeMap<JobKey, JobView>,
}

/// One job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobView {
    /// Its queue.
    pub queue: String,
    /// Its state.
    pub state: &'static str,
    /// Devices that it holds.
    pub gpus: i32,
    /// Seconds per step, where seen.
    pub step_seconds: Option<f64>,
    /// SM activity, where seen, 0 to 1.
    pub utilization: Option<f64>,
    /// The load line of its class, 0 to 1.
    pub low: Option<f64>,
    /// Share of a device's memory that its peak leaves free, where seen.
    pub headroom: Option<f64>,
    /// When its program last reported, in seconds since the epoch.
    pub reported_at: Option<i64>,
}

impl View {
    /// What a cycle saw.
    pub fn of(
        world: &World,
        (snapshot, worth): (&Snapshot, Option<Worth>),
        turns: &BTreeMap<JobKey, Turn>,
        now: Timestamp,
    ) -> Self {
        let jobs: BTreeMap<JobKey, JobView> = turns.iter().map(|(key, turn)| (key.clone(), job(world, turn))).collect();
        let over = |key: &JobKey| jobs.get(key).and_then(|job| job.headroom).is_some_and(|left| left < 0.0);
        let gpus = gpu_states::count(world, snapshot, &over, now);
        let mut pending: BTreeMap<(String, String), u64> = BTreeMap::new();
        for turn in turns.values().filter(|turn| turn.status.allocation.is_none()) {
            if let Some(waiting) = &turn.status.waiting {
                let series = (turn.job.spec.queue_name.clone(), waiting.reason.clone());
                *pending.entry(series).or_default() += 1;
            }
        }
        Self {
            gpus,
            pending,
            queues: queues::queues(snapshot, turns),
            budgets: queues::budgets(world, snapshot),
            gap: worth.map(|worth| worth.gap()),
            jobs,
        }
    }
}

fn job(world: &World, turn: &Turn) -> JobView {
    let allocation = turn.status.allocation.as_ref();
    let observed = turn.status.observed.as_ref();
    let class = allocation.and_then(|allocation| world.class(&allocation.class));
    let peak = observed.and_then(|seen| seen.device_memory_bytes);
    let progress = turn.status.progress.as_ref();
    JobView {
        queue: turn.job.spec.queue_name.clone(),
        state: state(turn),
        gpus: allocation.map_or(0, |allocation| allocation.gpus),
        step_seconds: observed.and_then(|seen| seen.step_milliseconds).map(|ms| ms as f64 / 1000.0),
        utilization: observed.and_then(|seen| seen.sm_activity_percent).map(|percent| f64::from(percent) / 100.0),
        low: class.map(|class| class.line.low_activity),
        headroom: class.zip(peak).map(|(class, peak)| {
            let line = class.memory_line_bytes() as f64;
            if line > 0.0 { (line - peak as f64) / line } else { 0.0 }
        }),
        reported_at: progress.and_then(|p| p.reported_at.as_ref()).map(|at| at.0.as_second()),
    }
}

fn state(turn: &Turn) -> &'static str {
    match turn.status.lifecycle.as_ref().map(|stored| stored.state).unwrap_or_default() {
        LifecycleState::Waiting => "Waiting",
        LifecycleState::Suspended => "Suspended",
        LifecycleState::Committed => "Committed",
        LifecycleState::Starting => "Starting",
        LifecycleState::Running => "Running",
        LifecycleState::Stopping => "Stopping",
        LifecycleState::Complete => "Complete",
        LifecycleState::Failed => "Failed",
    }
}
