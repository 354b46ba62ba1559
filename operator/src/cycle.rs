//! The cycle: one look at the whole cluster, one plan, and everything that follows from it.
//!
//! Thinking is pure and takes no lock; writes for different jobs run beside each other. One loop decides, because who
//! runs where is one decision: a controller per job could give the same device away twice.

mod memory;
mod quota;
mod read;
#[cfg(test)]
mod tests;
mod unlawful;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use kube::{Resource as _, ResourceExt as _};
use plimsoll_crds::{TrainingJob, labels};
use plimsoll_lifecycle::Phase;
use plimsoll_observe::{Follower, Planned, WindowRules, coverage};
use plimsoll_protocol::{CheckpointAsk, PlanReply};
use plimsoll_scheduling::{JobKey, plan};
use plimsoll_sizing::Cache;

use self::memory::{Memory, Refused};
use self::read::Read;
use self::unlawful::Inspector;
use crate::accounts::{Accounts, holdings};
use crate::assumed::Assumed;
use crate::config::Config;
use crate::job::apply::{ApplyError, Done, Hands, Order};
use crate::job::dereference::dereference;
use crate::job::memory::natural;
use crate::job::taken::taken;
use crate::job::{Known, Release, Trial, Turn, budget, rendezvous, update_status};
use crate::metrics::{Metrics, View};
use crate::progress::state::Progress;
use crate::sentence::sentence;
use crate::settings::Settings;
use crate::stores::Stores;
use crate::world::World;
use crate::{accelerator_nodes, classes, queues};

/// Jobs that are written at once.
const AT_ONCE: usize = 16;
/// Longest that the writes of one job may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// For how long a pod that was created counts as there although the watch has not shown it.
const UNSEEN: Duration = Duration::from_secs(30);
/// For how long a release is remembered.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(1);

/// Everything that outlives one cycle.
pub struct Cycle {
    stores: Stores,
    hands: Hands,
    settings: Settings,
    progress: Progress,
    metrics: Metrics,
    assumed: Assumed,
    memories: BTreeMap<String, Memory>,
    released: Arc<Vec<Release>>,
    world: Option<World>,
    /// The snapshot of the last plan.
    follower: Follower,
    read: Read,
    accounts: Accounts,
    inspector: Inspector,
    /// Searches of jobs sized before.
    sizes: Cache,
    applied: classes::Applied,
}

/// What a cycle leaves behind for the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// When the next deadline of any job is, if there is one.
    pub deadline: Option<Timestamp>,
    /// Something is to be looked at again at once.
    pub again: bool,
}

impl Cycle {
    /// A cycle over `stores`.
    pub fn new(stores: Stores, hands: Hands, settings: Settings, progress: Progress, metrics: Metrics) -> Self {
        Self {
            stores,
            hands,
            settings,
            progress,
            metrics,
            assumed: Assumed::default(),
            memories: BTreeMap::new(),
            released: Arc::default(),
            world: None,
            follower: Follower::default(),
            read: Read::default(),
            accounts: Accounts::default(),
            inspector: Inspector::default(),
            sizes: Cache::default(),
            applied: classes::Applied::default(),
        }
    }

    /// Keeps the snapshots of plans that break a law in a folder.
    pub fn keep_snapshots_in(mut self, folder: Option<PathBuf>) -> Self {
        self.inspector = Inspector::new(folder);
        self
    }

    /// The settings in force.
    pub fn config(&self) -> Arc<Config> {
        self.settings.current()
    }

