//! What a transition of the state machine means for a job's status. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use plimsoll_crds::training_job::{Allocation, HostMemory, MemoryEvidenceKind, Predicted};
use plimsoll_lifecycle::{Event, EventReason, Intent, Ledger, Phase, State, StopCause, step};
use plimsoll_menu::{Batch, Candidate, Prediction};
use plimsoll_observe::evidence::{api_recompute, api_sharding};
use plimsoll_observe::host_memory;

use super::memory::{cause_word, integer, natural, shorten};
use super::{Turn, Work};
use crate::learning;
use crate::notes::Note;

/// Longest sentence about an allocation.
const LONGEST: usize = 1024;

impl Turn {
    /// Lets the state machine hear an event, and draws the consequences.
    pub(super) fn step(&mut self, event: Event, now: Timestamp) {
        let before = self.state.clone();
        let (state, intents) = step(before.clone(), event, &self.policy, now);
        self.state = state;
        for intent in intents {
            self.intend(intent, &before);
        }
        self.follow(&before, now);
    }

    fn intend(&mut self, intent: Intent, before: &State) {
        match intent {
            Intent::CreatePods { .. } => self.work.create = true,
            Intent::DeletePods { grace_seconds, .. } => {
                self.work = Work { create: false, delete: Some(grace_seconds), trial: None };
            }
            // The reply to the next report says so, for as long as the state does.
            Intent::AskCheckpoint { .. } => {}
            Intent::RecordMemoryEvidence { ledger: Ledger::Device, peak_bytes, .. } => {
                learning::ran_out(&mut self.status, peak_bytes);
                let counters = self.status.counters.get_or_insert_default();
                counters.device_out_of_memory = counters.device_out_of_memory.saturating_add(1);
            }
            Intent::RecordMemoryEvidence { ledger: Ledger::Host, .. } => {
                let counters = self.status.counters.get_or_insert_default();
                counters.host_out_of_memory = counters.host_out_of_memory.saturating_add(1);
                self.give_more_host_memory();
            }
            Intent::ReportEvent { reason, message } => {
                self.count(reason, before);
                let note = self.note(reason, message);
                self.notes.push(note);
            }
        }
    }

    /// The next revision's pods get more than what this one's were ended at.
    fn give_more_host_memory(&mut self) {
        let (Ok(validated), Some(allocation)) = (&self.validated, &self.status.allocation) else { return };
        let gpus = natural(allocation.gpus_per_pod);
        // A template that can no longer be read is told elsewhere, and nothing starts from it.
        if let Ok(learned) = host_memory::ran_out(&self.job.spec, &validated.template, &self.status, gpus) {
            self.status.host_memory = Some(learned);
        }
    }

    fn count(&mut self, reason: EventReason, before: &State) {
        let host = matches!(self.state.phase, Phase::Stopping { why: StopCause::HostOutOfMemory, .. });
        let counters = self.status.counters.get_or_insert_default();
        match reason {
            EventReason::Disrupted | EventReason::NodeCordoned => {
                counters.disruptions = counters.disruptions.saturating_add(1)
            }
            EventReason::ProgramFailed => counters.failures = counters.failures.saturating_add(1),
            EventReason::OutOfMemory => {
                // A failure that turns out to be the echo of a rank that ran out of memory is not counted after all.
                let echo = matches!(before.phase, Phase::Stopping { why: StopCause::ProgramFailed { .. }, .. });
                counters.failures = counters.failures.saturating_sub(i32::from(echo)).saturating_add(i32::from(host));
            }
            _ => {}
        }
    }

    /// The state machine's word, with the cause told apart where one word stands for two.
    fn note(&self, reason: EventReason, message: String) -> Note {
        let word = match (reason, &self.state.phase) {
            (EventReason::OutOfMemory, Phase::Stopping { why: StopCause::DeviceOutOfMemory, .. }) => {
                "DeviceOutOfMemory"
            }
            (EventReason::OutOfMemory, _) => "HostOutOfMemory",
            (EventReason::Committed, _) => "Admitted",
            (EventReason::Completed, _) => "Complete",
            (EventReason::TakenBack | EventReason::ProgramFailed, Phase::Stopping { why, .. }) => cause_word(why),
            (reason, _) => reason.as_str(),
        };
        Note { reason: word.into(), message, warning: reason.is_warning() }
    }

