//! A job that runs, and how its truth advances.

use crate::batch::{Cut, Limits};
use crate::cluster::Allocation;
use crate::estimate::{Estimate, Seen, fit};
use crate::profile::{Application, Gradient, StepTime, Steps};
use crate::rules::{Knowledge, Rules};
use crate::states::GpuSeconds;
use crate::workload::Submission;

/// What a job has measured on one kind of GPU.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Configurations, in the order in which they were first seen.
    pub seen: Vec<Seen>,
    /// What they were fitted to.
    pub estimate: Option<Estimate>,
}

/// A job of the simulation.
#[derive(Clone, Debug)]
pub struct Job {
    /// Where it stands in the workload.
    pub id: usize,
    /// What was submitted.
    pub submission: Submission,
    /// Its application, as index into the catalogue.
    pub application: usize,
    /// Whether it chooses its own batch; else it keeps the submitted one.
    pub elastic: bool,
    /// What it holds.
    pub allocation: Option<Allocation>,
    /// How its batch is cut.
    pub cut: Cut,
    /// Progress, in steps at the first batch.
    pub progress: f64,
    /// Epochs that ended.
    pub epoch: usize,
    /// Seconds of restoring that are still to come.
    pub restoring_seconds: f64,
    /// When it ended, in seconds.
    pub completed_at: Option<f64>,
    /// Restarts; the first start is none.
    pub restarts: u32,
    /// Whether it has ever been started.
    pub started: bool,
    /// When its allocation last changed at the cost of a restart, in seconds.
    pub changed_at: f64,
    /// The most GPUs it has run on.
    pub most_gpus: u32,
    /// Seconds times GPUs held.
    pub held_gpu_seconds: f64,
    /// Of those, what went into starts and restarts.
    pub restoring_gpu_seconds: f64,
    /// Seconds in which it made progress.
    pub ran_seconds: f64,
    /// The gradient that it last saw.
    pub gradient: Option<Gradient>,
    /// What it measured, by kind of GPU.
    pub measured: Vec<Measured>,
    /// Changes whenever what it believes does.
    pub version: u64,
    /// Progress that a failure cannot take, and the seconds run since.
    checkpoint: (f64, f64),
    /// Failures.
    pub failures: u32,
    /// Whether its user ended it.
    pub cancelled: bool,
    /// Its speed beside the job that it shares its GPUs with, as a share of that alone; `None` for a job that has them to itself.
    pub pace: Option<f64>,
    /// GPU-seconds held, by state.
    pub gpu_seconds: GpuSeconds,
    /// Step times at the allocation, by local batch.
    known: Vec<(u32, StepTime)>,
}

impl Job {
    /// A job that has not started.
    pub fn new(id: usize, submission: Submission, application: usize, kinds: usize, elastic: bool) -> Self {
        Self {
            id,
            changed_at: submission.at_seconds,
            submission,
            application,
            elastic,
            allocation: None,
            cut: Cut::default(),
            progress: 0.0,
            epoch: 0,
            restoring_seconds: 0.0,
            completed_at: None,
            restarts: 0,
            started: false,
            most_gpus: 0,
            held_gpu_seconds: 0.0,
            restoring_gpu_seconds: 0.0,
            ran_seconds: 0.0,
            gradient: None,
            measured: vec![Measured::default(); kinds],
            version: 0,
            checkpoint: (0.0, 0.0),
            failures: 0,
            cancelled: false,
            pace: None,
            gpu_seconds: GpuSeconds::default(),
            known: Vec::new(),
        }
    }

    /// Whether it was submitted and has not ended.
    pub fn is_active(&self, now: f64) -> bool {
        self.completed_at.is_none() && self.submission.at_seconds <= now
    }

    /// Progress at which it is done, in steps at the first batch.
    pub fn total(&self, application: &Application) -> f64 {
        self.submission.steps.unwrap_or(application.runs.total())
    }

    /// GPUs that it holds.
    pub fn gpus(&self) -> u32 {
        self.allocation.as_ref().map_or(0, Allocation::gpus)
    }

