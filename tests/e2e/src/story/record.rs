//! What was seen of every job, in order, while the story went on.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use plimsoll_crds::condition::{self, job};
use plimsoll_crds::labels;
use plimsoll_crds::training_job::{MemoryEvidenceKind, TrainingJob};

/// One look at a job; consecutive looks differ.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sighting {
    /// When.
    pub at: Option<Timestamp>,
    /// The State column.
    pub state: String,
    /// Why it does not run; empty while it does.
    pub reason: String,
    /// The sentence behind the reason.
    pub message: String,
    /// Accelerators that it needs, where it waits.
    pub needs_gpus: Option<i32>,
    /// Accelerators that are free, where it waits.
    pub free_gpus: Option<i32>,
    /// Revision in force; 0 without one.
    pub revision: i32,
    /// Class in force.
    pub class: String,
    /// Accelerators held.
    pub gpus: i32,
    /// Micro-batch in force.
    pub micro_batch: i32,
    /// Accumulation in force.
    pub accumulation: i32,
    /// Samples per optimizer step.
    pub global_batch: i32,
    /// Why this allocation.
    pub because: String,
    /// SM activity in percent.
    pub sm_activity_percent: Option<i32>,
    /// Peak device memory reported, in bytes.
    pub device_memory_bytes: Option<i64>,
    /// Percent of all steps.
    pub percent: Option<i32>,
    /// Times that device memory ran out.
    pub device_out_of_memory: i32,
    /// Times that host memory ran out.
    pub host_out_of_memory: i32,
    /// What was learned about host memory: at how many bytes a pod was ended, and how many it got then.
    pub host_memory: Option<(i64, i64)>,
    /// Whether running out of device memory was learned from.
    pub device_ledger_moved: bool,
    /// Failures that count.
    pub failures: i32,
    /// Moves.
    pub moves: i32,
    /// Batches changed without a restart.
    pub live_batches: i32,
    /// Condition Efficient: its status and reason.
    pub efficient: Option<(bool, String)>,
    /// Ended well.
    pub complete: bool,
    /// Ended badly.
    pub failed: bool,
}

impl Sighting {
    /// Reads a job.
    pub fn of(tj: &TrainingJob) -> Self {
        let status = tj.status.clone().unwrap_or_default();
        let allocation = status.allocation.unwrap_or_default();
        let waiting = status.waiting;
        let counters = status.counters.unwrap_or_default();
        let observed = status.observed.unwrap_or_default();
        let efficient = status.conditions.iter().find(|c| c.type_ == job::EFFICIENT);
        Self {
            at: None,
            state: status.summary.unwrap_or_default(),
            reason: waiting.as_ref().map(|w| w.reason.clone()).unwrap_or_default(),
            message: waiting.as_ref().map(|w| w.message.clone()).unwrap_or_default(),
            needs_gpus: waiting.as_ref().and_then(|w| w.needs_gpus),
            free_gpus: waiting.as_ref().and_then(|w| w.free_gpus),
            revision: allocation.revision,
            class: allocation.class,
            gpus: allocation.gpus,
            micro_batch: allocation.micro_batch,
            accumulation: allocation.gradient_accumulation,
            global_batch: allocation.global_batch,
            because: allocation.because.unwrap_or_default(),
            sm_activity_percent: observed.sm_activity_percent,
            device_memory_bytes: observed.device_memory_bytes,
            percent: status.progress.and_then(|p| p.percent),
            device_out_of_memory: counters.device_out_of_memory,
            host_out_of_memory: counters.host_out_of_memory,
            host_memory: status.host_memory.map(|seen| (seen.killed_at_bytes, seen.given_bytes)),
            device_ledger_moved: status
                .evidence
                .is_some_and(|seen| seen.memory.iter().any(|one| one.kind == MemoryEvidenceKind::RanOut)),
            failures: counters.failures,
            moves: counters.moves,
            live_batches: counters.live_batches,
            efficient: efficient.map(|c| (c.status == "True", c.reason.clone())),
            complete: condition::is_true(&status.conditions, job::COMPLETE),
            failed: condition::is_true(&status.conditions, job::FAILED),
        }
    }

    /// Whether the job holds accelerators.
    pub fn holds(&self) -> bool {
        self.gpus > 0 && !self.complete && !self.failed
    }
}

/// Everything seen so far.
#[derive(Clone, Debug, Default)]
pub struct Record {
    jobs: BTreeMap<String, Vec<Sighting>>,
    pods: BTreeMap<String, BTreeSet<String>>,
    running: BTreeMap<String, Timestamp>,
}

impl Record {
    /// Takes a look at a job. Returns whether it differs from the last one.
    pub fn see_job(&mut self, tj: &TrainingJob, now: Timestamp) -> bool {
        let seen = Sighting::of(tj);
        let history = self.jobs.entry(tj.name_any()).or_default();
        if history.last().is_some_and(|last| Sighting { at: None, ..last.clone() } == seen) {
            return false;
        }
        history.push(Sighting { at: Some(now), ..seen });
        true
    }

    /// Takes a look at a pod of a job.
    pub fn see_pod(&mut self, pod: &Pod, now: Timestamp) {
        if !pod.labels().contains_key(labels::JOB_NAME) {
            return;
        }
        self.pods.entry(pod.name_any()).or_default().insert(pod.uid().unwrap_or_default());
        let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
        if phase == Some("Running") {
            self.running.entry(pod.name_any()).or_insert(now);
        }
    }

    /// The history of a job; empty when it was never seen.
    pub fn job(&self, name: &str) -> &[Sighting] {
        self.jobs.get(name).map_or(&[], Vec::as_slice)
    }

    /// Names and last looks of all jobs.
    pub fn last(&self) -> impl Iterator<Item = (&str, &Sighting)> {
        self.jobs.iter().filter_map(|(name, history)| Some((name.as_str(), history.last()?)))
    }

    /// Names of pods that existed more than once: two objects, one name.
    pub fn pods_seen_twice(&self) -> Vec<&str> {
        self.pods.iter().filter(|(_, uids)| uids.len() > 1).map(|(name, _)| name.as_str()).collect()
    }

    /// Names of all pods of jobs ever seen.
    pub fn pod_names(&self) -> impl Iterator<Item = &str> {
        self.pods.keys().map(String::as_str)
    }

    /// When the last correction of all came into force: another count, class or micro-batch than before.
    pub fn last_correction(&self) -> Option<Timestamp> {
        let times = self.jobs.values().flat_map(|history| {
            let held: Vec<_> = history.iter().filter(|s| s.holds()).collect();
            let changes = held
                .windows(2)
                .filter(|w| (w[0].gpus, w[0].micro_batch, &w[0].class) != (w[1].gpus, w[1].micro_batch, &w[1].class));
            changes.filter_map(|w| w[1].at).collect::<Vec<_>>()
        });
        times.max()
    }
}