    /// Keeps the allocation in step with the state.
    fn follow(&mut self, before: &State, now: Timestamp) {
        if self.state.revision != before.revision {
            self.commit(before, now);
        } else if !self.state.phase.holds_devices() {
            self.status.allocation = None;
            if !matches!(before.phase, Phase::Waiting { .. }) {
                self.status.next = None;
            }
        } else if matches!(&self.state.phase, Phase::Stopping { why, .. } if *why != StopCause::Move) {
            self.status.next = None;
        }
    }

    fn commit(&mut self, before: &State, now: Timestamp) {
        let moved = matches!(before.phase, Phase::Stopping { why: StopCause::Move, .. });
        let from = self.status.allocation.take();
        // A move whose target was lost starts again where it was.
        let Some(mut next) = self.status.next.take().or_else(|| from.clone()) else { return };
        next.revision = integer(self.state.revision);
        next.committed_at = Some(Time(now));
        next.live_batch_at = None;
        if let Some(note) = self.notes.iter_mut().rev().find(|note| note.reason == "Admitted") {
            if moved {
                note.reason = "Resized".into();
            }
            note.message = shorten(&admitted(&next, from.as_ref()), LONGEST);
        }
        self.status.observed = None;
        self.status.predicted = self.predicted(&next);
        self.status.conditions.retain(|c| c.type_ != plimsoll_crds::condition::job::EFFICIENT);
        self.status.allocation = Some(next);
    }

    /// Another cut of the same global batch, told to the running pods.
    pub(super) fn change_batch(&mut self, batch: Batch, candidate: &Candidate, message: String, now: Timestamp) {
        if !matches!(self.state.phase, Phase::Running { .. }) {
            return;
        }
        let Some(allocation) = self.status.allocation.as_mut() else { return };
        let before = allocation.batch.clone();
        allocation.micro_batch = integer(batch.micro);
        allocation.gradient_accumulation = integer(batch.accumulation);
        allocation.batch = columns(&batch, candidate.layout.data);
        allocation.live_batch_at = Some(Time(now));
        allocation.because = Some(shorten(&message, LONGEST));
        let after = allocation.batch.clone();
        self.status.predicted = Some(predicted(&candidate.predicted));
        self.status.observed = learning::forget_batch(self.status.observed.take());
        let counters = self.status.counters.get_or_insert_default();
        counters.live_batches = counters.live_batches.saturating_add(1);
        self.notes.push(Note {
            reason: "BatchChanged".into(),
            message: format!("{before} -> {after} without a restart: {message}"),
            warning: false,
        });
    }

    /// What the menu says of an allocation.
    fn predicted(&self, allocation: &Allocation) -> Option<Predicted> {
        let wanted = plimsoll_observe::current(allocation)?;
        let is = |c: &&Candidate| c.shape == wanted.shape && c.layout == wanted.layout && c.batch == wanted.batch;
        let menu = self.sized.as_ref().or(self.known.sized.as_ref()).map(|sized| &sized.menu)?;
        menu.candidates.iter().find(is).map(|c| predicted(&c.predicted))
    }

    /// Why a job starts with these devices, in one sentence; whose devices they were, if it waited for them.
    pub(super) fn because(&self, candidate: &Candidate, nodes: &[String]) -> String {
        let mut text = chosen(candidate);
        if let Some(before) = self.what_came_before() {
            text = format!("{before}; {text}");
        }
        let since = self.status.waiting.as_ref().and_then(|w| w.since.as_ref()).map(|time| time.0);
        let waited_for_devices =
            self.status.waiting.as_ref().is_some_and(|waiting| waiting.reason.starts_with("WaitingFor"));
        let Some(since) = since.filter(|_| waited_for_devices) else { return text };
        let mut givers: Vec<String> = Vec::new();
        for release in self.known.released.iter().filter(|release| release.at >= since && release.job != self.key) {
            if release.nodes.iter().any(|node| nodes.contains(node)) {
                let giver = format!("{} {}", release.job, release.how);
                if !givers.contains(&giver) {
                    givers.push(giver);
                }
            }
        }
        if !givers.is_empty() {
            text = format!("{text}; it could start when {}", givers.join(" and "));
        }
        text
    }
}