    /// Gives it another allocation; `paid_seconds` of restoring where the change is a restart.
    pub fn reallocate(
        &mut self,
        allocation: Option<Allocation>,
        paid_seconds: Option<f64>,
        now: f64,
        application: &Application,
        rules: &Rules,
    ) {
        // A planned stop takes a checkpoint first.
        self.checkpoint = (self.progress, 0.0);
        self.allocation = allocation;
        self.known.clear();
        self.version += 1;
        if self.allocation.is_none() {
            self.cut = Cut::default();
            self.restoring_seconds = 0.0;
            self.changed_at = now;
            return;
        }
        self.most_gpus = self.most_gpus.max(self.gpus());
        if let Some(seconds) = paid_seconds {
            self.restarts += u32::from(self.started);
            self.started = true;
            self.restoring_seconds = seconds;
            self.changed_at = now;
        }
        self.choose_batch(application, rules);
    }

    /// Runs for some seconds from `from`, which ends at the next boundary (rules 4 and 5).
    pub fn advance(&mut self, from: f64, seconds: f64, application: &Application, rules: &Rules) {
        let Some(allocation) = self.allocation.clone() else { return };
        let gpus = allocation.gpus();
        if rules.world.fails(self.id, gpus, from, seconds) {
            self.fail(application, rules);
        }
        let delay = self.restoring_seconds.min(seconds);
        self.restoring_seconds -= delay;
        // Two jobs on the same GPUs hold half of them each.
        let held = f64::from(gpus) * if self.pace.is_some() { 0.5 } else { 1.0 };
        self.restoring_gpu_seconds += delay * held;
        self.held_gpu_seconds += seconds * held;
        self.gpu_seconds.held_idle += seconds * held;
        let slowed = self.pace.is_some_and(|pace| pace < 1.0);
        let (mut now, mut left) = (from + delay, seconds - delay);
        let slowdown = if rules.slowdown { application.times.slowdown } else { 1.0 };
        let (first, _) = application.runs.batches();
        let cancelled = self.total(application) * rules.world.cancelled_after(self.id);
        self.checkpoint.1 += left;
        while left > 0.0 && self.completed_at.is_none() {
            let Some(time) = self.step_time(&allocation, application) else { return };
            let total = self.cut.total(gpus);
            let gradient = application.runs.gradient(total, self.epoch);
            self.observe(&allocation, time, gradient, rules);
            let alone = gradient.gain(first, total) / time.with_accumulation(self.cut.accumulation) / slowdown;
            let rate = alone * self.pace.unwrap_or(1.0);
            let end = application.runs.end_of(self.epoch).min(cancelled);
            let busy = self.busy(&allocation, application);
            if self.progress + rate * left < end {
                self.progress += rate * left;
                self.ran_seconds += left;
                self.ran(held * left, busy, slowed);
                left = 0.0;
            } else {
                let needed = ((end - self.progress) / rate).round_ties_even().min(left).max(0.0);
                self.progress = end;
                self.epoch += 1;
                self.version += 1;
                now += needed;
                left -= needed;
                self.ran_seconds += needed;
                self.ran(held * needed, busy, slowed);
                if self.epoch >= application.runs.epochs() || self.progress >= cancelled {
                    self.completed_at = Some(now);
                    self.cancelled = self.progress < self.total(application);
                    return;
                }
            }
            self.choose_batch(application, rules);
        }
        if self.checkpoint.1 >= rules.world.checkpoint_seconds {
            self.checkpoint = (self.progress, 0.0);
        }
    }

    /// Counts GPU-seconds as run that were held as idle until now.
    fn ran(&mut self, gpu_seconds: f64, busy: Option<f64>, slowed: bool) {
        self.gpu_seconds.held_idle -= gpu_seconds;
        self.gpu_seconds.run(gpu_seconds, busy, slowed);
    }

    /// How busy its GPUs are at the allocation and cut.
    fn busy(&self, allocation: &Allocation, application: &Application) -> Option<f64> {
        let curve = application.steps[allocation.kind].as_ref()?.at(&allocation.shape())?;
        curve.busy(f64::from(self.cut.local), self.cut.accumulation)
    }

