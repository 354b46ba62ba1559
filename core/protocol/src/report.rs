//! The progress report and its reply.

use serde::{Deserialize, Serialize};

/// One report of a training program: the body of a POST to the progress endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Kubeflow's part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trainer_status: Option<TrainerStatus>,
    /// Plimsoll's part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plimsoll: Option<TrainingReport>,
}

/// Kubeflow's status: percentage, remaining time, metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrainerStatus {
    /// 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress_percentage: Option<i32>,
    /// Seconds until the end, as the program expects it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_remaining_seconds: Option<i64>,
    /// Named values as text, at most 256.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Metric>,
    /// RFC 3339 time of this status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_updated_time: Option<String>,
}

/// One named value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// Its value as text.
    pub value: String,
}

/// Plimsoll's part of a report. Rates are of the time since the last report; what a program does not know it leaves out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrainingReport {
    /// Version of this protocol: 1.
    pub version: u32,
    /// The revision that reports (`PLIMSOLL_REVISION`).
    pub revision: u32,
    /// Optimizer steps done since the beginning of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// Optimizer steps in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_steps: Option<u64>,
    /// Tokens trained since the beginning of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Samples trained since the beginning of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<u64>,
    /// Mean wall time of an optimizer step since the last report, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_seconds: Option<f64>,
    /// The micro-batch that those steps used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_batch: Option<u32>,
    /// The gradient accumulation steps that those steps used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accumulation: Option<u32>,
    /// The allocator's peak of device memory on the fullest device of this revision at this micro-batch, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
    /// Training loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// The newest complete checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointDone>,
}

/// A complete checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointDone {
    /// The optimizer step that it holds.
    pub step: u64,
    /// Where it lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How long it took to write, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

/// The answer to a report: the plan that is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    /// The plan.
    pub plan: PlanReply,
}

/// What the program is to do from its next step on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanReply {
    /// The live revision.
    pub revision: u32,
    /// Samples that one data-parallel rank computes at once.
    pub micro_batch: u32,
    /// Micro-batches whose gradients are summed.
    pub accumulation: u32,
    /// Whether a checkpoint is wanted.
    pub checkpoint: CheckpointAsk,
    /// Whether the program is to end (exit code 0 is then not the end of the job) once that checkpoint is written.
    pub stop_after_checkpoint: bool,
    /// Why, in a few words; empty when nothing changes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Whether a checkpoint is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckpointAsk {
    /// Not beyond the program's own interval.
    #[default]
    None,
    /// As soon as the running step ends.
    Now,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_hugging_face_s_callback_is_read() {
        let text = r#"{"trainerStatus":{"progressPercentage":7,"estimatedRemainingSeconds":120,
            "metrics":[{"name":"loss","value":"2.5"}],"lastUpdatedTime":"2026-01-01T00:00:00Z","new":1}}"#;
        let report: Report = serde_json::from_str(text).unwrap();
        assert_eq!(report.trainer_status.unwrap().progress_percentage, Some(7));
        assert_eq!(report.plimsoll, None);
    }

    #[test]
    fn a_full_report_keeps_its_shape_on_the_wire() {
        let report = Report {
            trainer_status: None,
            plimsoll: Some(TrainingReport {
                version: 1,
                revision: 2,
                step: Some(10),
                step_seconds: Some(0.5),
                peak_memory_bytes: Some(1 << 30),
                checkpoint: Some(CheckpointDone { step: 8, path: None, seconds: Some(3.0) }),
                ..TrainingReport::default()
            }),
        };
        insta::assert_snapshot!(serde_json::to_string(&report).unwrap(), @r#"{"plimsoll":{"version":1,"revision":2,"step":10,"stepSeconds":0.5,"peakMemoryBytes":1073741824,"checkpoint":{"step":8,"seconds":3.0}}}"#);
    }

    #[test]
    fn a_reply_says_checkpoint_in_lower_case() {
        let reply = Reply {
            plan: PlanReply {
                revision: 1,
                micro_batch: 4,
                accumulation: 2,
                checkpoint: CheckpointAsk::Now,
                stop_after_checkpoint: true,
                reason: String::new(),
            },
        };
        insta::assert_snapshot!(serde_json::to_string(&reply).unwrap(), @r#"{"plan":{"revision":1,"microBatch":4,"accumulation":2,"checkpoint":"now","stopAfterCheckpoint":true}}"#);
    }
}