    /// One cycle.
    pub async fn run(&mut self, now: Timestamp) -> Next {
        let timer = self.metrics.cycle_seconds.start_timer();
        // 1. Look: one instant of everything.
        self.settings.read(self.stores.settings().as_deref());
        let config = self.settings.current();
        let objects = self.stores.objects(&config.pods.priority_class_name);
        let world = World::of(objects, self.world.as_ref());
        let jobs = self.jobs();
        // 2. Think: each job by itself.
        let mut taken = taken(&world, &jobs);
        let mut turns: BTreeMap<JobKey, Turn> = BTreeMap::new();
        for job in &jobs {
            let lost = job.uid().and_then(|uid| taken.remove(&uid));
            let turn = self.think(&world, job, lost, &config, now);
            turns.insert(turn.key.clone(), turn);
        }
        self.remember_releases(&mut turns, now);
        // 3. Plan: all jobs together.
        let planned: Vec<Planned> = turns.values().filter_map(|turn| turn.planned(&config, now)).collect();
        self.follower.follow(&world.objects, &planned, &config.planning(), now);
        let snapshot = self.follower.snapshot().clone();
        let plan = plan(&snapshot, now);
        let sizes = plan.sizes.clone();
        let worth = sizes.as_ref().map(|sizes| sizes.worth);
        let (plan, lawful) = self.inspector.inspect(&snapshot, plan, now);
        match sizes {
            Some(sizes) if lawful => self.follower.carry(sizes),
            _ => {}
        }
        if !lawful {
            self.metrics.unlawful_plans.inc();
        }
        for decision in plan.decisions {
            if let Some(turn) = turns.get_mut(&decision.job) {
                turn.decide(decision.action, now);
            }
        }
        quota::pace(&snapshot, &mut turns, now);
        let holdings = holdings(&world.objects, &world.classes, &planned, now);
        self.accounts.count(&world.objects.queues, holdings, config.rates(), now);
        // 4. Say: what each status is to become, and what each program is answered.
        let silent = SignedDuration::from_secs(config.progress.silent_seconds.into());
        for turn in turns.values_mut() {
            update_status::finish(turn, &world.classes, silent, now);
        }
        timer.observe_duration();
        // 5. Do: jobs beside each other, each in its own order.
        let mut next = self.apply(&world, &mut turns, &config, now).await;
        self.answer(&turns);
        self.let_go_of_orphans(&world, &turns).await;
        self.keep_objects_of(&turns, now).await;
        self.keep_the_rest(&world, &planned, now).await;
        self.metrics.show(View::of(&world, (&snapshot, worth), &turns, now));
        self.forget(&turns);
        next.deadline = turns.values().filter_map(|turn| self.deadline(turn, &config, now)).min();
        self.world = Some(world);
        next
    }

    /// Jobs that can be read and are not being deleted, as they were last written.
    fn jobs(&mut self) -> Vec<Arc<TrainingJob>> {
        let shown = self.read.jobs(&self.stores.jobs.state());
        let live = shown.iter().filter(|job| job.metadata.deletion_timestamp.is_none());
        live.map(|job| self.assumed.newest(job)).collect()
    }

    fn think(
        &mut self,
        world: &World,
        job: &Arc<TrainingJob>,
        taken: Option<String>,
        config: &Config,
        now: Timestamp,
    ) -> Turn {
        let from = dereference(world, job);
        let memory = self.memories.entry(from.uid.clone()).or_default();
        memory.created.retain(|name, at| at.elapsed() < UNSEEN && !from.pods.iter().any(|pod| pod.name_any() == *name));
        let generation = job.metadata.generation.unwrap_or_default();
        memory.refused.take_if(|refused| refused.generation != generation);
        let allocation = job.status.as_ref().and_then(|status| status.allocation.as_ref());
        let rules = WindowRules {
            required_seconds: config.observation.window_seconds,
            settle_seconds: config.observation.settle_seconds,
        };
        let known = Known {
            sized: memory.sized.take(),
            heard: self.progress.heard(&from.key, &from.uid),
            coverage: allocation
                .map(|allocation| coverage(world.found(&from.key), &from.key, allocation, rules, now))
                .unwrap_or_default(),
            checkpoint_written: self.progress.checkpoint_written(&from.key, &from.uid),
            unseen: !memory.created.is_empty(),
            pod_refused: memory.pod_refused.take(),
            taken,
            trial_refused: memory.refused.as_ref().filter(|r| r.until > now).map(|r| r.message.clone()),
            released: self.released.clone(),
        };
        Turn::think(world, from, known, (config, &mut self.sizes), now)
    }

    /// Notes who gave devices back in this turn, so that whoever starts there can say whose they were.
    fn remember_releases(&mut self, turns: &mut BTreeMap<JobKey, Turn>, now: Timestamp) {
        let new: Vec<Release> = turns.values().filter_map(|turn| turn.release(now)).collect();
        let recent = |release: &Release| now.duration_since(release.at) < REMEMBERED;
        if new.is_empty() && self.released.iter().all(recent) {
            return;
        }
        let kept = self.released.iter().filter(|release| recent(release)).cloned();
        self.released = Arc::new(kept.chain(new).collect());
        for turn in turns.values_mut() {
            turn.share_releases(&self.released);
        }
    }