    /// Loses what it did since its last checkpoint, and restores.
    fn fail(&mut self, application: &Application, rules: &Rules) {
        self.failures += 1;
        self.restarts += 1;
        self.progress = self.checkpoint.0;
        self.epoch =
            (0..application.runs.epochs()).find(|at| application.runs.end_of(*at) > self.progress).unwrap_or(0);
        self.checkpoint.1 = 0.0;
        self.restoring_seconds = crate::engine::full_restart_seconds(application, rules);
        self.version += 1;
    }

    /// The true step time at the allocation and cut.
    fn step_time(&mut self, allocation: &Allocation, application: &Application) -> Option<StepTime> {
        let local = self.cut.local;
        if let Some((_, time)) = self.known.iter().find(|known| known.0 == local) {
            return Some(*time);
        }
        let steps = application.steps[allocation.kind].as_ref()?;
        let time = steps.at(&allocation.shape())?.at(f64::from(local));
        self.known.push((local, time));
        Some(time)
    }

    fn observe(&mut self, allocation: &Allocation, time: StepTime, gradient: Gradient, rules: &Rules) {
        if self.gradient != Some(gradient) {
            self.gradient = Some(gradient);
            self.version += 1;
        }
        if !self.elastic || rules.knowledge == Knowledge::Oracle && self.measured[allocation.kind].estimate.is_some() {
            return;
        }
        let (nodes, gpus, local) = (allocation.nodes.len() as u32, allocation.gpus(), self.cut.local);
        let measured = &mut self.measured[allocation.kind];
        if measured.seen.iter().any(|seen| (seen.nodes, seen.gpus, seen.local) == (nodes, gpus, local)) {
            return;
        }
        let off = rules.world.measured(self.id, self.version);
        let compute_seconds = off * (time.step_seconds - time.sync_seconds);
        measured.seen.push(Seen { nodes, gpus, local, compute_seconds, step_seconds: off * time.step_seconds });
        measured.estimate = fit(&measured.seen, measured.estimate.as_ref());
        self.version += 1;
    }

    /// Chooses the batch for what it holds (rule 6).
    fn choose_batch(&mut self, application: &Application, rules: &Rules) {
        let Some(allocation) = &self.allocation else { return };
        let Some(steps) = &application.steps[allocation.kind] else { return };
        let shape = allocation.shape();
        let Some(curve) = steps.at(&shape) else { return };
        let gpus = allocation.gpus();
        let nodes = shape.len() as u32;
        let limits = limits(application, steps, rules, Some(&shape));
        if !self.elastic {
            self.cut = limits.fixed(f64::from(self.submission.batch), gpus);
            return;
        }
        let estimate = self.measured[allocation.kind].estimate;
        let best = match (rules.knowledge, estimate, self.gradient) {
            (_, None, _) | (_, _, None) => None,
            (Knowledge::Oracle, _, Some(gradient)) => limits.best(gpus, |cut| {
                let seconds = curve.at(f64::from(cut.local)).with_accumulation(cut.accumulation);
                gradient.gain(limits.first, cut.total(gpus)) / seconds
            }),
            (Knowledge::Refit, Some(estimate), Some(gradient)) => limits.best(gpus, |cut| {
                let seconds = estimate.seconds(nodes, gpus, f64::from(cut.local), cut.accumulation);
                gradient.gain(limits.first, cut.total(gpus)) / seconds
            }),
        };
        let cut = best.map_or_else(|| limits.fixed(limits.start(gpus), gpus), |best| best.0);
        let most = (limits.most / (f64::from(gpus) * f64::from(cut.accumulation + 1))).floor();
        self.cut = Cut { local: cut.local.min(most.max(1.0) as u32), ..cut };
    }
}

/// What bounds the batch of an application on a placement; without one, on any of the kind.
pub(crate) fn limits(application: &Application, steps: &Steps, rules: &Rules, shape: Option<&[u32]>) -> Limits {
    let (first, most) = application.runs.batches();
    let (least_local, most_local) = steps.range();
    let most_local = shape.map_or(most_local, |shape| steps.most_local(shape));
    let memory = if rules.pollux_memory { application.times.pollux_most_local } else { f64::INFINITY };
    Limits { first, most, local: (least_local, most_local.min(memory)) }
}
