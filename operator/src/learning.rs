//! What a running job teaches: device memory, step time, SM activity. Pure.
//!
//! An observation counts only for the revision and the batch that made it: a window must have begun after the program's
//! first step of this revision and after the last change of its batch, and a report must speak of the batch in force.
//! What is within 3 % of what is known already is not written again.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use plimsoll_crds::training_job::{Allocation, Observed, Progress, TrainingJobStatus};
use plimsoll_observe::{Coverage, current, evidence};
use plimsoll_protocol::Report;
use plimsoll_sizing::learned::{Evidence, MemoryEvidence, MemoryKind, StepEvidence};

use crate::job::memory::{integer, natural};

/// Values that differ by less than this share are the same.
const SAME: f64 = 0.03;

/// The newest report of a job's program.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// The revision whose pod sent it.
    pub revision: u32,
    /// What it says.
    pub report: Report,
    /// When it came.
    pub at: Timestamp,
    /// When this revision first reported a step.
    pub first_step_at: Option<Timestamp>,
}

/// Remembers that the revision in force ran out of device memory, with the bytes that its program held and asked for, if
/// it said so.
pub fn ran_out(status: &mut TrainingJobStatus, bytes: Option<u64>) {
    let Some(running) = status.allocation.as_ref().and_then(current) else { return };
    let seen = MemoryEvidence {
        class: running.shape.class.clone(),
        shape: running.shape,
        layout: running.layout,
        micro_batch: running.batch.micro,
        kind: MemoryKind::RanOut { bytes },
    };
    let mut known = known(status);
    known.push_memory(seen);
    status.evidence = Some(evidence::to_status(&known));
}

/// Learns from the newest report and what the agents saw of the revision in force.
pub fn learn(status: &mut TrainingJobStatus, heard: Option<&Heard>, coverage: &Coverage) {
    let Some(allocation) = status.allocation.clone() else { return };
    let heard = heard.filter(|heard| i64::from(heard.revision) == i64::from(allocation.revision));
    if let Some(heard) = heard {
        progress(status.progress.get_or_insert_default(), heard);
        peak(status, &allocation, heard);
        step_time(status, &allocation, heard);
    }
    let settled = heard.and_then(|heard| heard.first_step_at).max(allocation.live_batch_at.as_ref().map(|at| at.0));
    let reporting = heard.is_some_and(|heard| heard.first_step_at.is_some());
    let whole = settled.is_none_or(|settled| began_after(coverage, settled));
    if let (true, Some(activity), Some(seconds)) = (whole, coverage.sm_activity, coverage.window_seconds) {
        let observed = status.observed.get_or_insert_default();
        let percent = (activity * 100.0).round() as i32;
        observed.sm_activity_percent = Some(percent);
        observed.use_ = Some(format!("{percent}%"));
        observed.window_seconds = Some(integer(seconds));
        if reporting {
            step(status, &allocation, activity);
        }
    }
}

/// Forgets what was seen of another batch or revision; the column keeps its last value until there is a new one.
pub fn forget_batch(observed: Option<Observed>) -> Option<Observed> {
    observed.map(|seen| Observed { device_memory_bytes: None, step_milliseconds: None, window_seconds: None, ..seen })
}

fn began_after(coverage: &Coverage, settled: Timestamp) -> bool {
    let (Some(spoken), Some(seconds)) = (coverage.oldest_observed_at, coverage.window_seconds) else { return false };
    spoken.checked_sub(SignedDuration::from_secs(seconds.into())).is_ok_and(|began| began >= settled)
}

/// Whether a report speaks of the batch in force.
fn is_of(report: &Report, allocation: &Allocation) -> bool {
    let Some(said) = &report.plimsoll else { return false };
    let micro = said.micro_batch.map(|micro| micro == natural(allocation.micro_batch));
    let accumulation = said.accumulation.map(|steps| steps == natural(allocation.gradient_accumulation));
    // A program that does not say cannot have been told another one in its loop.
    micro.unwrap_or(allocation.live_batch_at.is_none()) && accumulation.unwrap_or(true)
}

fn peak(status: &mut TrainingJobStatus, allocation: &Allocation, heard: &Heard) {
    let Some(said) = heard.report.plimsoll.as_ref().filter(|_| is_of(&heard.report, allocation)) else { return };
    let (Some(bytes), Some(running)) = (said.peak_memory_bytes, current(allocation)) else { return };
    let observed = status.observed.get_or_insert_default();
    let before = observed.device_memory_bytes.and_then(|b| u64::try_from(b).ok()).unwrap_or(0);
    let highest = bytes.max(before);
    if !same(highest as f64, before as f64) {
        observed.device_memory_bytes = Some(i64::try_from(highest).unwrap_or(i64::MAX));
    }
    let seen = MemoryEvidence {
        class: running.shape.class.clone(),
        shape: running.shape,
        layout: running.layout,
        micro_batch: running.batch.micro,
        kind: MemoryKind::Peak { bytes: highest },
    };
    let mut known = known(status);
    let is_known = known.memory.iter().any(|old| match old.kind {
        MemoryKind::Peak { bytes } => {
            MemoryEvidence { kind: seen.kind, ..old.clone() } == seen && same(bytes as f64, highest as f64)
        }
        MemoryKind::RanOut { .. } => false,
    });
    if !is_known {
        known.push_memory(seen);
        status.evidence = Some(evidence::to_status(&known));
    }
}