impl Turn {
    /// What the job leaves behind, in one clause: a size that ran out of device memory, a node that is cordoned.
    fn what_came_before(&self) -> Option<String> {
        match &self.state.phase {
            Phase::Waiting { after: Some(StopCause::NodeCordoned { message }), .. } => Some(message.clone()),
            Phase::Waiting { after: Some(StopCause::Preempted { message }), .. } => {
                Some(format!("preempted: {message}"))
            }
            Phase::Waiting { after: Some(StopCause::DeviceOutOfMemory), .. } => self.what_ran_out(),
            Phase::Waiting { after: Some(StopCause::HostOutOfMemory), .. } => self.what_grew(),
            _ => None,
        }
    }

    fn what_grew(&self) -> Option<String> {
        let HostMemory { killed_at_bytes, given_bytes, .. } = self.status.host_memory.as_ref()?;
        let mib = |bytes: &i64| bytes >> 20;
        let (killed, given) = (mib(killed_at_bytes), mib(given_bytes));
        Some(format!("a pod ran out of host memory at {killed} MiB and gets {given} MiB now"))
    }

    fn what_ran_out(&self) -> Option<String> {
        let memory = &self.status.evidence.as_ref()?.memory;
        let last = memory.iter().rev().find(|seen| seen.kind == MemoryEvidenceKind::RanOut)?;
        let gpus = last.pods.saturating_mul(last.gpus_per_pod);
        Some(format!("micro-batch {} on {gpus} x {} ran out of device memory", last.micro_batch, last.class))
    }
}

/// Why a candidate is a good one.
fn chosen(candidate: &Candidate) -> String {
    let Prediction { device_memory_bytes, step_seconds, sm_activity, .. } = candidate.predicted;
    format!(
        "predicted: {:.1} GiB of device memory, {:.3} s per step, {:.0} % SM activity",
        device_memory_bytes as f64 / f64::from(1 << 30),
        step_seconds,
        sm_activity * 100.0
    )
}

fn admitted(next: &Allocation, from: Option<&Allocation>) -> String {
    let size = |a: &Allocation| format!("{} x {} ({})", a.gpus, a.class, a.batch);
    let because = next.because.as_deref().unwrap_or_default();
    let on = next.nodes.join(", ");
    match from {
        Some(from) => format!("revision {}: {} -> {} on {on}: {because}", next.revision, size(from), size(next)),
        None => format!("revision {}: {} on {on}: {because}", next.revision, size(next)),
    }
}

/// A candidate on its nodes, as the status keeps it.
pub(super) fn allocation(
    candidate: &Candidate,
    nodes: Vec<String>,
    revision: u32,
    because: String,
    now: Timestamp,
) -> Allocation {
    let Candidate { shape, layout, batch, predicted: _, fit: _, in_band: _, efficient: _ } = candidate;
    Allocation {
        revision: integer(revision),
        class: shape.class.to_string(),
        gpus: integer(shape.gpus()),
        pods: integer(shape.pods),
        gpus_per_pod: integer(shape.gpus_per_pod),
        nodes,
        data_parallel: integer(layout.data),
        tensor_parallel: integer(layout.tensor),
        degrees: plimsoll_observe::degrees(layout),
        sharding: api_sharding(layout.sharding),
        recompute: api_recompute(layout.recompute),
        micro_batch: integer(batch.micro),
        gradient_accumulation: integer(batch.accumulation),
        global_batch: integer(batch.global),
        batch: columns(batch, layout.data),
        committed_at: Some(Time(now)),
        live_batch_at: None,
        because: Some(shorten(&because, LONGEST)),
    }
}

fn columns(batch: &Batch, data: u32) -> String {
    format!("{} x {} x {data}", batch.micro, batch.accumulation)
}

fn predicted(prediction: &Prediction) -> Predicted {
    let Prediction { device_memory_bytes, step_seconds, sm_activity, mfu } = *prediction;
    Predicted {
        device_memory_bytes: i64::try_from(device_memory_bytes).unwrap_or(i64::MAX),
        step_milliseconds: (step_seconds * 1000.0).round() as i64,
        sm_activity_percent: (sm_activity * 100.0).round() as i32,
        mfu_permille: (mfu * 1000.0).round() as i32,
    }
}