    async fn apply(
        &mut self,
        world: &World,
        turns: &mut BTreeMap<JobKey, Turn>,
        config: &Arc<Config>,
        now: Timestamp,
    ) -> Next {
        let flush = SignedDuration::from_secs(config.progress.flush_seconds.into());
        let memories = &self.memories;
        let (hands, world) = (&self.hands, &world);
        let calls = turns.values().filter_map(|turn| {
            let memory = memories.get(&turn.uid)?;
            let write = update_status::is_due(turn.job.status.as_ref(), &turn.status, memory.written_at, flush, now);
            if !write && !turn.has_work() {
                return None;
            }
            let pending: Vec<String> = memory.created.keys().cloned().collect();
            let tried = turn.work.trial.as_ref().is_some_and(|trial| memory.passed.contains(&mark(trial)));
            let config = config.clone();
            Some(async move {
                let class = turn.class_in_question();
                let resource = class.and_then(|class| world.resource_of(class));
                let order = Order { config: &config, resource, write, tried, now, pending: &pending };
                let result = tokio::time::timeout(PATIENCE, hands.apply(turn, order)).await;
                (turn.key.clone(), result)
            })
        });
        let calls: Vec<_> = calls.collect();
        let results: Vec<_> = futures::stream::iter(calls).buffer_unordered(AT_ONCE).collect().await;
        let mut next = Next { deadline: None, again: false };
        for (key, result) in results {
            let Some(turn) = turns.get_mut(&key) else { continue };
            match result {
                Ok(Ok(done)) => next.again |= self.absorb(turn, done, now),
                Ok(Err(ApplyError::Stale { .. })) => {
                    tracing::debug!(job = %key, "the job has changed in the meantime");
                    self.metrics.errors.with_label_values(&["stale"]).inc();
                    turn.undo();
                    next.again = true;
                }
                Ok(Err(error)) => {
                    self.metrics.errors.with_label_values(&["apply"]).inc();
                    tracing::warn!(job = %key, error = sentence(&error), "a turn is made again");
                    turn.undo();
                }
                Err(_) => {
                    self.metrics.errors.with_label_values(&["timeout"]).inc();
                    tracing::warn!(job = %key, "the apiserver took too long");
                    turn.undo();
                }
            }
        }
        next
    }

    /// Takes in what carrying a turn out brought to light. Returns whether the next cycle should not wait.
    fn absorb(&mut self, turn: &mut Turn, done: Done, now: Timestamp) -> bool {
        let Done { written, trial_passed, trial_refused, pod_refused, created } = done;
        let memory = self.memories.entry(turn.uid.clone()).or_default();
        if let Some(trial) = trial_passed {
            memory.passed.insert(mark(&trial));
            memory.refused = None;
        }
        let again = trial_refused.is_some() || pod_refused.is_some();
        if let Some((trial, message)) = trial_refused {
            if quota::is_all_that_refuses(turn, &message) {
                memory.passed.insert(mark(&trial));
                turn.undo();
                return true;
            }
            tracing::info!(job = %turn.key, message, "the apiserver refuses the job's pods");
            memory.refused = Some(Refused::again(memory.refused.as_ref(), trial.generation, message, now));
            turn.undo();
        }
        memory.pod_refused = pod_refused;
        memory.created.extend(created.into_iter().map(|name| (name, Instant::now())));
        if let Some(written) = written {
            memory.written_at = Some(now);
            self.metrics.count(turn);
            self.assumed.write(&turn.job, written);
        }
        again
    }

    /// Tells the progress endpoint what each program is to be answered.
    fn answer(&self, turns: &BTreeMap<JobKey, Turn>) {
        for turn in turns.values() {
            let Some(allocation) = &turn.status.allocation else { continue };
            let asks = match &turn.state.phase {
                Phase::Stopping { checkpoint_until: Some(_), .. } => CheckpointAsk::Now,
                _ => CheckpointAsk::None,
            };
            let reason = match &turn.state.phase {
                Phase::Stopping { why, .. } => why.sentence(),
                _ => String::new(),
            };
            let reply = PlanReply {
                revision: natural(allocation.revision),
                micro_batch: natural(allocation.micro_batch),
                accumulation: natural(allocation.gradient_accumulation),
                checkpoint: asks,
                // Its pods are told to stop all at once, by their signal: a first rank that leaves by itself would
                // make the others fail.
                stop_after_checkpoint: false,
                reason,
            };
            let step = turn.status.progress.as_ref().and_then(|p| p.checkpoint_step);
            self.progress.plan(&turn.key, &turn.uid, reply, step.and_then(|s| u64::try_from(s).ok()));
        }
        let holds = |key: &JobKey| turns.get(key).is_some_and(|turn| turn.status.allocation.is_some());
        self.progress.retain(holds);
    }