fn step_time(status: &mut TrainingJobStatus, allocation: &Allocation, heard: &Heard) {
    let said = heard.report.plimsoll.as_ref().filter(|_| is_of(&heard.report, allocation));
    let Some(seconds) = said.and_then(|said| said.step_seconds).filter(|s| s.is_finite() && *s > 0.0) else { return };
    let observed = status.observed.get_or_insert_default();
    let milliseconds = (seconds * 1000.0).round().max(1.0);
    if !observed.step_milliseconds.is_some_and(|old| same(old as f64, milliseconds)) {
        observed.step_milliseconds = Some(milliseconds as i64);
    }
}

fn step(status: &mut TrainingJobStatus, allocation: &Allocation, activity: f64) {
    let milliseconds = status.observed.as_ref().and_then(|seen| seen.step_milliseconds);
    let (Some(milliseconds), Some(running)) = (milliseconds, current(allocation)) else { return };
    let seen = StepEvidence {
        class: running.shape.class.clone(),
        shape: running.shape,
        layout: running.layout,
        batch: running.batch,
        step_seconds: milliseconds as f64 / 1000.0,
        sm_activity: activity,
    };
    let mut known = known(status);
    let is_known = known.steps.iter().any(|old| {
        let values = StepEvidence { step_seconds: seen.step_seconds, sm_activity: seen.sm_activity, ..old.clone() };
        values == seen && same(old.step_seconds, seen.step_seconds) && (old.sm_activity - seen.sm_activity).abs() < SAME
    });
    if !is_known {
        known.push_step(seen);
        status.evidence = Some(evidence::to_status(&known));
    }
}

fn known(status: &TrainingJobStatus) -> Evidence {
    status.evidence.as_ref().map(evidence::to_sizing).unwrap_or_default()
}

fn same(a: f64, b: f64) -> bool {
    (a - b).abs() <= SAME * a.abs().max(b.abs())
}

fn progress(progress: &mut Progress, heard: &Heard) {
    let wide = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    progress.reported_at = Some(Time(heard.at.round(jiff::Unit::Second).unwrap_or(heard.at)));
    if let Some(said) = &heard.report.trainer_status {
        let metric =
            |name: &str| said.metrics.iter().find(|m| m.name == name).and_then(|m| m.value.parse::<f64>().ok());
        progress.percent = said.progress_percentage.map(|percent| percent.clamp(0, 100)).or(progress.percent);
        progress.step = metric("current_step").map(|step| step as i64).or(progress.step);
        progress.total_steps = metric("total_steps").map(|steps| steps as i64).or(progress.total_steps);
        progress.loss_milli = metric("loss").and_then(milli).or(progress.loss_milli);
    }
    if let Some(said) = &heard.report.plimsoll {
        progress.step = said.step.map(wide).or(progress.step);
        progress.total_steps = said.total_steps.map(wide).or(progress.total_steps);
        progress.tokens = said.tokens.map(wide).or(progress.tokens);
        progress.samples = said.samples.map(wide).or(progress.samples);
        progress.loss_milli = said.loss.and_then(milli).or(progress.loss_milli);
        if let Some(done) = &said.checkpoint {
            progress.checkpoint_step = Some(wide(done.step));
            progress.checkpoint_revision = Some(integer(heard.revision));
        }
        if let (Some(step), Some(total)) = (progress.step, progress.total_steps.filter(|total| *total > 0)) {
            progress.percent = i32::try_from((step.clamp(0, total) * 100) / total).ok();
        }
    }
}

fn milli(value: f64) -> Option<i64> {
    value.is_finite().then_some((value * 1000.0).round() as i64)
}

#[cfg(test)]
mod tests {
    use plimsoll_protocol::TrainingReport;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn running() -> TrainingJobStatus {
        let allocation: Allocation = serde_json::from_value(serde_json::json!({
            "revision": 3, "class": "h100", "gpus": 8, "pods": 2, "gpusPerPod": 4, "nodes": ["n1", "n2"],
            "dataParallel": 8, "tensorParallel": 1, "sharding": "None", "recompute": "None", "microBatch": 4,
            "gradientAccumulation": 2, "globalBatch": 64, "batch": "4x2x8"
        }))
        .unwrap();
        TrainingJobStatus { allocation: Some(allocation), ..TrainingJobStatus::default() }
    }