    /// Lets go of pods whose job is gone or going: nothing is left to write their outcome to.
    async fn let_go_of_orphans(&self, world: &World, turns: &BTreeMap<JobKey, Turn>) {
        let unreadable: BTreeSet<String> = self
            .stores
            .jobs
            .state()
            .iter()
            .filter(|job| job.0.is_err())
            .filter_map(|job| job.meta().uid.clone())
            .collect();
        let live: BTreeSet<&str> = turns.values().map(|turn| turn.uid.as_str()).collect();
        for pod in world.pods.values().flatten() {
            let kept = pod.finalizers().iter().any(|name| name == labels::POD_FINALIZER);
            let owned = pod
                .owner_references()
                .iter()
                .any(|owner| live.contains(owner.uid.as_str()) || unreadable.contains(&owner.uid));
            if !kept || owned {
                continue;
            }
            let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
            let result = self.hands.remove_finalizer(&namespace, &name, &pod.uid().unwrap_or_default()).await;
            if let Err(error) = result {
                tracing::warn!(namespace, name, error = sentence(&error), "failed to let go of a pod without a job");
            }
        }
    }

    /// Objects of jobs, their pods aside.
    async fn keep_objects_of(&self, turns: &BTreeMap<JobKey, Turn>, now: Timestamp) {
        if self.hands.fence.check().is_err() {
            return;
        }
        let services = rendezvous::keep(&self.hands, &self.stores.services.state(), turns).await;
        let budgets = budget::keep(&self.hands, &self.stores.budgets.state(), turns, now).await;
        for (what, result) in [("Services", services), ("PodDisruptionBudgets", budgets)] {
            if let Err(error) = result {
                tracing::warn!(what, error = sentence(&error), "failed to keep objects of jobs up to date");
            }
        }
    }

    /// Objects that are not about one job.
    async fn keep_the_rest(&mut self, world: &World, planned: &[Planned], now: Timestamp) {
        if self.hands.fence.check().is_err() {
            return;
        }
        self.hands.lead_reports(&self.stores.slices()).await;
        let client = &self.hands.client;
        let nodes = accelerator_nodes::reconcile(client, &world.objects).await.map_err(|e| sentence(&e));
        let classes =
            classes::reconcile(client, &world.objects, planned, &mut self.applied, now).await.map_err(|e| sentence(&e));
        let queues = queues::reconcile(client, &world.objects, planned, &mut self.accounts, now).await;
        let queues = queues.map_err(|e| sentence(&e));
        for (what, result) in [("AcceleratorNodes", nodes), ("AcceleratorClasses", classes), ("TrainingQueues", queues)]
        {
            if let Err(error) = result {
                tracing::warn!(what, error, "failed to keep objects up to date");
            }
        }
    }

    fn forget(&mut self, turns: &BTreeMap<JobKey, Turn>) {
        for turn in turns.values() {
            if let Some(memory) = self.memories.get_mut(&turn.uid) {
                memory.sized.clone_from(&turn.sized);
            }
        }
        let live: BTreeSet<&str> = turns.values().map(|turn| turn.uid.as_str()).collect();
        self.memories.retain(|uid, _| live.contains(uid.as_str()));
        self.assumed.retain(|uid| live.contains(uid));
    }

    /// When time alone will change something about a job.
    fn deadline(&self, turn: &Turn, config: &Config, now: Timestamp) -> Option<Timestamp> {
        let after = |since: Timestamp, seconds: u32| since.checked_add(SignedDuration::from_secs(seconds.into())).ok();
        let phase = match &turn.state.phase {
            Phase::Waiting { not_before, .. } => *not_before,
            Phase::Committed { since } => after(*since, config.timeouts.bind_seconds),
            Phase::Starting { since } => after(*since, config.timeouts.start_seconds),
            Phase::Stopping { checkpoint_until, .. } => *checkpoint_until,
            Phase::Running { .. } | Phase::Suspended | Phase::Complete | Phase::Failed { .. } => None,
        };
        let refused = self.memories.get(&turn.uid).and_then(|memory| memory.refused.as_ref()).map(|r| r.until);
        phase.into_iter().chain(budget::due(&turn.state.phase)).chain(refused).filter(|at| *at > now).min()
    }
}

fn mark(trial: &Trial) -> String {
    let Trial { generation, class, gpus_per_pod, gang } = trial;
    format!("{generation}/{class}/{gpus_per_pod}/{gang}")
}