    fn heard(report: TrainingReport) -> Heard {
        let report = Report { trainer_status: None, plimsoll: Some(report) };
        Heard { revision: 3, report, at: at(1000), first_step_at: Some(at(500)) }
    }

    fn report() -> TrainingReport {
        TrainingReport {
            version: 1,
            revision: 3,
            step: Some(10),
            total_steps: Some(40),
            step_seconds: Some(0.5),
            micro_batch: Some(4),
            accumulation: Some(2),
            peak_memory_bytes: Some(10_000),
            ..TrainingReport::default()
        }
    }

    fn window(from: i64, to: i64, activity: f64) -> Coverage {
        Coverage {
            devices: 8,
            readable: 8,
            sm_activity: Some(activity),
            memory_used_max: None,
            window_seconds: Some(u32::try_from(to - from).unwrap()),
            oldest_observed_at: Some(at(to)),
        }
    }

    #[test]
    fn a_whole_window_with_a_report_of_the_same_batch_is_evidence() {
        let mut status = running();
        learn(&mut status, Some(&heard(report())), &window(600, 700, 0.5));
        let learned = status.evidence.clone().unwrap();
        assert_eq!((learned.steps.len(), learned.steps[0].step_microseconds), (1, 500_000));
        assert_eq!(learned.memory[0].bytes, Some(10_000));
        assert_eq!(status.observed.as_ref().unwrap().use_.as_deref(), Some("50%"));
        assert_eq!(status.progress.as_ref().unwrap().percent, Some(25));
        assert!(crate::job::standing::is_observed(&status));
    }

    #[test]
    fn a_window_that_began_before_the_first_step_or_a_live_change_says_nothing() {
        let mut status = running();
        learn(&mut status, Some(&heard(report())), &window(400, 700, 0.1));
        assert!(status.evidence.unwrap().steps.is_empty());
        let mut status = running();
        status.allocation.as_mut().unwrap().live_batch_at = Some(Time(at(650)));
        learn(&mut status, Some(&heard(report())), &window(600, 700, 0.1));
        assert!(status.evidence.unwrap().steps.is_empty());
    }

    #[test]
    fn a_report_of_another_batch_or_revision_is_not_of_this_one() {
        let mut status = running();
        learn(&mut status, Some(&heard(TrainingReport { micro_batch: Some(2), ..report() })), &window(600, 700, 0.5));
        assert!(status.evidence.is_none());
        let mut status = running();
        learn(&mut status, Some(&Heard { revision: 2, ..heard(report()) }), &Coverage::default());
        assert_eq!(status, running());
    }

    #[test]
    fn what_is_within_three_percent_is_not_written_again() {
        let mut status = running();
        learn(&mut status, Some(&heard(report())), &window(600, 700, 0.50));
        let before = status.evidence.clone();
        let near = TrainingReport { step_seconds: Some(0.51), peak_memory_bytes: Some(10_200), ..report() };
        learn(&mut status, Some(&heard(near)), &window(600, 700, 0.52));
        assert_eq!(status.evidence, before);
        let far = TrainingReport { step_seconds: Some(0.6), ..report() };
        learn(&mut status, Some(&heard(far)), &window(600, 700, 0.52));
        assert_ne!(status.evidence, before);
        assert_eq!(status.evidence.unwrap().steps.len(), 1, "the newer one of the same size replaces the older");
    }

    #[test]
    fn running_out_is_remembered_for_the_micro_batch_in_force() {
        let mut status = running();
        ran_out(&mut status, None);
        let learned = status.evidence.clone().unwrap();
        assert_eq!((learned.memory[0].micro_batch, learned.memory[0].bytes), (4, None));
        ran_out(&mut status, Some(90_000));
        let learned = status.evidence.unwrap();
        assert_eq!((learned.memory.len(), learned.memory[0].bytes), (1, Some(90_000)));
    }

    #[test]
    fn a_plain_kubeflow_report_is_progress_and_no_evidence() {
        let text = r#"{"trainerStatus":{"progressPercentage":7,"metrics":[{"name":"loss","value":"2.5"},
            {"name":"current_step","value":"70"},{"name":"total_steps","value":"1000"}]}}"#;
        let heard = Heard { report: serde_json::from_str(text).unwrap(), ..heard(report()) };
        let mut status = running();
        learn(&mut status, Some(&heard), &Coverage::default());
        let progress = status.progress.unwrap();
        assert_eq!((progress.percent, progress.step, progress.loss_milli), (Some(7), Some(70), Some(2500)));
        assert!(status.evidence.is_none());
    }
}
